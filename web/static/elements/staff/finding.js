// One finding of a check, as the teller and the reviewer see it.

import { el, icon } from "../../lib/html.js"
import { clock, known, t } from "../../lib/i18n.js"
import { open } from "./dialog.js"
import { mark } from "./marks.js"

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
 * @typedef {(at_us: number) => void} Seek
 */

/**
 * @param {Finding} finding
 * @param {object} [how]
 * @param {Correct} [how.correct] without it the fields are read only
 * @param {Seek} [how.seek] jump to a moment of the recording
 * @param {boolean} [how.plain] the reason stands above it already
 */
export function findingView(finding, { correct, seek, plain = false } = {}) {
  return el(
    "div",
    { class: "finding" },
    !plain && el("p", { class: "reason" }, reasonWords(finding.reason)),
    finding.score !== null && finding.score !== undefined && scoreBar(finding),
    pictures(finding),
    fields(finding, correct),
    zone(finding),
    prompts(finding, seek),
    colours(finding, seek),
    heard(finding, seek),
    changes(finding, seek),
    signals(finding),
    saidByEye(finding),
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

/** @param {{score: number|null, threshold: number|null}} scored */
function scoreBar({ score, threshold }) {
  const bar = el("span", { class: "bar", "aria-hidden": "true" })
  const full = Math.max(1, score ?? 0, threshold ?? 0) // counts of signs go beyond 1
  bar.style.setProperty("--score", String(clamp((score ?? 0) / full)))
  if (threshold === null || threshold === undefined) return score === null ? null : line(bar, round(score ?? 0))
  bar.style.setProperty("--threshold", String(clamp(threshold / full)))
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
  // Portrait and face beside each other: that is what there is to compare.
  const pair = ["portrait", "face"].every((name) => finding.pictures.some((one) => one.name === name))
  return el("ul", { class: pair ? "pictures pair" : "pictures" }, ...finding.pictures.map((one) => el("li", {}, thumb(one))))
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
 * The machine-readable lines of a travel document, as read.
 * @param {Finding} finding
 */
function zone(finding) {
  const lines = finding.values.mrz
  if (!Array.isArray(lines) || lines.length === 0) return null
  return el("pre", { class: "zone", "aria-label": t("finding.zone") }, lines.join("\n"))
}

/**
 * What was asked of the customer in a liveness check, one by one.
 * @param {Finding} finding
 * @param {Seek} [seek]
 */
function prompts(finding, seek) {
  const asked = finding.values.prompts
  if (!Array.isArray(asked) || asked.length === 0) return null
  return el("ol", { class: "prompts" }, ...asked.map((one) => prompt(one, seek)))
}

/**
 * The colours the customer's screen showed.
 * @param {Finding} finding
 * @param {Seek} [seek]
 */
function colours(finding, seek) {
  const shown = finding.values.colours
  if (!Array.isArray(shown) || shown.length === 0) return null
  return el("ol", { class: "colours", "aria-label": t("finding.colours") }, ...shown.map((one) => colour(one, seek)))
}

/**
 * @param {{colour: string, shown_us: number|null}} one
 * @param {Seek} [seek]
 */
function colour({ colour, shown_us }, seek) {
  const patch = el("span", { class: "patch", "aria-hidden": "true" })
  patch.style.setProperty("--patch", colour)
  return el("li", {}, patch, moment(shown_us, seek))
}

/**
 * The digits the customer was to say, and what was heard.
 * @param {Finding} finding
 * @param {Seek} [seek]
 */
function heard({ check, values }, seek) {
  if (check !== "spoken_digits" || !values.asked) return null
  const said = Array.isArray(values.heard) ? values.heard : []
  return el(
    "dl",
    { class: "fields" },
    el("dt", {}, t("finding.asked")),
    el("dd", {}, el("span", { class: "value number" }, [...String(values.asked)].join(" "))),
    el("dt", {}, t("finding.heard")),
    el("dd", {}, ...(said.length ? said.map((/** @type {any} */ one) => el("span", { class: "value number" }, one.digits || one.text || "–", " ", moment(one.from_us, seek))) : ["–"])),
    values.mouth_moved && el("dt", {}, t("finding.mouth")),
    values.mouth_moved && el("dd", {}, el("span", { class: "value" }, reasonWords(values.mouth_moved.reason ?? values.mouth_moved.verdict))),
  )
}

/**
 * When another face, several or nobody sat before the camera.
 * @param {Finding} finding
 * @param {Seek} [seek]
 */
function changes(finding, seek) {
  const seen = finding.values.changes
  if (!Array.isArray(seen) || seen.length === 0) return null
  return el(
    "ol",
    { class: "prompts" },
    ...seen.map(({ kind, from_us, to_us }) =>
      el("li", { data: { tone: "bad" } }, icon("alert"), el("span", {}, known(`watch_code.${kind}`) ? t(`watch_code.${kind}`) : String(kind)), moment(from_us, seek), to_us && el("span", { class: "quiet" }, "–"), to_us && moment(to_us, seek)),
    ),
  )
}

/**
 * The parts of an answer made of several signs, each with its own score and threshold.
 * @param {Finding} finding
 */
function signals({ values }) {
  const parts = values.signals ?? values.parts
  if (typeof parts !== "object" || parts === null || Array.isArray(parts)) return null
  return el("ul", { class: "signals", role: "list" }, ...Object.entries(parts).map(([name, one]) => signal(name, one)))
}

/**
 * @param {string} name
 * @param {any} one
 */
function signal(name, one) {
  const tone = one.verdict === "passed" ? "good" : one.verdict === "failed" ? "look" : "none"
  return el(
    "li",
    { data: { tone } },
    mark(tone, known(`signal.${name}`) ? t(`signal.${name}`) : checkName(name)),
    el("span", { class: "small" }, one.reason ? reasonWords(one.reason) : ""),
    typeof one.score === "number" && scoreBar(one),
  )
}

/**
 * What people wrote who compared by eye.
 * @param {Finding} finding
 */
function saidByEye({ check, values }) {
  if (check !== "seen_by_teller" || !values.words) return null
  return el(
    "div",
    { class: "stack close small" },
    el("p", {}, t("by_eye.first", { words: values.words })),
    values.second && el("p", {}, t("by_eye.second", { words: values.second.words })),
  )
}

/**
 * A moment of the session, which the recording can be taken to.
 * @param {number|null|undefined} at_us
 * @param {Seek} [seek]
 */
function moment(at_us, seek) {
  if (at_us === null || at_us === undefined) return null
  const words = clock(at_us / 1e6)
  if (!seek) return el("span", { class: "quiet number" }, words)
  return el("button", { type: "button", class: "button plain small", onclick: () => seek(at_us) }, icon("play"), words)
}

/**
 * @param {{prompt: string, followed: boolean, asked_us: number, seen_us: number|null}} asked
 * @param {Seek} [seek]
 */
function prompt({ prompt, followed, asked_us, seen_us }, seek) {
  const seconds = seen_us === null ? null : ((seen_us - asked_us) / 1e6).toFixed(1)
  const words = t(followed ? "finding.followed" : "finding.not_followed")
  return el(
    "li",
    { data: { tone: followed ? "good" : "bad" } },
    icon(followed ? "check" : "close"),
    el("span", {}, t(`hint.${prompt}`)),
    el("span", { class: "quiet" }, seconds === null ? words : t("finding.after", { seconds })),
    moment(asked_us, seek),
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
