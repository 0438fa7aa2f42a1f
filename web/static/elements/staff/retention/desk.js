// <retention-desk>: what is erased next and why, legal holds, periods with their sources,
// certificates. What is erased cannot be had again, so it is asked for twice, once by typing.

import "../../page.js"
import { get, post } from "../../../lib/api.js"
import { el, fill, find, icon } from "../../../lib/html.js"
import { pick, t, when } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { askReason } from "../dialog.js"
import { mark } from "../marks.js"
import { attempt, tell } from "../tell.js"
import { months, size } from "./months.js"
import { period } from "./periods.js"

const TYPED = 6 // last characters of a session's number, as the server asks for them
const DAY = /** @type {const} */ ({ dateStyle: "medium" })

/** @typedef {{session: string, class: string, parts: number, bytes: number, kept_until: number, source: string, hold: string|null}} Kept */

class RetentionDesk extends Live {
  /** @type {Map<string, any>} */
  #classes = new Map()
  #early = false
  /** Erasures that wait for a second person, by session. @type {Record<string, {by: string, own: boolean}>} */
  #asked = {}

  /** @param {AbortSignal} signal */
  connect(signal) {
    const form = /** @type {HTMLFormElement} */ (find("form[data-part=hold]", this))
    form.addEventListener("submit", (event) => this.#place(event, form), { signal })
    this.#load()
  }

  async #load() {
    const all = await attempt(get("/api/retention"))
    if (!all) return
    this.#classes = new Map(all.policy.classes.map((/** @type {any} */ one) => [one.id, one]))
    this.#early = all.early
    this.#asked = all.asked
    this.#night(all)
    this.#part("months", ...months(all.months, Date.now()))
    this.#part("holds", ...all.holds.map((/** @type {any} */ one) => this.#hold(one)))
    const { version, jurisdictions } = all.policy
    this.#part("policy", t("retention.policy", { version, where: jurisdictions.join(" · ") }))
    this.#part("classes", ...all.policy.classes.map(period))
    this.#part("erasures", ...all.erasures.map(erasure))
    find("[data-part=none_erased]", this).hidden = all.erasures.length > 0
  }

  /** @param {any} all */
  #night({ night, plan, next, sessions }) {
    const last = night.last ? t("retention.last", { at: when(night.last) }) : t("retention.never")
    const hour = new Date()
    hour.setUTCHours(night.hour, 0, 0, 0)
    const at = when(hour.getTime() * 1000, { timeStyle: "short" })
    const how = night.enabled ? t("retention.each_night", { at }) : t("retention.by_hand")
    this.#part("night", `${how} ${last}`)
    const moved = Object.values(plan.moves).reduce((/** @type {number} */ sum, each) => sum + each, 0)
    const facts = [
      ["will_erase", plan.erase.length],
      ["will_hold", plan.held.length],
      ["will_move", moved],
      ["will_destroy", plan.destroy.length],
      ["will_forget", plan.forget],
      ["shorter", plan.shorter],
      ["kept", sessions],
    ]
    this.#part("facts", ...facts.map(([name, count]) => el("li", {}, el("strong", { class: "number" }, String(count)), el("span", { class: "quiet" }, t(`retention.${name}`)))))
    this.#part("next", ...next.map((/** @type {Kept} */ one) => this.#kept(one, plan.at)))
    find("[data-part=nothing]", this).hidden = next.length > 0
  }

  /**
   * @param {Kept} one
   * @param {number} now
   */
  #kept(one, now) {
    const due = one.kept_until <= now
    const state = one.hold ? mark("look", t("retention.held")) : due ? mark("bad", t("retention.due")) : mark("none", t("retention.not_due"))
    const asked = this.#asked[one.session]
    const acts = el("div", { class: "row" })
    const name = { "aria-label": `${t("retention.erase")} ${one.session}` }
    if (!one.hold && (due || this.#early) && !asked?.own) acts.append(el("button", { type: "button", class: "button small danger", onclick: () => this.#erase(one, !due), ...name }, t("retention.erase")))
    if (one.hold) acts.append(this.#lifting(one.hold, one.session))
    else acts.append(el("button", { type: "button", class: "button small", onclick: () => this.#fillHold(one.session), "aria-label": `${t("retention.place")} ${one.session}` }, t("retention.place")))
    return cells(
      ["session", el("code", { class: "session" }, one.session)],
      ["class", pick(this.#classes.get(one.class)?.name) || one.class],
      ["until", el("time", {}, when(one.kept_until, DAY))],
      ["size", el("span", { class: "number" }, size(one.bytes))],
      ["state", asked ? el("span", { class: "stack" }, state, mark("look", t("retention.asked_by", { by: asked.by }))) : state],
      ["acts", acts],
    )
  }

  /** @param {any} one */
  #hold({ id, session, reason, by, at }) {
    return cells(["session", el("code", { class: "session" }, session)], ["reason", reason], ["by", by], ["at", el("time", {}, when(at))], ["acts", this.#lifting(id, session)])
  }

  /**
   * @param {string} hold
   * @param {string} session
   */
  #lifting(hold, session) {
    const lift = () => this.#lift(hold, session)
    return el("button", { type: "button", class: "button small", onclick: lift, "aria-label": `${t("retention.lift")} ${session}` }, t("retention.lift"))
  }

  /** @param {string} session */
  #fillHold(session) {
    /** @type {HTMLInputElement} */ (find("#session", this)).value = session
    find("#reason", this).focus()
  }

  /**
   * @param {Event} event
   * @param {HTMLFormElement} form
   */
  async #place(event, form) {
    event.preventDefault()
    const said = new FormData(form)
    const session = String(said.get("session")).trim().toUpperCase()
    if (!(await attempt(post("/api/retention/holds", { session, reason: said.get("reason") })))) return
    form.reset()
    tell(t("retention.placed"))
    await this.#load()
  }

  /**
   * @param {string} hold
   * @param {string} session
   */
  async #lift(hold, session) {
    const reason = await askReason({
      title: t("retention.lift_title"),
      why: t("retention.lift_why", { session }),
      label: t("retention.reason"),
      confirm: t("retention.lift"),
    })
    if (!reason || !(await attempt(post(`/api/retention/holds/${hold}/lift`, { reason })))) return
    tell(t("retention.lifted"))
    await this.#load()
  }

  /**
   * @param {Kept} one
   * @param {boolean} early before its period is over
   */
  async #erase(one, early) {
    const typed = el("input", { class: "input mono", name: "number", required: true, maxlength: TYPED, autocomplete: "off", autocapitalize: "characters", spellcheck: "false" })
    const before = el(
      "div",
      { class: "stack" },
      early && el("p", { class: "notice stop" }, icon("alert"), el("span", {}, t("retention.early", { until: when(one.kept_until, DAY) }))),
      el("label", { class: "field" }, el("span", {}, t("retention.type", { count: TYPED, session: one.session })), typed),
    )
    const reason = await askReason({ title: t("retention.erase_title"), why: t("retention.erase_why"), label: t("retention.reason"), confirm: t("retention.erase"), before, tone: "danger" })
    if (!reason) return
    const asked = { session: one.session, number: typed.value.trim(), reason, early }
    const made = await attempt(post("/api/retention/erasures", asked))
    if (!made) return
    tell(t(made.asked ? "retention.asked" : "retention.erased"))
    await this.#load()
  }

  /**
   * @param {string} name
   * @param {...(Node|string)} children
   */
  #part(name, ...children) {
    fill(find(`[data-part=${name}]`, this), ...children)
  }
}

/** @param {any} one */
function erasure({ id, at, by, reason, sessions, parts, keks, finished }) {
  const what = sessions.length ? [t("retention.session_erased", { parts }), el("code", { class: "session" }, ...sessions)] : [t("retention.keys_destroyed"), el("code", {}, keks.join(", "))]
  const file = finished
    ? el("a", { class: "button small", href: `/api/retention/erasures/${id}`, download: `erasure-${id}.json`, "aria-label": `${t("retention.certificate")} ${id}` }, icon("download"), t("retention.certificate"))
    : mark("look", t("retention.unfinished"))
  return cells(["at", el("time", {}, when(at))], ["what", el("span", { class: "what" }, ...what)], ["by", by ?? t("retention.nightly")], ["reason", reason], ["acts", file])
}

/** @param {...[string, Node|string]} named */
function cells(...named) {
  return el("tr", {}, ...named.map(([name, cell]) => el("td", { data: { label: t(`retention.column.${name}`) } }, cell)))
}

customElements.define("retention-desk", RetentionDesk)
