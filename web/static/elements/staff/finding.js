// One finding of a check, as the teller and the reviewer see it.

import { el, icon } from "../../lib/html.js"
import { known, t } from "../../lib/i18n.js"
import { open } from "./dialog.js"

/** Below this the machine is not sure of what it read. */
const UNSURE = 0.85

/**
 * @typedef {object} Finding
 * @property {string} id
 * @property {string} check
 * @property {number} attempt
 * @property {string} verdict
 * @property {string} reason
 * @property {number|null} score
 * @property {number|null} threshold
 * @property {Record<string, any>} values
 * @property {Record<string, {value: string, by: string, at: string, reason: string}>} corrections
 * @property {{name: string, url: string}[]} pictures
 * @property {Record<string, string>} models
 * @property {number|null} media_time_us
 * @property {string} at
 *
 * @typedef {(finding: Finding, field: string) => void} Correct
 */

/**
 * @param {Finding} finding
 * @param {{correct?: Correct}} [actions] without `correct` the fields are read only
 */
export function findingView(finding, { correct } = {}) {
  return el(
    "div",
    { class: "finding" },
    el("p", { class: "reason" }, reasonWords(finding.reason)),
    finding.score !== null && finding.score !== undefined && scoreBar(finding),
    pictures(finding),
    fields(finding, correct),
    prompts(finding),
    models(finding),
  )
}

/** @param {string} reason */
export function reasonWords(reason) {
  return known(`reason.${reason}`) ? t(`reason.${reason}`) : reason.replaceAll("_", " ")
}

/** @param {string} check */
export function checkName(check) {
  return known(`check.${check}`) ? t(`check.${check}`) : check.replaceAll("_", " ")
}

/** @param {Finding} finding */
function scoreBar({ score, threshold }) {
  const bar = el("span", { class: "bar", "aria-hidden": "true" })
  bar.style.setProperty("--score", String(clamp(score ?? 0)))
  if (threshold === null || threshold === undefined) return score === null ? null : line(bar, round(score ?? 0))
  bar.style.setProperty("--threshold", String(clamp(threshold)))
  bar.dataset.tone = (score ?? 0) >= threshold ? "good" : "bad"
  const sign = (score ?? 0) >= threshold ? "≥" : "<"
  return line(bar, `${round(score ?? 0)} ${sign} ${round(threshold)}`)
}

/**
 * @param {HTMLElement} bar
 * @param {string} numbers
 */
function line(bar, numbers) {
  return el(
    "p",
    { class: "score" },
    el("span", { class: "quiet" }, t("finding.score")),
    bar,
    el("span", { class: "number" }, numbers),
  )
}

/** @param {Finding} finding */
function pictures(finding) {
  if (finding.pictures.length === 0) return null
  return el("ul", { class: "pictures" }, ...finding.pictures.map((one) => el("li", {}, thumb(one))))
}

/** @param {{name: string, url: string}} picture */
function thumb({ name, url }) {
  const words = known(`picture.${name}`) ? t(`picture.${name}`) : name
  const image = el("img", { src: url, alt: words, loading: "lazy", decoding: "async" })
  const enlarge = () =>
    open({ title: words, kind: "picture" }, el("img", { src: url, alt: words }), closing())
  const label = t("finding.enlarge", { picture: words })
  return el(
    "button",
    { type: "button", class: "thumb", "aria-label": label, onclick: enlarge },
    image,
    el("span", {}, words),
  )
}

function closing() {
  const button = el("button", { type: "button", class: "button" }, t("staff.close"))
  button.addEventListener("click", () => button.closest("dialog")?.close())
  return el("div", { class: "actions" }, button)
}

/**
 * Fields read from a document: what the machine read stays beside what a person made of it.
 * @param {Finding} finding
 * @param {Correct} [correct]
 */
function fields(finding, correct) {
  const read = Object.entries(finding.values).filter(([, value]) => isField(value))
  if (read.length === 0) return null
  return el("dl", { class: "fields" }, ...read.flatMap(([name, value]) => field(finding, name, value, correct)))
}

/**
 * @param {Finding} finding
 * @param {string} name
 * @param {{value: string, confidence: number}} read
 * @param {Correct} [correct]
 */
function field(finding, name, { value, confidence }, correct) {
  const words = fieldName(name)
  const correction = finding.corrections?.[name]
  const unsure = !correction && confidence < UNSURE
  const pencil = correct && {
    class: "plain pencil",
    type: "button",
    "aria-label": t("finding.correct_field", { field: words }),
    title: t("finding.correct_field", { field: words }),
    onclick: () => correct(finding, name),
  }
  return [
    el("dt", {}, words),
    el(
      "dd",
      { data: { field: name } },
      el("span", { class: "value" }, correction?.value ?? (value || t("finding.unread"))),
      unsure && el("span", { class: "unsure" }, icon("alert"), t("finding.unsure", { percent: percent(confidence) })),
      pencil && el("button", pencil, icon("edit")),
      correction && el("span", { class: "machine" }, t("finding.machine_read", { value: value || "–" })),
      correction &&
        el("span", { class: "machine" }, t("finding.corrected_by", { by: correction.by, reason: correction.reason })),
    ),
  ]
}

/** @param {string} name */
export function fieldName(name) {
  return known(`field.${name}`) ? t(`field.${name}`) : name.replaceAll("_", " ")
}

/**
 * What was asked of the customer in a liveness check, one by one.
 * @param {Finding} finding
 */
function prompts(finding) {
  const asked = finding.values.prompts
  if (!Array.isArray(asked) || asked.length === 0) return null
  return el("ol", { class: "prompts" }, ...asked.map(prompt))
}

/** @param {{prompt: string, followed: boolean, asked_us: number, seen_us: number|null}} asked */
function prompt({ prompt, followed, asked_us, seen_us }) {
  const seconds = seen_us === null ? null : ((seen_us - asked_us) / 1e6).toFixed(1)
  const words = t(followed ? "finding.followed" : "finding.not_followed")
  return el(
    "li",
    { data: { tone: followed ? "good" : "bad" } },
    icon(followed ? "check" : "close"),
    el("span", {}, t(`hint.${prompt}`)),
    el("span", { class: "quiet" }, seconds === null ? words : t("finding.after", { seconds })),
  )
}

/** @param {Finding} finding */
function models(finding) {
  const names = Object.entries(finding.models ?? {})
  if (names.length === 0) return null
  return el(
    "details",
    { class: "models" },
    el("summary", {}, t("finding.models")),
    el("ul", {}, ...names.map(([name, hash]) => el("li", {}, name, " ", el("code", {}, hash.slice(0, 16))))),
  )
}

/** @param {unknown} value */
function isField(value) {
  return typeof value === "object" && value !== null && "value" in value && "confidence" in value
}

/** @param {number} share */
const clamp = (share) => Math.max(0, Math.min(1, share))
/** @param {number} number */
const round = (number) => number.toFixed(2)
/** @param {number} share */
const percent = (share) => Math.round(share * 100)
