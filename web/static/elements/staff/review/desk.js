// <review-desk>: the sessions of the bank, filtered, masked; one opened for a reason and replayed.

import "../../page.js"
import { get } from "../../../lib/api.js"
import { el, fill, find, make } from "../../../lib/html.js"
import { clock, known, t, when } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { businessName, businessOptions, learn } from "../businesses.js"
import { checkName } from "../finding.js"
import { decisionMark, sealMark } from "../marks.js"
import { attempt } from "../tell.js"
import { openViewing } from "./opening.js"
import { SessionReplay } from "./replay.js"
import { ReplayRequests } from "./requests.js"

const COLUMNS = ["at", "customer", "business", "teller", "decision", "duration", "seal", "open"]

class ReviewDesk extends Live {
  #requests = make(ReplayRequests)

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#form.addEventListener("submit", (event) => this.#search(event), { signal })
    this.#form.addEventListener("reset", () => setTimeout(() => this.#list(1)), { signal })
    this.#form.addEventListener("change", () => this.#list(1), { signal })
    this.addEventListener("leave", () => this.#close(), { signal })
    find("[data-part=requests]", this).append(this.#requests)
    this.#begin()
  }

  async #begin() {
    learn(await attempt(get("/api/reviews/businesses")))
    find("[name=business]", this).append(...businessOptions().map(({ value, words }) => el("option", { value }, words)))
    await Promise.all([this.#list(1), this.#requests.look()])
  }

  get #form() {
    return /** @type {HTMLFormElement} */ (find("form.filters", this))
  }

  /** @param {Event} event */
  #search(event) {
    event.preventDefault()
    return this.#list(1)
  }

  /** @param {number} page from 1 */
  async #list(page) {
    const wish = new URLSearchParams({ page: String(page) })
    for (const [name, value] of new FormData(this.#form)) if (value) wish.set(name, String(value))
    const found = await attempt(get(`/api/reviews?${wish}`))
    if (!found) return
    fill(find("[data-part=rows]", this), ...found.sessions.map((/** @type {any} */ row) => this.#row(row)))
    find("[data-part=empty]", this).hidden = found.sessions.length > 0
    find("[data-part=total]", this).textContent = t("review.total", { total: found.total })
    fill(find("[data-part=pages]", this), ...this.#pages(found))
  }

  /** @param {any} session */
  #row(session) {
    const show = el("button", { type: "button", class: "button small", onclick: () => this.#open(session) }, t("review.open"))
    show.setAttribute("aria-label", t("review.open_one", { at: when(session.at), customer: session.customer_masked }))
    const cells = [
      el("time", { class: "number" }, when(session.at)),
      session.customer_masked,
      businessName(session.business),
      session.teller ?? "–",
      el("span", { class: "row" }, decisionMark(session.decision), ...(session.flags ?? []).map(flag)),
      el("span", { class: "number" }, session.duration_s === null ? "–" : clock(session.duration_s)),
      sealMark(session.seal),
      show,
    ]
    return el("tr", { data: { session: session.id } }, ...cells.map((cell, at) => el("td", { data: { label: t(`review.column.${COLUMNS[at]}`) } }, cell)))
  }

  /** @param {{page: number, pages: number}} found */
  #pages({ page, pages }) {
    if (pages <= 1) return []
    const turn = (/** @type {number} */ by) => () => this.#list(page + by)
    return [
      el("button", { type: "button", class: "button small", disabled: page <= 1, onclick: turn(-1) }, t("review.newer")),
      el("span", { class: "number quiet" }, t("review.page", { page, pages })),
      el("button", { type: "button", class: "button small", disabled: page >= pages, onclick: turn(1) }, t("review.older")),
    ]
  }

  /** @param {any} session */
  async #open(session) {
    const viewing = await openViewing(session.id)
    if (!viewing) {
      await this.#requests.look()
      return
    }
    const replay = make(SessionReplay)
    replay.viewing = { ...viewing, session: { ...session, ...viewing.session } }
    find("[data-part=list]", this).hidden = true
    fill(find("[data-part=replay]", this), replay)
    document.body.dataset.view = "replay"
    window.scrollTo(0, 0)
  }

  #close() {
    fill(find("[data-part=replay]", this))
    find("[data-part=list]", this).hidden = false
    delete document.body.dataset.view
  }
}

/** @param {string} code */
function flag(code) {
  const [what, check] = code.split(":")
  const words = known(`flag.${what}`) ? t(`flag.${what}`, { check: check ? checkName(check) : "" }) : what.replaceAll("_", " ")
  return el("span", { class: "badge look" }, words)
}

customElements.define("review-desk", ReviewDesk)
