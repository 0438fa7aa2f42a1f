// <check-list>: every check the business asks for, its state, its finding, and its buttons.

import { post } from "../../../lib/api.js"
import { el, fill, find, icon } from "../../../lib/html.js"
import { instant, known, t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { askReason } from "../dialog.js"
import { checkName, fieldName, findingView, reasonWords } from "../finding.js"
import { mark, verdictMark } from "../marks.js"
import { attempt } from "../tell.js"

/** @typedef {import("../finding.js").Finding} Finding */
/** @typedef {{check: string, state: string, attempts: number, tries_left: number|null, finding: Finding|null}} Check */

/** Under which check a finding made beside it is shown: with the pictures it was made from. */
const BESIDE = /** @type {Record<string, string>} */ ({
  card_screen: "id_card_front",
  card_copy: "id_card_front",
  card_portrait_edges: "id_card_front",
  card_print: "id_card_front",
  passive: "liveness",
  injection: "liveness",
  live_person: "liveness",
  continuity: "face_match",
  face_known: "face_match",
})

class CheckList extends Live {
  #session = ""
  #talking = false
  #newest = ""
  /** @type {Check[]} */
  #checks = []
  /** @type {Finding[]} what was found beside the checks */
  #beside = []
  /** @type {string[]} hints that bar an approval */
  #heed = []
  /** What each row was made from, so that a row is made again only when it changed.
   *  @type {Map<string, string>} */
  #made = new Map()

  /** @param {any} view of the session */
  show(view) {
    if (view.id !== this.#session) this.#begin(view)
    this.#talking = view.state === "talking"
    this.#checks = view.checks
    this.#beside = view.beside
    this.#heed = view.policy.heed
    find(".progress", this).textContent = t("check.progress", {
      passed: view.checks.filter((/** @type {Check} */ one) => one.finding?.verdict === "passed").length,
      all: view.checks.length,
    })
    view.checks.forEach((/** @type {Check} */ check, /** @type {number} */ at) => this.#row(check, at))
    this.#follow(view.checks)
    this.#instead(view.instead)
    if (view.guide) this.guide(view.guide)
  }

  /**
   * What may be asked for in place of the checks above: a passport for a resident's card.
   * @param {string[]} checks
   */
  #instead(checks) {
    const place = find(".instead", this)
    place.hidden = !this.#talking || checks.length === 0
    const words = JSON.stringify(checks)
    if (place.dataset.made === words) return
    place.dataset.made = words
    fill(
      place,
      el("span", { class: "small quiet" }, t("check.instead")),
      ...checks.map((check) => el("button", { type: "button", class: "button small", onclick: () => attempt(this.#post(check)) }, icon("plus"), checkName(check))),
    )
  }

  /**
   * A new finding is brought into sight, unless the teller is writing.
   * @param {Check[]} checks
   */
  #follow(checks) {
    const done = checks.filter(({ finding }) => finding !== null)
    const newest = done.sort((a, b) => instant(b.finding?.at ?? 0) - instant(a.finding?.at ?? 0))[0]
    if (!newest?.finding || newest.finding.id === this.#newest) return
    this.#newest = newest.finding.id
    if (document.activeElement?.matches("textarea, input")) return
    this.querySelector(`[data-check="${CSS.escape(newest.check)}"]`)?.scrollIntoView({ block: "nearest" })
  }

  /** @param {number} at which check, from 0 */
  start(at) {
    const check = this.#checks[at]
    if (check && this.#talking && check.state !== "running") void attempt(this.#post(check.check))
  }

  /** Stops the check that runs. */
  stop() {
    const running = this.#checks.find(({ state }) => state === "running")
    if (running) void attempt(this.#post(`${running.check}/stop`))
  }

  /** @param {any} guide what the customer is asked to do just now */
  guide({ check, hint, prompt, deadline_s, progress, mode }) {
    const place = this.querySelector(`[data-check="${CSS.escape(check)}"] .live`)
    if (!(place instanceof HTMLElement)) return
    place.hidden = mode === "none"
    const asked = prompt || hint
    fill(
      place,
      el("span", { class: "small quiet" }, t("check.asked")),
      el("strong", {}, known(`hint.${asked}`) ? t(`hint.${asked}`) : (asked ?? "")),
      deadline_s !== null && deadline_s !== undefined && el("span", { class: "number" }, t("stage.seconds", { seconds: Math.ceil(deadline_s) })),
      el("span", { class: "meter", "aria-hidden": "true" }),
    )
    place.style.setProperty("--level", String(progress ?? 0))
  }

  /** @param {any} view */
  #begin(view) {
    this.#session = view.id
    this.#made.clear()
    fill(
      this,
      el("header", { class: "row apart" }, el("h2", {}, t("teller.checks")), el("span", { class: "progress quiet number", role: "status" })),
      el("ol", { class: "checks", role: "list" }),
      el("div", { class: "instead row", hidden: true }),
    )
  }

  /**
   * @param {Check} check
   * @param {number} at
   */
  #row(check, at) {
    const beside = this.#beside.filter((one) => BESIDE[one.check] === check.check)
    const made = JSON.stringify([check, this.#talking, beside])
    if (this.#made.get(check.check) === made) return
    this.#made.set(check.check, made)
    const row = this.#place(check.check)
    const held = row.contains(document.activeElement) ? document.activeElement?.getAttribute("data-act") : null
    row.dataset.state = check.state === "done" ? (check.finding?.verdict ?? "done") : check.state
    fill(row, this.#head(check, at), el("p", { class: "live", hidden: true, role: "status" }), this.#body(check), this.#notes(check, beside))
    if (held) /** @type {HTMLElement|null} */ (row.querySelector("[data-act]"))?.focus()
  }

  /** The row of a check; one that is asked for later gets its row then. @param {string} check */
  #place(check) {
    const row = /** @type {HTMLElement|null} */ (this.querySelector(`[data-check="${CSS.escape(check)}"]`))
    if (row) return row
    const made = el("li", { class: "check", data: { check } })
    find(".checks", this).append(made)
    return made
  }

  /**
   * What else the same pictures said, as notes: amber when it speaks against the customer.
   * @param {Check} check
   * @param {Finding[]} beside
   */
  #notes({ state }, beside) {
    if (state === "running" || beside.length === 0) return null
    return el("ul", { class: "beside", role: "list" }, ...beside.map((one) => this.#note(one)))
  }

  /** @param {Finding} finding */
  #note(finding) {
    const against = finding.verdict === "failed"
    const barring = against && this.#heed.includes(finding.check)
    const tone = barring ? "bad" : against ? "look" : finding.verdict === "passed" ? "good" : "none"
    return el(
      "li",
      { data: { tone, beside: finding.check } },
      el(
        "details",
        { open: against },
        el("summary", {}, mark(tone, checkName(finding.check)), el("span", { class: "small" }, reasonWords(finding.reason))),
        findingView(finding, { plain: true }),
      ),
    )
  }

  /**
   * @param {Check} check
   * @param {number} at
   */
  #head(check, at) {
    const running = check.state === "running"
    return el(
      "div",
      { class: "check-head" },
      el("kbd", { "aria-hidden": "true" }, String(at + 1)),
      el("div", { class: "check-name" }, el("h3", {}, checkName(check.check)), stateMark(check)),
      this.#talking && (running ? this.#act(check, "stop") : this.#act(check, check.attempts > 0 ? "retry" : "start")),
    )
  }

  /**
   * @param {Check} check
   * @param {"start"|"retry"|"stop"} act
   */
  #act({ check, tries_left }, act) {
    const words = t(`check.${act}`)
    const spent = act === "retry" && tries_left === 0
    if (spent) return el("span", { class: "small quiet spent" }, t("check.spent"))
    return el(
      "button",
      {
        type: "button",
        class: "button small",
        "aria-label": `${words}: ${checkName(check)}`,
        data: { act },
        onclick: () => attempt(this.#post(act === "stop" ? `${check}/stop` : check)),
      },
      words,
    )
  }

  /** @param {Check} check */
  #body({ state, finding, attempts }) {
    if (!finding || state === "running") return null
    const body = el(
      "details",
      { class: "check-body", open: true },
      el("summary", {}, icon("chevron-right"), t("check.details", { attempt: attempts })),
      findingView(finding, { correct: (of, field) => this.#correct(of, field) }),
    )
    return body
  }

  /**
   * @param {import("../finding.js").Finding} finding
   * @param {string} field
   */
  async #correct(finding, field) {
    const read = finding.values[field]?.value ?? ""
    const value = el("input", { class: "input", value: finding.corrections[field]?.value ?? read, maxlength: 200, required: true })
    const reason = await askReason({
      title: t("finding.correct_field", { field: fieldName(field) }),
      why: t("finding.correct_about", { value: read || "–" }),
      before: el("label", { class: "field" }, el("span", { class: "label" }, fieldName(field)), value),
      label: t("finding.correct_reason"),
      confirm: t("common.save"),
    })
    if (reason === null) return
    await attempt(post(`/api/sessions/${this.#session}/findings/${finding.id}/corrections`, { field, value: value.value.trim(), reason }))
  }

  /** @param {string} path */
  #post(path) {
    return post(`/api/sessions/${this.#session}/checks/${path}`)
  }
}

/** @param {Check} check */
function stateMark({ state, attempts, finding }) {
  if (state === "running") return mark("busy", t("check.running"))
  if (state === "waiting" && attempts > 0) return mark("busy", t("check.again"))
  return finding ? verdictMark(finding.verdict) : mark("none", t("check.waiting"))
}

customElements.define("check-list", CheckList)
