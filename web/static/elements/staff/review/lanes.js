// The session drawn as lanes: what was recorded, who did what, which checks ran. A click seeks.

import { el } from "../../../lib/html.js"
import { clock, t } from "../../../lib/i18n.js"
import { entryWords, toneOf } from "./chapters.js"
import { labelWords } from "./labels.js"

/** @typedef {import("./chapters.js").Entry} Entry */

const LANES = ["customer", "teller", "people", "checks"]
const CHECKS = new Set(["check_started", "finding", "corrected"])
const PEOPLE = new Set("transfer_offered transferred transfer_failed invited guest_invited stepped_out removed supervised screen_shared screen_ended".split(" "))
const CUSTOMER = new Set(["joined", "consented", "queued", "connected", "disconnected", "reconnected", "rated"])

/**
 * A picture for the mouse; the chapters say the same to the keyboard and to a screen reader.
 * @param {Entry[]} timeline
 * @param {import("./clips.js").Stream[]} streams
 * @param {number} duration microseconds
 * @param {Map<string, string>} roles of people, by id
 * @param {(at_us: number) => void} seek
 * @param {HTMLElement[]} below lanes of other kinds
 */
export function lanes(timeline, streams, duration, roles, seek, below) {
  const inside = timeline.filter((entry) => entry.media_time_us !== null)
  const field = el("div", {})
  const labels = [...new Set(streams.map(({ label }) => label))].sort()
  const recorded = lane(t("replay.recorded"), ...streams.map((stream) => bar(stream, labels.indexOf(stream.label), duration)))
  recorded.style.setProperty("--rows", String(labels.length))
  field.append(recorded)
  for (const name of LANES) {
    const entries = inside.filter((entry) => laneOf(entry) === name)
    if (name === "people" && entries.length === 0) continue
    const spans = name === "checks" ? runs(entries, duration) : []
    field.append(lane(t(`replay.lane.${name}`), ...spans, ...entries.map((entry) => dot(entry, roles, duration, seek))))
  }
  field.append(...below)
  field.addEventListener("click", (event) => jump(event, duration, seek))
  return field
}

/** @param {Entry} entry */
function laneOf({ kind, actor, data }) {
  if (CHECKS.has(kind)) return "checks"
  if (PEOPLE.has(kind) || (kind === "joined" && data.participant)) return "people"
  if (CUSTOMER.has(kind) || actor.startsWith("customer")) return "customer"
  return "teller"
}

/**
 * @param {string} name
 * @param {...HTMLElement} children
 */
function lane(name, ...children) {
  return el("div", { class: "lane" }, el("span", { class: "lane-name" }, name), el("div", { class: "track" }, ...children))
}

/**
 * @param {import("./clips.js").Stream} stream
 * @param {number} row from the top
 * @param {number} duration
 */
function bar({ label, start_us, duration_us }, row, duration) {
  const one = el("span", { class: "bar", data: { label }, title: labelWords(label) })
  one.style.setProperty("--row", String(row))
  place(one, start_us, start_us + duration_us, duration)
  return one
}

/**
 * A check from its start to its finding.
 * @param {Entry[]} entries
 * @param {number} duration
 */
function runs(entries, duration) {
  return entries.flatMap((entry, at) => {
    if (entry.kind !== "check_started") return []
    const answer = entries.slice(at).find((later) => later.kind === "finding" && later.data.check === entry.data.check)
    if (!answer) return []
    const one = el("span", { class: "run", data: { tone: toneOf(answer) } })
    place(one, entry.media_time_us ?? 0, answer.media_time_us ?? 0, duration)
    return [one]
  })
}

/**
 * @param {Entry} entry
 * @param {Map<string, string>} roles
 * @param {number} duration
 * @param {(at_us: number) => void} seek
 */
function dot(entry, roles, duration, seek) {
  const at = entry.media_time_us ?? 0
  const one = el("button", {
    type: "button",
    tabindex: -1,
    class: "dot",
    title: `${clock(at / 1e6)} ${entryWords(entry, roles)}`,
    data: { kind: entry.kind, tone: toneOf(entry) },
  })
  one.addEventListener("click", (event) => {
    event.stopPropagation()
    seek(at)
  })
  one.style.setProperty("--from", String(Math.min(1, at / duration)))
  return one
}

/**
 * @param {HTMLElement} one
 * @param {number} from_us
 * @param {number} to_us
 * @param {number} duration
 */
function place(one, from_us, to_us, duration) {
  one.style.setProperty("--from", String(from_us / duration))
  one.style.setProperty("--span", String((to_us - from_us) / duration))
}

/**
 * @param {MouseEvent} event
 * @param {number} duration
 * @param {(at_us: number) => void} seek
 */
function jump(event, duration, seek) {
  const track = /** @type {Element} */ (event.target).closest(".track")
  if (!track) return
  const { left, width } = track.getBoundingClientRect()
  seek(((event.clientX - left) / width) * duration)
}
