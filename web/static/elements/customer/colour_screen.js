// <colour-screen>: the whole page in one soft colour around the own picture, to light the face;
// before it a warning, and all the time a way to skip it.

import { el, fill } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"
import { Live } from "../live.js"

const COLOUR = /^#[0-9a-f]{6}$/i
const HINTS = ["colour_soon", "show_colour"]

/** @typedef {import("../../lib/visit.js").Guide} Guide */

export class ColourScreen extends Live {
  /** Somebody wants another way. @type {(check: string) => void} */
  skip = () => {}
  #check = ""
  #warning = el("p", { class: "warning", role: "status" })
  #skip = el(
    "button",
    { class: "button", type: "button", onclick: () => this.#skipped() },
    t("customer.guide.another_way"),
  )

  connect() {
    this.hidden = true
    fill(this, el("div", { class: "ask" }, this.#warning, this.#skip))
  }

  /**
   * @param {Guide|null} guide
   * @returns {boolean} whether the page is lit now
   */
  guide(guide) {
    const due = guide && HINTS.includes(guide.hint ?? "") ? guide : null
    this.hidden = !due
    if (!due) return false
    if (this.#check !== due.check) this.#skip.disabled = false
    this.#check = due.check
    const lit = due.hint === "show_colour" && COLOUR.test(due.prompt ?? "")
    // Unlit it is white: the first colour is then no flash out of the dark.
    this.style.setProperty("--lit", lit ? /** @type {string} */ (due.prompt) : "#f4f4f4")
    fill(this.#warning, lit ? "" : t("customer.guide.colour_warning"))
    this.#warning.hidden = lit
    return true
  }

  #skipped() {
    this.#skip.disabled = true
    this.skip(this.#check)
  }
}

customElements.define("colour-screen", ColourScreen)
