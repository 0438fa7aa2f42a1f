// How good everybody's line was: a chart under the lanes, and the same in words with the bad times.

import { el, icon } from "../../../lib/html.js"
import { clock, t } from "../../../lib/i18n.js"
import { badStretches, qualityOf } from "../../../lib/quality.js"
import { qualityLine } from "../quality_line.js"

const SHOWN = 8 // bad stretches in words; the chart has them all

/** @typedef {{participant: string, role: string, points: any[][]}} Told as the bank lists it */

/**
 * @param {Told[]} quality
 * @param {number} duration microseconds
 */
export function lineLanes(quality, duration) {
  const span = { from: 0, to: duration / 1e6 }
  return quality.map(({ role, points }) =>
    el(
      "div",
      { class: "lane quality" },
      el("span", { class: "lane-name" }, t("replay.lane.line", { role: t(`role.${role}`) })),
      el("div", { class: "track" }, qualityLine(points.map(qualityOf), span)),
    ),
  )
}

/**
 * @param {Told[]} quality
 * @param {(at_us: number) => void} seek
 */
export function linesInWords(quality, seek) {
  if (quality.length === 0) return null
  return el(
    "section",
    { "aria-labelledby": "lines-title" },
    el("h2", { id: "lines-title" }, t("replay.lines")),
    el("ul", { class: "line-words", role: "list" }, ...quality.map((one) => person(one, seek))),
  )
}

/**
 * @param {Told} told
 * @param {(at_us: number) => void} seek
 */
function person({ role, points }, seek) {
  const bad = badStretches(points.map(qualityOf))
  const times = bad.slice(0, SHOWN).map(({ from, to }) => {
    const words = `${clock(from)}–${clock(to)}`
    const button = el("button", { type: "button", class: "button plain small number", onclick: () => seek(from * 1e6) }, words)
    button.setAttribute("aria-label", t("quality.bad_from_to", { from: clock(from), to: clock(to) }))
    return button
  })
  const good = el("span", { class: "badge verified" }, icon("check"), t("replay.line_good"))
  const poor = el("span", { class: "badge look" }, icon("network"), t("replay.line_bad"))
  return el("li", { class: "row" }, el("span", {}, t(`role.${role}`)), bad.length ? poor : good, ...times)
}
