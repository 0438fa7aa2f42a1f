// <replay-requests>: colleagues who ask to replay a session, and what became of one's own requests.

import { get, post } from "../../../lib/api.js"
import { el, fill, icon } from "../../../lib/html.js"
import { t, when } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { businessName } from "../businesses.js"
import { askReason } from "../dialog.js"
import { mark } from "../marks.js"
import { attempt, tell } from "../tell.js"

const STATES = /** @type {Record<string, import("../marks.js").Tone>} */ ({ waiting: "busy", approved: "good", refused: "bad" })

export class ReplayRequests extends Live {
  connect() {
    this.hidden = true
  }

  async look() {
    const found = await attempt(get("/api/approvals?state=open"))
    if (!found) return
    this.hidden = !found.needed
    const again = el("button", { type: "button", class: "button plain small", onclick: () => this.look() }, icon("refresh"), t("approval.look"))
    const others = found.approvals.filter((/** @type {any} */ one) => !one.own)
    const mine = found.approvals.filter((/** @type {any} */ one) => one.own)
    fill(
      this,
      el(
        "section",
        { class: "card flat stack", "aria-labelledby": "requests-title" },
        el("header", { class: "row apart" }, el("h2", { id: "requests-title" }, t("approval.requests")), again),
        others.length ? el("ul", { class: "requests", role: "list" }, ...others.map((/** @type {any} */ one) => this.#other(one))) : el("p", { class: "quiet" }, t("approval.none")),
        mine.length > 0 && el("h3", {}, t("approval.mine")),
        mine.length > 0 && el("ul", { class: "requests", role: "list" }, ...mine.map(own)),
      ),
    )
  }

  /** @param {any} one */
  #other(one) {
    const act = (/** @type {string} */ verdict, /** @type {string} */ kind) => {
      const button = el("button", { type: "button", class: `button small ${kind}`, onclick: () => this.#decide(one, verdict) }, t(`approval.${verdict}_it`))
      button.setAttribute("aria-label", t(`approval.${verdict}_one`, { who: one.asker, customer: one.customer_masked }))
      return button
    }
    return el("li", {}, about(one, t("approval.asks", { who: one.asker, at: when(one.asked_at) })), el("div", { class: "row" }, act("approved", "primary"), act("refused", "")))
  }

  /**
   * @param {any} one
   * @param {string} verdict
   */
  async #decide(one, verdict) {
    const reason = await askReason({
      title: t(`approval.${verdict}_it`),
      why: t("approval.decide_about", { who: one.asker, reason: one.reason }),
      label: t("approval.reason"),
      confirm: t(`approval.${verdict}_it`),
    })
    if (reason === null) return
    const done = await attempt(post(`/api/approvals/${one.id}/decision`, { verdict, reason }))
    if (done) tell(t(`approval.${verdict}_done`))
    await this.look()
  }
}

/** @param {any} one */
function own(one) {
  const state = one.verdict ?? "waiting"
  const said = one.verdict ? t("approval.decided", { who: one.decider, reason: one.decision_reason }) : t("approval.until", { at: when(one.expires_at) })
  return el("li", {}, about(one, said), mark(STATES[state], t(`approval.state.${state}`)))
}

/**
 * @param {any} one
 * @param {string} words
 */
function about(one, words) {
  return el(
    "div",
    { class: "stack close" },
    el("strong", {}, `${one.customer_masked} · ${businessName(one.business)} · ${when(one.at)}`),
    el("span", { class: "quiet" }, words),
    el("q", {}, one.reason),
  )
}

customElements.define("replay-requests", ReplayRequests)
