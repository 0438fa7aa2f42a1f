// The end: what was found, what was decided, what happens next; and what the customer thought.

import { el, fill, icon } from "../../lib/html.js"
import { explain, known, t } from "../../lib/i18n.js"
import { until } from "../live.js"
import { Step, title } from "./step.js"

/** @type {Record<string, {kind: string, picture: string}>} */
const LOOKS = {
  approved: { kind: "verified", picture: "check" },
  refused: { kind: "stop", picture: "close" },
  referred: { kind: "look", picture: "clock" },
  pending: { kind: "", picture: "clock" },
  ended: { kind: "", picture: "info" },
  abandoned: { kind: "", picture: "info" },
  guest_over: { kind: "", picture: "check" },
  stepped_out: { kind: "", picture: "exit" },
  interrupted: { kind: "look", picture: "alert" },
}

const VERDICTS = /** @type {Record<string, [string, string]>} */ ({
  passed: ["verified", "check"],
  failed: ["stop", "close"],
  "not checked": ["look", "minus"],
})

export class ResultStep extends Step {
  #head = el("div", { class: "stack", role: "status", "data-name": "result" })
  #checks = el("section", { class: "card flat stack close" })
  #rating = el("section", { class: "card flat stack" })
  #shown = ""

  /** @param {AbortSignal} signal */
  connect(signal) {
    const done = el(
      "button",
      { class: "button full", type: "button", onclick: () => this.visit.restart() },
      t("customer.result.again"),
    )
    fill(
      this,
      el(
        "div",
        { class: "column stack wide result" },
        this.#head,
        this.#checks,
        this.#rating,
        done,
      ),
    )
    until(
      signal,
      this.visit.on(() => this.#show()),
    )
    this.#show()
  }

  #show() {
    const { session } = this.visit
    if (!session) return
    const { state, decision, end_reason } = session
    const shown = JSON.stringify([state, decision, end_reason, session.checks, session.rated])
    if (shown === this.#shown) return // what the customer is just writing must not be wiped away
    this.#shown = shown
    const key = this.visit.guest ? guestOutcome(session) : outcome(session)
    this.#checks.hidden = state === "abandoned" || this.visit.guest
    const { kind, picture } = LOOKS[key]
    fill(
      this.#head,
      el("span", { class: `emblem ${kind}` }, icon(picture)),
      title(t(`customer.result.${key}`)),
      session.decision?.reason_for_customer && el("p", {}, session.decision.reason_for_customer),
      el("p", { class: "quiet" }, t(`customer.result.${key}_next`)),
    )
    this.#showChecks(session)
    this.#showRating(session)
  }

  /** @param {import("../../lib/visit.js").Session} session */
  #showChecks({ checks = [], id }) {
    const done = checks.filter(({ verdict }) => verdict)
    fill(
      this.#checks,
      el("h2", { class: "small-heading" }, t("customer.result.found")),
      done.length === 0 && el("p", { class: "quiet" }, t("customer.result.nothing")),
      el("ul", { role: "list", class: "found" }, ...done.map(check)),
      el("p", { class: "quiet small promise" }, icon("lock"), t("customer.result.sealed")),
      el(
        "p",
        { class: "quiet small" },
        t("customer.result.number"),
        " ",
        el("span", { class: "number", "data-name": "session" }, id),
      ),
    )
  }

  /** @param {import("../../lib/visit.js").Session} session */
  #showRating({ state, rated }) {
    this.#rating.hidden = this.visit.guest || state !== "wrap_up" && state !== "closed"
    if (rated) {
      fill(
        this.#rating,
        el("p", { class: "thanks", role: "status" }, icon("check"), t("customer.rating.thanks")),
      )
      return
    }
    const problem = el("p", { role: "alert", class: "small" })
    const stars = [1, 2, 3, 4, 5].map((value) =>
      el(
        "label",
        { class: "star" },
        el("input", { type: "radio", name: "stars", value, required: true, class: "unseen" }),
        icon("star"),
        el("span", { class: "unseen" }, t(`customer.rating.${value}`)),
      ),
    )
    fill(
      this.#rating,
      el(
        "form",
        { class: "stack", onsubmit: (/** @type {Event} */ event) => this.#rate(event, problem) },
        el(
          "fieldset",
          { class: "stack close" },
          el("legend", { class: "small-heading" }, t("customer.rating.heading")),
          el("div", { class: "stars" }, ...stars),
        ),
        el(
          "div",
          { class: "field" },
          el(
            "label",
            { for: "comment" },
            t("customer.rating.comment"),
            " ",
            el("span", { class: "quiet" }, `(${t("common.optional")})`),
          ),
          el("textarea", { class: "input", id: "comment", name: "comment", maxlength: 500 }),
        ),
        problem,
        el("button", { class: "button primary", type: "submit" }, t("customer.rating.send")),
      ),
    )
  }

  /**
   * @param {Event} event
   * @param {HTMLElement} problem
   */
  async #rate(event, problem) {
    event.preventDefault()
    const answers = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget))
    try {
      await this.visit.rate(
        Number(answers.get("stars")),
        String(answers.get("comment") ?? "").trim(),
      )
    } catch (error) {
      fill(problem, explain(error))
    }
  }
}

/** @param {import("../../lib/visit.js").Session} session */
function guestOutcome({ end_reason }) {
  return end_reason === "stepped_out" ? "stepped_out" : "guest_over"
}

/** @param {import("../../lib/visit.js").Session} session */
function outcome({ state, decision }) {
  if (state === "abandoned" || state === "interrupted") return state
  if (decision && decision.verdict in LOOKS) return decision.verdict
  return state === "closed" ? "ended" : "pending"
}

/** @param {import("../../lib/visit.js").CheckView} view */
function check({ check, verdict, reason }) {
  const [kind, picture] = VERDICTS[verdict ?? ""] ?? VERDICTS["not checked"]
  return el(
    "li",
    {},
    el(
      "div",
      {},
      el("strong", {}, t(`check.${check}`)),
      reason &&
        known(`reason.${reason}`) &&
        el("p", { class: "quiet small" }, t(`reason.${reason}`)),
    ),
    el("span", { class: `badge ${kind}` }, icon(picture), t(`verdict.${verdict}`)),
  )
}

customElements.define("result-step", ResultStep)
