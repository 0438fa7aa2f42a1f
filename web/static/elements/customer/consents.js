// Step 1: the two consents, asked apart; each refusal is answered with another way.

import { el, fill, icon } from "../../lib/html.js"
import { pick, t } from "../../lib/i18n.js"
import { Step, head, notice } from "./step.js"

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
