// <person-tile>: one person of a call, or a screen: the picture, the name, and in words what is
// true of them just now.

import { el, fill, icon } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"
import { Live } from "../live.js"

/**
 * @typedef {object} Mark a shape and its words
 * @property {string} picture name of an icon
 * @property {string} words
 * @property {string} [tone] "look" for what must not be overlooked
 *
 * @typedef {object} Look what a page says of a person
 * @property {string} name
 * @property {string} label of the picture, for a screen reader
 * @property {string} [about] a second word: the role
 * @property {Mark[]} [marks]
 * @property {{picture: string, title: string, about?: string}|null} [curtain] instead of a picture
 * @property {HTMLElement|null} [meter] how good their line is
 * @property {HTMLElement|null} [menu] what can be done with them
 */

export class PersonTile extends Live {
  /** @type {(id: string) => void} */
  enlarge = () => {}
  video = el("video", { autoplay: true, playsinline: true })
  #waiting = el("p", { class: "tile-waiting" }, t("people.waiting"))
  #curtain = el("div", { class: "tile-curtain" })
  #speaking = el("span", { class: "tile-speaking" }, icon("sound"), el("span", { class: "unseen" }, t("people.speaking")))
  #marks = el("ul", { class: "tile-marks", role: "list" })
  #name = el("span", { class: "tile-name" })
  #tools = el("div", { class: "tile-tools" })
  #large = el("button", { type: "button", class: "tile-enlarge" }, icon("enlarge"))
  #shown = ""

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.setAttribute("role", "group")
    this.#speaking.hidden = true
    this.video.addEventListener("resize", () => this.#wait(), { signal })
    this.#large.addEventListener("click", () => this.enlarge(this.dataset.person ?? ""), { signal })
    fill(
      this,
      this.video,
      this.#waiting,
      this.#curtain,
      this.#large,
      this.#marks,
      el("p", { class: "tile-caption" }, this.#speaking, this.#name, this.#tools),
    )
  }

  /** @param {Look} look */
  show({ name, label, about = "", marks = [], curtain = null, meter = null, menu = null }) {
    const tools = [meter, menu].filter((tool) => tool !== null)
    if (tools.some((tool) => tool.parentElement !== this.#tools)) fill(this.#tools, ...tools)
    const words = JSON.stringify([name, label, about, marks, curtain])
    if (words === this.#shown) return
    this.#shown = words
    this.setAttribute("aria-label", [name, about].filter(Boolean).join(" · "))
    this.video.setAttribute("aria-label", label)
    fill(this.#name, el("span", {}, name), about && el("span", { class: "tile-role" }, about))
    fill(this.#marks, ...marks.map(mark))
    this.#curtain.hidden = curtain === null
    fill(this.#curtain, ...(curtain ? drawn(curtain) : []))
    const enlarge = t("people.enlarge", { name })
    this.#large.setAttribute("aria-label", enlarge)
    this.#large.title = enlarge
  }

  /** @param {boolean} speaking */
  speak(speaking) {
    this.#speaking.hidden = !speaking
    this.classList.toggle("speaking", speaking)
  }

  /** @param {MediaStream|null} stream */
  play(stream) {
    if (this.video.srcObject !== stream) this.video.srcObject = stream
    this.#wait()
  }

  #wait() {
    this.#waiting.hidden = this.video.videoWidth > 0
  }
}

/** @param {Mark} mark */
function mark({ picture, words, tone = "" }) {
  return el("li", { data: { tone } }, icon(picture), el("span", {}, words))
}

/** @param {NonNullable<Look["curtain"]>} curtain */
function drawn({ picture, title, about }) {
  return [
    el("span", { class: "emblem" }, icon(picture)),
    el("p", { class: "meaning" }, title),
    about && el("p", { class: "small" }, about),
  ]
}

customElements.define("person-tile", PersonTile)
