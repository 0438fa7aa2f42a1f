// <wrap-up>: the call is over; look at the record once more, then finish.

import { post } from "../../../lib/api.js"
import { el, fill } from "../../../lib/html.js"
import { clock, known, t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { decisionMark, sealMark } from "../marks.js"
import { attempt } from "../tell.js"

export class WrapUp extends Live {
  #shown = ""
  /** When the session's media time was zero, on this page's clock; 0 when this page never knew. */
  #origin = 0
  /** Seconds. @type {number|null} */
  #talked = null

  connect() {
    this.hidden = true
  }

  /** @param {any} view of the session */
  show(view) {
    this.hidden = view.state === "talking"
    this.#measure(view)
    const key = JSON.stringify([view.id, view.state, view.decision, view.recording, view.end_reason])
    if (this.hidden || key === this.#shown) return
    this.#shown = key
    const finish = el("button", { type: "button", class: "button primary full", "data-name": "finish" }, t("wrap_up.finish"))
    // The teller ended it, so the teller says with what result; a customer who left owes none.
    finish.disabled = !view.decision && view.end_reason === "teller_ended"
    finish.addEventListener("click", () => attempt(post(`/api/sessions/${view.id}/close`)))
    fill(
      this,
      el("h2", {}, t("wrap_up.title")),
      el("p", { class: "quiet" }, endWords(view.end_reason)),
      facts(view, this.#talked),
      !view.decision && el("p", { class: "notice look" }, el("span", {}, t("wrap_up.undecided"))),
      finish,
    )
  }

  /**
   * The room's clock is gone with the room: its last value is kept here.
   * @param {any} view
   */
  #measure({ state, media_time_us }) {
    if (state === "talking") {
      this.#origin = typeof media_time_us === "number" ? performance.now() - media_time_us / 1000 : 0
      this.#talked = null
    } else if (this.#origin) {
      this.#talked = (performance.now() - this.#origin) / 1000
      this.#origin = 0
    }
  }
}

/**
 * @param {any} view
 * @param {number|null} talked seconds
 */
function facts(view, talked) {
  return el(
    "dl",
    { class: "facts" },
    talked !== null && el("dt", {}, t("wrap_up.talked")),
    talked !== null && el("dd", { class: "number" }, clock(talked)),
    el("dt", {}, t("teller.decision")),
    el("dd", {}, decisionMark(view.decision?.verdict)),
    el("dt", {}, t("wrap_up.recording")),
    el("dd", {}, sealMark(view.recording?.verdict)),
  )
}

/** @param {string|null} reason */
function endWords(reason) {
  return reason && known(`end.${reason}`) ? t(`end.${reason}`) : t("end.other")
}

customElements.define("wrap-up", WrapUp)
