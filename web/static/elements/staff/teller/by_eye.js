// <by-eye>: the way without face processing. The teller compares the customer with the portrait on
// the document and says so in words; a second person confirms where the product asks for it.

import { post } from "../../../lib/api.js"
import { el, fill, icon } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { findingView } from "../finding.js"
import { mark, verdictMark } from "../marks.js"
import { attempt } from "../tell.js"

const ANSWERS = /** @type {const} */ (["passed", "failed", "not checked"])
const WAITING = "second_person_needed"

class ByEye extends Live {
  #made = ""

  /** @param {any} view of the session */
  show({ id, state, mine, by_eye, checks, consent_face }) {
    const confirming = !mine && by_eye?.reason === WAITING
    this.hidden = state !== "talking" ? !by_eye : !(mine || confirming)
    const portrait = portraitOf(checks)
    const made = JSON.stringify([id, state, by_eye?.id, portrait, confirming])
    if (this.hidden || made === this.#made) return
    this.#made = made
    const open = confirming || !consent_face || by_eye !== null
    fill(
      this,
      el(
        "details",
        { class: "by-eye", open },
        el("summary", {}, icon("eye"), el("h3", {}, t("by_eye.title")), by_eye && stateOf(by_eye)),
        by_eye && findingView(by_eye),
        by_eye?.reason === WAITING && mine && el("p", { class: "notice look small" }, t("by_eye.ask_second")),
        state === "talking" && this.#form(id, confirming, portrait),
      ),
    )
  }

  /**
   * @param {string} session
   * @param {boolean} confirming
   * @param {string} portrait
   */
  #form(session, confirming, portrait) {
    const reason = el("textarea", { class: "input", rows: 2, required: true, minlength: 4, maxlength: 500, "aria-label": t("by_eye.reason"), placeholder: t("by_eye.reason") })
    const form = el(
      "form",
      { class: "stack" },
      el("p", { class: "small quiet" }, t(confirming ? "by_eye.confirm_about" : "by_eye.about")),
      portrait ? el("img", { class: "portrait", src: portrait, alt: t("picture.portrait") }) : el("p", { class: "small quiet" }, t("by_eye.no_portrait")),
      el("div", { class: "answers", role: "radiogroup", "aria-label": t("by_eye.title") }, ...ANSWERS.map(answer)),
      reason,
      el("button", { class: "button" }, t(confirming ? "by_eye.confirm" : "by_eye.keep")),
    )
    form.addEventListener("submit", async (event) => {
      event.preventDefault()
      const verdict = new FormData(form).get("verdict")
      const path = `/api/sessions/${session}/by_eye${confirming ? "/confirm" : ""}`
      await attempt(post(path, { verdict, reason: reason.value.trim() }))
    })
    return form
  }
}

/** @param {typeof ANSWERS[number]} verdict */
function answer(verdict) {
  const word = verdict.replace(" ", "_")
  return el(
    "label",
    { class: "choice small" },
    el("input", { type: "radio", name: "verdict", value: verdict, required: true }),
    el("span", {}, t(`by_eye.${word}`)),
  )
}

/** @param {any} finding */
function stateOf({ reason, verdict }) {
  return reason === WAITING ? mark("busy", t("by_eye.waiting")) : verdictMark(verdict)
}

/** @param {any[]} checks */
function portraitOf(checks) {
  const documents = checks.filter(({ check }) => check === "id_card_front" || check === "travel_document")
  const pictures = documents.flatMap(({ finding }) => finding?.pictures ?? [])
  return pictures.find(({ name }) => name === "portrait")?.url ?? ""
}

customElements.define("by-eye", ByEye)
