// <session-card>: one call that goes on: who, how long, how good, what is wrong, and the ways in.

import { el, fill, icon } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { businessName } from "../businesses.js"
import { bars } from "../signal_meter.js"
import { since } from "./floor.js"

/** @typedef {"listening"|"whispering"|"joined"} Mode */

/** @type {[Mode, string][]} */
export const MODES = [
  ["listening", "ear"],
  ["whispering", "whisper"],
  ["joined", "people"],
]
const BAD = 1

export class SessionCard extends Live {
  /** @type {(mode: Mode|"off") => void} */
  enter = () => {}
  #head = el("div", { class: "stack close" })
  #alerts = el("div", { class: "row", role: "status" })
  #people = el("ul", { class: "card-people", role: "list" })
  #ways = el("div", { class: "row ways" })
  #shown = ""

  connect() {
    this.classList.add("card", "flat", "stack")
    fill(this, this.#head, this.#alerts, this.#people, this.#ways)
  }

  /**
   * @param {any} session
   * @param {string} policy
   * @param {Mode|"off"} mode how this supervisor is there
   */
  show(session, policy, mode) {
    const { media_time_us, ...rest } = session
    const key = JSON.stringify([rest, policy, mode])
    this.dataset.mode = mode
    if (key === this.#shown) return
    this.#shown = key
    const begun = Math.max(0, Date.now() - session.accepted_at / 1000) / 1000
    fill(
      this.#head,
      el("div", { class: "row apart" }, el("h3", {}, session.customer), el("span", { class: "row" }, icon("clock"), since(begun))),
      el("p", { class: "quiet small" }, `${businessName(session.business)} · ${t("floor.with", { name: session.teller.name })}`),
    )
    const alerts = alertsOf(session)
    const words = alerts.map(({ words }) => words).join()
    if (this.#alerts.dataset.told !== words) fill(this.#alerts, ...alerts.map(badge))
    this.#alerts.dataset.told = words
    fill(this.#people, ...session.people.map((/** @type {any} */ one) => person(one, session.levels[one.id])))
    this.#showWays(session, policy, mode)
  }

  /**
   * @param {any} session
   * @param {string} policy
   * @param {Mode|"off"} mode
   */
  #showWays(session, policy, mode) {
    const focused = this.#ways.contains(document.activeElement) ? document.activeElement?.getAttribute("data-way") : null
    const way = (/** @type {Mode|"off"} */ name, /** @type {string} */ picture) => {
      const button = el("button", { type: "button", class: "button small", data: { way: name }, onclick: () => this.enter(name) }, icon(picture), t(`watch.${name}`))
      button.setAttribute("aria-label", t("watch.one", { way: t(`watch.${name}`), customer: session.customer }))
      if (name !== "off") button.setAttribute("aria-pressed", String(name === mode))
      return button
    }
    const replay = el("a", { class: "button small", href: `/replay?session=${session.id}`, "aria-label": t("watch.replay_one", { customer: session.customer }) }, icon("play"), t("watch.replay"))
    fill(this.#ways, ...(policy === "off" ? [] : MODES).map(([name, picture]) => way(name, picture)), mode !== "off" && way("off", "exit"), replay)
    if (focused) /** @type {HTMLElement|null} */ (this.#ways.querySelector(`[data-way=${focused}]`))?.focus()
    return undefined
  }
}

/** @param {any} session */
function alertsOf({ levels, people, on_hold, recording_up, alert }) {
  const bad = people.filter((/** @type {any} */ one) => (levels[one.id] ?? BAD + 1) <= BAD)
  const alerts = [
    !recording_up && { tone: "stop", picture: "record", words: t("floor.not_recorded") },
    alert !== null && { tone: alert === "other_face" ? "stop" : "look", picture: "face", words: t(`watch_code.${alert}`) },
    bad.length > 0 && { tone: "look", picture: "network", words: t("floor.bad_line", { names: bad.map((/** @type {any} */ one) => one.name).join(t("staff.comma")) }) },
    on_hold && { tone: "look", picture: "pause", words: t("common.on_hold") },
  ]
  return alerts.filter((alert) => alert !== false)
}

/** @param {{tone: string, picture: string, words: string}} alert */
function badge({ tone, picture, words }) {
  return el("span", { class: `badge ${tone}` }, icon(picture), words)
}

/**
 * @param {{name: string, role: string, presence: string}} person
 * @param {number|undefined} level
 */
function person({ name, role, presence }, level) {
  const known = level !== undefined && presence !== "listening"
  const words = known ? t(`stage.signal_${level}`) : t("floor.no_level")
  return el(
    "li",
    {},
    el("span", { class: "name" }, name),
    el("span", { class: "quiet small" }, presence === "joined" ? t(`role.${role}`) : `${t(`role.${role}`)} · ${t(`people.${presence}`)}`),
    known && el("span", { class: "signal", data: { level: String(level) } }, bars(), el("span", { class: "words" }, words)),
  )
}

customElements.define("session-card", SessionCard)
