// <wrap-up>: the call is over; look at the record once more, then finish.

import { post } from "../../../lib/api.js"
import { el, fill } from "../../../lib/html.js"
import { clock, known, t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { decisionMark, sealMark } from "../marks.js"
import { attempt } from "../tell.js"

export class WrapUp extends Live {
  #shown = ""

  connect() {
    this.hidden = true
  }

  /** @param {any} view of the session */
  show(view) {
    this.hidden = view.state === "talking"
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
      facts(view),
      !view.decision && el("p", { class: "notice look" }, el("span", {}, t("wrap_up.undecided"))),
      finish,
    )
  }
}

/** @param {any} view */
function facts(view) {
  const talked = view.media_time_us ? clock(view.media_time_us / 1e6) : "–"
  return el(
    "dl",
    { class: "facts" },
    el("dt", {}, t("wrap_up.talked")),
    el("dd", {}, talked),
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
