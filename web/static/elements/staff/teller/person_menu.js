// <person-menu>: what the teller can do with somebody in the call: silence, hide, send out.

import { post } from "../../../lib/api.js"
import { el, fill, icon } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { attach } from "../../popover.js"
import { confirmed } from "../dialog.js"
import { attempt } from "../tell.js"

/** Whose presence is not the teller's to end. */
const STAYING = ["customer", "supervisor"]

/** @typedef {import("../../../lib/call.js").Person} Person */

export class PersonMenu extends Live {
  session = ""
  /** @type {Person} */
  person = /** @type {any} */ (null)
  #button = el("button", { type: "button", class: "more", "aria-haspopup": "menu" }, icon("more"))
  #menu = el("div", { role: "menu" })

  /** @param {AbortSignal} signal */
  connect(signal) {
    const name = t("people.menu", { name: this.person.name })
    this.#button.setAttribute("aria-label", name)
    this.#button.title = name
    this.#menu.setAttribute("aria-label", name)
    attach(this.#button, this.#menu, () => this.#draw())
    this.#menu.addEventListener("toggle", () => this.#menu.querySelector("button")?.focus(), { signal })
    this.#menu.addEventListener("keydown", (event) => this.#walk(event), { signal })
    fill(this, this.#button, this.#menu)
  }

  #draw() {
    const { muted = [], role } = this.person
    fill(
      this.#menu,
      this.#mute("audio", muted.includes("audio"), "microphone"),
      this.#mute("video", muted.includes("video"), "camera"),
      !STAYING.includes(role) && this.#item("exit", t("people.remove"), () => this.#remove(), "danger"),
    )
  }

  /**
   * @param {"audio"|"video"} kind
   * @param {boolean} muted
   * @param {string} picture
   */
  #mute(kind, muted, picture) {
    const words = t(`people.${muted ? "un" : ""}mute_${kind}`)
    return this.#item(muted ? picture : `${picture}-off`, words, () => {
      const body = { participant: this.person.id, kind, on: !muted }
      return attempt(post(`/api/sessions/${this.session}/mute`, body))
    })
  }

  async #remove() {
    const { id, name } = this.person
    const sure = await confirmed({
      title: t("people.remove_title", { name }),
      text: t("people.remove_about"),
      confirm: t("people.remove"),
      tone: "danger",
    })
    if (sure) await attempt(post(`/api/sessions/${this.session}/participants/${id}/remove`))
  }

  /**
   * @param {string} picture
   * @param {string} words
   * @param {() => Promise<unknown>} act
   * @param {string} [tone]
   */
  #item(picture, words, act, tone = "") {
    const press = () => {
      this.#menu.hidePopover()
      void act()
    }
    return el("button", { type: "button", role: "menuitem", class: tone, onclick: press }, icon(picture), words)
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (!by) return
    event.preventDefault()
    const items = [...this.#menu.querySelectorAll("button")]
    const at = items.findIndex((item) => item === document.activeElement)
    items[(at + by + items.length) % items.length].focus()
  }
}

customElements.define("person-menu", PersonMenu)
