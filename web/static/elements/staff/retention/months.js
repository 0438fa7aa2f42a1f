// How much may be erased from which month on: a row and a bar each.

import { el, svg } from "../../../lib/html.js"
import { lang, t } from "../../../lib/i18n.js"

const SHOWN = 24
const WIDTH = 240
const HEIGHT = 14

/** @typedef {{month: string, sessions: number, bytes: number, held: number}} Month */

/**
 * @param {Month[]} all in order
 * @param {number} now milliseconds since 1970
 */
export function months(all, now) {
  const shown = all.length > SHOWN ? [...all.slice(0, SHOWN - 1), rest(all.slice(SHOWN - 1))] : all
  const most = Math.max(1, ...shown.map((one) => one.sessions))
  const month = new Date(now).toISOString().slice(0, 7)
  return shown.map((one) => row(one, most, one.month <= month))
}

/**
 * @param {number} bytes
 */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"]
  let at = 0
  let value = bytes
  for (; value >= 1000 && at < units.length - 1; at++) value /= 1000
  return `${value.toLocaleString(lang() === "en" ? "en-GB" : "zh-CN", { maximumFractionDigits: value < 10 && at > 0 ? 1 : 0 })} ${units[at]}`
}

/** @param {Month[]} later */
function rest(later) {
  const sum = (/** @type {"sessions"|"bytes"|"held"} */ what) => later.reduce((total, one) => total + one[what], 0)
  return { month: `${later[0]?.month} …`, sessions: sum("sessions"), bytes: sum("bytes"), held: sum("held") }
}

/**
 * @param {Month} one
 * @param {number} most
 * @param {boolean} due
 */
function row({ month, sessions, bytes, held }, most, due) {
  const name = (/** @type {string} */ column) => ({ data: { label: t(`retention.column.${column}`) } })
  const words = held ? t("retention.of_these_held", { sessions, held }) : String(sessions)
  return el(
    "tr",
    { class: due ? "due" : "" },
    el("td", { ...name("month"), class: "number" }, month),
    el("td", { class: "chart", "aria-hidden": "true" }, bar(sessions, held, most)),
    el("td", { ...name("sessions"), class: "number" }, words),
    el("td", { ...name("size"), class: "number" }, size(bytes)),
  )
}

/**
 * @param {number} sessions
 * @param {number} held
 * @param {number} most
 */
function bar(sessions, held, most) {
  const wide = (/** @type {number} */ count) => Math.max(count ? 3 : 0, (count / most) * WIDTH)
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "bar", preserveAspectRatio: "none", focusable: "false" },
    svg("rect", { class: "all", width: wide(sessions), height: HEIGHT, rx: 3 }),
    svg("rect", { class: "held", width: wide(held), height: HEIGHT, rx: 3 }),
  )
}
