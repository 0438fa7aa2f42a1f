// Who speaks, drawn: a waveform for each person among the lanes, and the same in words.

import { el, svg } from "../../../lib/html.js"
import { clock, t } from "../../../lib/i18n.js"
import { labelWords } from "./labels.js"
import { heights, passages, speakers, spoken } from "./speech.js"

const COLUMNS = 900
const SHOWN = 5 // the longest passages, in words

/** @typedef {import("./speech.js").Piece} Piece */

/**
 * Lanes for the mouse; `speechInWords` says it to everybody else.
 * @param {Piece[]} pieces
 * @param {string[]} labels
 * @param {number} duration microseconds
 */
export function waveLanes(pieces, labels, duration) {
  return speakers(pieces, labels).map(({ label, pieces }) =>
    el(
      "div",
      { class: "lane wave", data: { label } },
      el("span", { class: "lane-name" }, labelWords(label)),
      el("div", { class: "track" }, drawing(heights(pieces, duration, COLUMNS))),
    ),
  )
}

/** @param {Float32Array} heard */
function drawing(heard) {
  const bars = [...heard].map((height, at) => (height > 0 ? `M${at} ${round(50 - height * 48)}v${round(height * 96)}` : ""))
  const path = svg("path", { d: bars.join("") || "M0 50" })
  return svg("svg", { class: "waveform", viewBox: `0 0 ${COLUMNS} 100`, preserveAspectRatio: "none", focusable: "false" }, path)
}

/** @param {number} number */
function round(number) {
  return Math.round(number * 10) / 10
}

/**
 * @param {Piece[]} pieces
 * @param {string[]} labels
 * @param {(at_us: number) => void} seek
 */
export function speechInWords(pieces, labels, seek) {
  const people = speakers(pieces, labels)
  const all = people.reduce((sum, { pieces }) => sum + spoken(pieces), 0)
  const list = people.map(({ label, pieces }) => person(label, pieces, all, seek))
  return el(
    "section",
    { class: "speech", "aria-labelledby": "speech-title" },
    el("h2", { id: "speech-title" }, t("replay.speech")),
    list.length ? el("ul", { class: "line-words", role: "list" }, ...list) : el("p", { class: "quiet" }, t("replay.no_levels")),
  )
}

/**
 * @param {string} label
 * @param {Piece[]} pieces
 * @param {number} all seconds that anybody spoke
 * @param {(at_us: number) => void} seek
 */
function person(label, pieces, all, seek) {
  const seconds = spoken(pieces)
  const found = passages(pieces)
  const longest = [...found].sort((a, b) => length(b) - length(a)).slice(0, SHOWN)
  const times = longest.sort((a, b) => a.from_us - b.from_us).map(({ from_us, to_us }) => {
    const [from, to] = [clock(from_us / 1e6), clock(to_us / 1e6)]
    const button = el("button", { type: "button", class: "button plain small number", onclick: () => seek(from_us) }, `${from}–${to}`)
    button.setAttribute("aria-label", t("replay.hear", { who: labelWords(label), from, to }))
    return button
  })
  const share = all > 0 ? Math.round((seconds / all) * 100) : 0
  return el("li", {}, el("p", { class: "row" }, el("span", {}, labelWords(label)), el("span", { class: "number" }, t("replay.spoke", { time: clock(seconds), share }))), el("p", { class: "row" }, ...times))
}

/** @param {import("./speech.js").Passage} passage */
function length({ from_us, to_us }) {
  return to_us - from_us
}
