// <guide-instruction>: ONE thing to do, large; a countdown when there is a deadline; then the tick.

import { el, fill, icon } from "../../lib/html.js"
import { known, t } from "../../lib/i18n.js"
import { Live, every } from "../live.js"

const STEADY = 600 // ms a sentence stays at least, so that it can be read
const FINDING = 3500 // ms the result of a check is shown
const PROMPTS = /** @type {Record<string, string>} */ ({
  left: "arrow-left", // a mirror: the own left is the page's left
  right: "arrow-right",
  nod: "nod",
  blink: "eye",
  mouth: "mouth",
  closer: "enlarge",
})
const DIGITS = /^[0-9](?: ?[0-9])*$/

/**
 * @typedef {import("../../lib/visit.js").Guide} Guide
 * @typedef {import("../../lib/visit.js").CheckView} CheckView
 */

export class Instruction extends Live {
  #words = el("p", {
    class: "words",
    role: "status",
    "aria-live": "polite",
    "data-name": "instruction",
  })
  #about = el("p", { class: "about" })
  #picture = el("span", { class: "picture", "aria-hidden": "true" })
  #count = el("span", { class: "count", role: "timer", "aria-live": "off" })
  #other = el(
    "button",
    { class: "other-way", type: "button", onclick: () => this.skip() },
    t("customer.guide.another_way"),
  )
  /** Set by the page: what "another way" does. */
  skip = () => {}
  /** @type {Guide|null} */
  #guide = null
  #ends = 0 // performance.now() of the deadline
  #said = 0 // performance.now() of the last change of words
  #finding = 0 // performance.now() until which a finding stands

  /** @param {AbortSignal} signal */
  connect(signal) {
    fill(this, this.#picture, el("div", {}, this.#about, this.#words, this.#other), this.#count)
    every(signal, 100, () => this.#tick())
    this.#tick()
  }

  /** @param {Guide|null} guide */
  guide(guide) {
    this.#guide = guide
    this.#ends = guide?.deadline_s ? performance.now() + guide.deadline_s * 1000 : 0
    // A prompt must not wait for the tick of the last one.
    if (guide?.prompt) this.#finding = 0
    this.#tick()
  }

  /** @param {CheckView} finding */
  finding({ check, verdict, reason }) {
    const passed = verdict === "passed"
    this.#finding = performance.now() + FINDING
    this.dataset.kind = passed ? "passed" : "look"
    this.hidden = false
    fill(this.#picture, icon(passed ? "check" : "info"))
    fill(this.#about, t(`check.${check}`))
    fill(this.#words, passed ? t("customer.guide.passed") : sentence("reason", reason))
    this.#count.hidden = true
    this.#other.hidden = true
  }

  /** Whether there is anything to show. */
  get busy() {
    return Boolean(this.#guide) || performance.now() < this.#finding
  }

  #tick() {
    const now = performance.now()
    if (now < this.#finding) return
    const guide = this.#guide
    this.hidden = !guide
    if (!guide) return
    this.#other.hidden = guide.mode !== "face"
    this.#countDown(now)
    const said = DIGITS.test(guide.prompt ?? "")
    const prompted = Boolean(guide.prompt) && guide.hint !== "show_colour"
    const words = said ? (guide.prompt ?? "") : sentence("hint", prompted ? guide.prompt : guide.hint)
    const kind = said ? "digits" : prompted ? "prompt" : "hint"
    if (this.dataset.kind === kind && this.#words.textContent === words) return
    if (kind === "hint" && this.dataset.kind === kind && now - this.#said < STEADY) return
    this.#said = now
    this.dataset.kind = kind
    fill(this.#words, words)
    fill(this.#about, said ? sentence("hint", guide.hint) : t(`customer.guide.${guide.mode}`))
    fill(this.#picture, icon(said ? "microphone" : pictureOf(guide)))
    this.#picture.dataset.prompt = guide.prompt ?? ""
  }

  /** @param {number} now */
  #countDown(now) {
    const left = this.#ends ? Math.max(0, Math.ceil((this.#ends - now) / 1000)) : null
    const words = left === null ? "" : String(left)
    this.#count.hidden = left === null
    if (this.#count.textContent !== words) fill(this.#count, words)
  }
}

/** @param {Guide} guide */
function pictureOf({ prompt, mode }) {
  return (prompt && PROMPTS[prompt]) || (mode === "face" ? "face" : "card")
}

/**
 * @param {string} family
 * @param {string|null} code
 */
function sentence(family, code) {
  return code && known(`${family}.${code}`) ? t(`${family}.${code}`) : t("customer.guide.follow")
}

customElements.define("guide-instruction", Instruction)
