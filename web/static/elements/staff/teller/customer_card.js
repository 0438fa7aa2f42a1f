// <customer-card>: who is there, and what was between us before.

import { el, fill, icon } from "../../../lib/html.js"
import { clock, t, when } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { businessName } from "../businesses.js"
import { decisionMark } from "../marks.js"

class CustomerCard extends Live {
  #shown = ""

  /** @param {any} view of the session */
  show({ id, business, language, waited_s, consent_face, customer, history }) {
    const key = JSON.stringify([id, customer])
    if (key === this.#shown) return
    this.#shown = key
    fill(
      this,
      el(
        "header",
        { class: "row apart" },
        el("h2", {}, customer.name),
        el("span", { class: "badge action" }, businessName(business)),
      ),
      el(
        "dl",
        { class: "facts pairs" },
        ...pair(t("customer.phone"), customer.phone_masked ?? "–"),
        ...pair(t("customer.id"), customer.id_masked ?? t("customer.id_unknown")),
        ...pair(t("offer.waited"), clock(waited_s)),
        ...pair(t("offer.language"), t(`language.${language}`)),
      ),
      !consent_face && el("p", { class: "notice look" }, icon("alert"), el("span", {}, t("offer.face_no"))),
      pastOf(history, customer.visits),
    )
  }
}

/**
 * @param {any[]} history
 * @param {number} visits
 */
function pastOf(history, visits) {
  if (history.length === 0) return el("p", { class: "small quiet" }, t("customer.first_visit"))
  return el(
    "details",
    { class: "past" },
    el("summary", {}, t("customer.history", { count: visits ?? history.length })),
    el("ul", { role: "list" }, ...history.map(visit)),
  )
}

/** @param {{at: string|number, business: string, decision: string|null}} visit */
function visit({ at, business, decision }) {
  return el(
    "li",
    {},
    el("time", { class: "number quiet" }, when(at, { dateStyle: "medium" })),
    el("span", {}, businessName(business)),
    decisionMark(decision),
  )
}

/**
 * @param {string} term
 * @param {string} words
 */
function pair(term, words) {
  return [el("dt", {}, term), el("dd", {}, words)]
}

customElements.define("customer-card", CustomerCard)
