// The quality of a line over time, drawn: a line, and bad stretches marked by shape and title.

import { svg } from "../../lib/html.js"
import { clock, t } from "../../lib/i18n.js"
import { badStretches } from "../../lib/quality.js"

const BEST = 4
const [WIDTH, HEIGHT] = [100, 24] // of the drawing; the style sheet gives it its size

/** @typedef {import("../../lib/quality.js").Quality} Quality */

/**
 * @param {Quality[]} points
 * @param {{from: number, to: number}} span seconds
 */
export function qualityLine(points, { from, to }) {
  const across = (/** @type {number} */ at) => ((at - from) / Math.max(1, to - from)) * WIDTH
  const up = (/** @type {number} */ level) => HEIGHT - 2 - (level / BEST) * (HEIGHT - 4)
  const inside = points.filter(({ at }) => at >= from && at <= to)
  const drawing = svg("svg", { class: "quality-line", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" })
  drawing.append(...badStretches(inside).map((bad) => stretch(bad, across)))
  const line = inside.map(({ at, level }) => `${across(at).toFixed(2)},${up(level).toFixed(2)}`)
  if (line.length > 0) drawing.append(svg("polyline", { points: line.join(" ") }))
  return drawing
}

/**
 * @param {{from: number, to: number}} bad seconds
 * @param {(at: number) => number} across
 */
function stretch({ from, to }, across) {
  const width = Math.max(0.6, across(to) - across(from))
  const rect = svg("rect", { class: "bad", x: across(from).toFixed(2), y: 0, width: width.toFixed(2), height: HEIGHT })
  const title = svg("title")
  title.textContent = t("quality.bad_from_to", { from: clock(from), to: clock(to) })
  rect.append(title)
  return rect
}

/**
 * Everything known of a moment, in words.
 * @param {Quality} quality
 */
export function figures({ kbps, loss, rtt_ms, width, height, fps, frozen_s }) {
  const number = (/** @type {number|null|undefined} */ value, unit = "") => (value === null || value === undefined ? "–" : `${Math.round(value)}${unit}`)
  const picture = width && height ? `${width}×${height}` : "–"
  return /** @type {[string, string][]} */ ([
    [t("quality.rate"), number(kbps, " kbit/s")],
    [t("quality.loss"), `${((loss ?? 0) * 100).toFixed(1)} %`],
    [t("quality.rtt"), number(rtt_ms, " ms")],
    [t("quality.picture"), fps ? `${picture}, ${t("quality.fps", { fps: Math.round(fps) })}` : picture],
    [t("quality.frozen"), `${(frozen_s ?? 0).toFixed(1)} s`],
  ])
}
