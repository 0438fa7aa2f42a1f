// Step 1: the consents, asked apart; each refusal is answered with another way.

import { el, fill, icon } from "../../lib/html.js"
import { post } from "../../lib/api.js"
import { pick, t, when } from "../../lib/i18n.js"
import { Step, failure, head, notice } from "./step.js"

/** @typedef {"recording"|"face"} Subject */

export class ConsentStep extends Step {
  connect() {
    const problem = el("div", { role: "alert" })
    fill(
      this,
      el(
        "form",
        {
          class: "column stack wide",
          novalidate: true,
          onsubmit: (/** @type {Event} */ event) => this.#answer(event, problem),
        },
        head(this.visit, "consents"),
        this.visit.invited && invitedBy(this.visit),
        this.#question("recording", "record"),
        this.#question("face", "face"),
        !this.visit.invited && this.#keeping(),
        problem,
        el("button", { class: "button primary full", type: "submit" }, t("common.continue")),
      ),
    )
  }

  /**
   * @param {Subject} subject
   * @param {string} picture
   */
  #question(subject, picture) {
    const otherWay = el("div", { role: "status" })
    const chosen = () => fill(otherWay, this.visit.choices[subject] === false && refused(subject))
    const radio = (/** @type {boolean} */ value) =>
      el(
        "label",
        { class: "choice" },
        el("input", {
          type: "radio",
          name: subject,
          value: String(value),
          checked: this.visit.choices[subject] === value,
          onchange: () => {
            this.visit.choices[subject] = value
            chosen()
          },
        }),
        el("span", { class: "name" }, t(value ? "customer.consents.yes" : "customer.consents.no")),
      )
    chosen()
    return el(
      "fieldset",
      { class: "card flat stack consent" },
      el("legend", { class: "unseen" }, t(`customer.consents.${subject}`)),
      el("h2", { "aria-hidden": "true" }, icon(picture), t(`customer.consents.${subject}`)),
      el("p", {}, pick(this.visit.consents?.[subject])),
      el("div", { class: "answers" }, radio(true), radio(false)),
      otherWay,
    )
  }

  /** The third one: optional, apart from the others, and no answer is a no. */
  #keeping() {
    const place = el("fieldset", { class: "card flat stack consent" })
    const standing = this.visit.agreed?.face_kept
    const kept = standing?.answer === "agreed"
    this.visit.choices.face_kept = kept ? null : (this.visit.choices.face_kept ?? false)
    fill(
      place,
      el("legend", { class: "unseen" }, t("customer.consents.face_kept")),
      el("h2", { "aria-hidden": "true" }, icon("lock"), t("customer.consents.face_kept")),
      el("p", {}, pick(this.visit.consents?.face_kept)),
      kept ? this.#keptSince(standing.at) : this.#keepBox(),
    )
    return place
  }

  #keepBox() {
    const box = el("input", {
      type: "checkbox",
      name: "face_kept",
      checked: this.visit.choices.face_kept === true,
      onchange: () => (this.visit.choices.face_kept = box.checked),
    })
    return el("label", { class: "choice" }, box, el("span", { class: "name" }, t("customer.consents.keep")))
  }

  /** @param {number} at */
  #keptSince(at) {
    const told = el("div", { role: "status" })
    const withdraw = async () => {
      try {
        this.visit.agreed = await post("/api/consents/withdraw", { subject: "face_kept" })
        this.visit.choices.face_kept = false
        fill(told, notice("verified", "check", t("customer.consents.erased")))
      } catch (error) {
        fill(told, failure(error))
      }
    }
    fill(
      told,
      el("p", {}, t("customer.consents.kept_since", { at: when(at) })),
      el("button", { class: "button", type: "button", onclick: withdraw }, t("customer.consents.withdraw")),
    )
    return told
  }

  /**
   * @param {Event} event
   * @param {HTMLElement} problem
   */
  #answer(event, problem) {
    event.preventDefault()
    const { recording, face } = this.visit.choices
    const open = recording === null ? "recording" : face === null ? "face" : null
    if (open) {
      fill(problem, notice("stop", "alert", t("customer.consents.unanswered")))
      this.querySelector(`input[name=${open}]`)?.scrollIntoView({ block: "center" })
      return
    }
    // Without a recording no video session may be held: the other ways stand above.
    if (recording) this.visit.go(this.visit.stages[1])
    else fill(problem, notice("look", "info", t("customer.consents.recording_needed")))
  }
}

/** @param {import("../../lib/visit.js").Visit} visit with an invitation into a call */
function invitedBy({ invited, business }) {
  const words = t("customer.guest.invited", { name: invited?.by, business: pick(business?.name) })
  return notice("", "people", el("p", {}, words), el("p", { class: "quiet small" }, t("customer.guest.about")))
}

/** @param {Subject} subject */
function refused(subject) {
  const ways = subject === "recording" ? ["branch", "phone"] : ["by_eye", "branch"]
  return notice(
    "look",
    "info",
    el("p", {}, t(`customer.consents.${subject}_refused`)),
    el("ul", { class: "ways" }, ...ways.map((way) => el("li", {}, t(`customer.way.${way}`)))),
  )
}

customElements.define("consent-step", ConsentStep)
