// Results as shape and word together: nobody has to see a colour to know how it went.

import { el, icon } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"

/** One meaning, one shape. */
const ICONS = { good: "check", bad: "close", look: "alert", none: "minus", busy: "clock" }

/** The badge that agrees with it. */
const BADGES = { good: "verified", bad: "stop", look: "look", none: "", busy: "action" }

/** @typedef {keyof typeof ICONS} Tone */

/** @type {Record<string, Tone>} */
const VERDICTS = { passed: "good", failed: "bad", "not checked": "none" }
/** @type {Record<string, Tone>} */
const DECISIONS = { approved: "good", refused: "bad", referred: "look" }
/** @type {Record<string, Tone>} */
const SEALS = { ok: "good", tampered: "bad", incomplete: "look", "closed by recovery": "look" }

/**
 * @param {Tone} tone
 * @param {string} words
 */
export function mark(tone, words) {
  const name = `badge ${BADGES[tone]}`.trim()
  return el("span", { class: name, data: { tone } }, icon(ICONS[tone]), el("span", {}, words))
}

/** @param {string|null|undefined} verdict of a check */
export function verdictMark(verdict) {
  if (!verdict) return mark("none", t("verdict.none"))
  return mark(VERDICTS[verdict] ?? "none", t(`verdict.${verdict}`))
}

/** @param {string|null|undefined} decision */
export function decisionMark(decision) {
  if (!decision) return mark("none", t("decision.none"))
  return mark(DECISIONS[decision] ?? "none", t(`decision.${decision}`))
}

/** @param {string|null|undefined} verdict of a sealed recording */
export function sealMark(verdict) {
  if (!verdict) return mark("busy", t("seal.open"))
  return mark(SEALS[verdict] ?? "none", t(`seal.${verdict}`))
}
