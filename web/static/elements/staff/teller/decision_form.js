// <decision-form>: approve, refuse or refer, with the reason that will be read years later.

import { post } from "../../../lib/api.js"
import { el, fill, find, icon } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { checkName } from "../finding.js"
import { decisionMark } from "../marks.js"
import { attempt } from "../tell.js"

const CHOICES = /** @type {const} */ ([
  { verdict: "approved", picture: "check" },
  { verdict: "refused", picture: "close" },
  { verdict: "referred", picture: "arrow-right" },
])

class DecisionForm extends Live {
  #session = ""
  #shown = ""
  #chosen = ""

  focus() {
    /** @type {HTMLElement|null} */ (this.querySelector("button:not(:disabled)"))?.focus()
  }

  /** @param {any} view of the session */
  show({ id, decision, policy, checks }) {
    const asked = new Set([...checks.map((/** @type {any} */ one) => one.check), ...policy.heed])
    const missing = policy.met ? [] : standing(policy.missing, asked)
    const key = JSON.stringify([id, decision, missing])
    if (key === this.#shown) return
    this.#shown = key
    if (id !== this.#session) this.#chosen = ""
    this.#session = id
    if (decision) fill(this, ...made(decision))
    else this.#ask(missing)
  }

  /** @param {string[]} missing names of the checks that have not passed */
  #ask(missing) {
    const written = /** @type {HTMLTextAreaElement|null} */ (this.querySelector("textarea"))?.value ?? ""
    const why = missing.length > 0 ? t("decision.missing", { checks: missing.join(t("staff.comma")) }) : t("decision.all_passed")
    const reason = el("textarea", { class: "input", rows: 2, maxlength: 2000, "aria-label": t("decision.reason"), placeholder: t("decision.reason") })
    reason.value = written
    const form = el("form", { class: "decide", hidden: true }, reason, el("button", { class: "button primary" }))
    form.addEventListener("submit", (event) => this.#decide(event, reason.value.trim()))
    fill(
      this,
      el("div", { class: "row apart" }, el("h2", {}, t("teller.decision")), el("p", { class: "small quiet", id: "decision-why" }, why)),
      el("div", { class: "choices", role: "group", "aria-label": t("teller.decision") }, ...CHOICES.map((choice) => this.#choice(choice, missing))),
      form,
    )
    if (this.#chosen && !(this.#chosen === "approved" && missing.length > 0)) this.#choose(this.#chosen, false)
  }

  /**
   * @param {{verdict: string, picture: string}} choice
   * @param {string[]} missing
   */
  #choice({ verdict, picture }, missing) {
    const barred = verdict === "approved" && missing.length > 0
    return el(
      "button",
      {
        type: "button",
        class: "button choose",
        "aria-pressed": "false",
        "aria-describedby": verdict === "approved" ? "decision-why" : null,
        disabled: barred,
        data: { verdict },
        onclick: () => this.#choose(verdict, true),
      },
      icon(picture),
      t(`decide.${verdict}`),
    )
  }

  /**
   * @param {string} verdict
   * @param {boolean} byHand
   */
  #choose(verdict, byHand) {
    this.#chosen = verdict
    for (const button of this.querySelectorAll("[data-verdict]"))
      button.setAttribute("aria-pressed", String(button.getAttribute("data-verdict") === verdict))
    const form = find("form", this)
    form.hidden = false
    const reason = /** @type {HTMLTextAreaElement} */ (find("textarea", form))
    reason.required = verdict !== "approved"
    reason.placeholder = t(reason.required ? "decision.reason" : "decision.reason_optional")
    find("button", form).textContent = t(`decide.${verdict}_now`)
    if (byHand) reason.focus()
  }

  /**
   * @param {Event} event
   * @param {string} reason
   */
  async #decide(event, reason) {
    event.preventDefault()
    await attempt(post(`/api/sessions/${this.#session}/decision`, { verdict: this.#chosen, reason }))
  }
}

/**
 * The checks that stand in the way of an approval, by name, each once.
 * @param {string[]} reasons "check: reason"
 * @param {Set<string>} asked what this customer was asked for; other ways need no mention
 */
function standing(reasons, asked) {
  const checks = new Set(reasons.map((one) => one.split(":")[0]))
  const named = [...checks].filter((check) => asked.has(check))
  return (named.length ? named : [...checks]).map(checkName)
}

/** @param {{verdict: string, reason: string}} decision */
function made({ verdict, reason }) {
  return [
    el("div", { class: "row apart" }, el("h2", {}, t("teller.decision")), decisionMark(verdict)),
    reason && el("p", { class: "small" }, reason),
  ]
}

customElements.define("decision-form", DecisionForm)
