// What happened, in order, in words; the chapter of the moment is marked, a click goes there.

import { el, icon } from "../../../lib/html.js"
import { clock, known, t } from "../../../lib/i18n.js"
import { checkName, fieldName, reasonWords } from "../finding.js"

/**
 * @typedef {object} Entry
 * @property {number|null} seq its number in the bank's timeline; null when it stands in the recording only
 * @property {string|number|null} at
 * @property {boolean} sealed it stands in the recording, inside the seal
 * @property {number|null} media_time_us
 * @property {string} kind
 * @property {string} actor
 * @property {Record<string, any>} data
 */

const SOON = 1.5e6 // microseconds

/** Shapes for what matters most; everything else gets a dot. */
const PICTURES = /** @type {Record<string, string>} */ ({
  check_started: "search",
  corrected: "edit",
  decided: "check",
  held: "pause",
  resumed: "play",
  chat: "chat",
  muted: "microphone-off",
  sealed: "seal",
  disconnected: "network",
  transfer_offered: "transfer",
  transferred: "transfer",
  transfer_failed: "transfer",
  invited: "person-add",
  guest_invited: "link",
  joined: "people",
  stepped_out: "exit",
  removed: "exit",
  supervised: "ear",
  screen_shared: "screen",
  screen_ended: "screen-off",
  recording_failed: "alert",
  recovered: "alert",
  frames_lost: "alert",
})

/**
 * @param {Entry[]} timeline
 * @param {import("./sync.js").Sync} sync
 * @param {Map<string, string>} roles of people, by id
 * @param {(at_us: number) => void} seek
 * @param {AbortSignal} signal
 */
export function chapters(timeline, sync, roles, seek, signal) {
  const items = timeline.map((entry) => ({ entry, item: el("li", {}, chapter(entry, roles, seek)) }))
  const list = el("ol", { class: "chapters", role: "list", tabindex: -1 }, ...items.map(({ item }) => item))
  sync.addEventListener("change", () => follow(items, sync), { signal })
  return el("section", { "aria-labelledby": "chapters-title" }, el("h2", { id: "chapters-title" }, t("replay.chapters")), list)
}

/**
 * @param {{entry: Entry, item: HTMLElement}[]} items
 * @param {import("./sync.js").Sync} sync
 */
function follow(items, { position }) {
  const past = items.filter(({ entry }) => entry.media_time_us !== null && entry.media_time_us <= position)
  const now = past.at(-1)?.item
  for (const { item } of items) {
    const is = item === now
    if (is === item.hasAttribute("aria-current")) continue
    if (is) item.setAttribute("aria-current", "step")
    else item.removeAttribute("aria-current")
    if (is) into(item)
  }
}

/**
 * Scrolls the list only, never the page.
 * @param {HTMLElement} item
 */
function into(item) {
  const list = /** @type {HTMLElement} */ (item.parentElement)
  const top = item.offsetTop - list.offsetTop
  if (top < list.scrollTop || top + item.offsetHeight > list.scrollTop + list.clientHeight)
    list.scrollTop = top - list.clientHeight / 3
}

/**
 * @param {Entry} entry
 * @param {Map<string, string>} roles
 * @param {(at_us: number) => void} seek
 */
function chapter(entry, roles, seek) {
  const at = entry.media_time_us
  const inside = [
    el("span", { class: "number quiet" }, at === null ? "–" : clock(at / 1e6)),
    icon(pictureOf(entry)),
    el("span", { class: "words" }, entryWords(entry, roles), entry.seq === null && el("span", { class: "badge look" }, t("replay.sealed_only"))),
  ]
  if (at === null) return el("div", { class: "chapter" }, ...inside)
  return el("button", { type: "button", class: "chapter", data: { kind: entry.kind, tone: toneOf(entry) }, onclick: () => seek(at) }, ...inside)
}

/**
 * The chapter before or after an instant.
 * @param {Entry[]} timeline
 * @param {number} at_us
 * @param {1|-1} direction
 * @returns {Entry|undefined}
 */
export function neighbour(timeline, at_us, direction) {
  const placed = timeline.filter((entry) => entry.media_time_us !== null)
  const at = (/** @type {Entry} */ entry) => entry.media_time_us ?? 0
  // Going back soon after a chapter began leads to the one before it.
  if (direction < 0) return placed.filter((entry) => at(entry) < at_us - SOON).at(-1)
  return placed.find((entry) => at(entry) > at_us + 1000)
}

/**
 * @param {Entry} entry
 * @param {Map<string, string>} roles of people, by id
 */
export function entryWords({ kind, data }, roles) {
  const words = known(`kind.${kind}`) ? t(`kind.${kind}`) : kind.replaceAll("_", " ")
  const role = data.role ?? roles.get(data.participant)
  const details = [
    role && known(`role.${role}`) && t(`role.${role}`),
    data.outcome && known(`kind.outcome.${data.outcome}`) && t(`kind.outcome.${data.outcome}`),
    kind === "supervised" && known(`watch.${data.mode}`) && t(`watch.${data.mode}`),
    kind === "supervised" && data.reason,
    data.check && checkName(data.check),
    data.verdict && kind === "finding" && t(`verdict.${data.verdict}`),
    data.decision && t(`decision.${data.decision}`),
    data.verdict && kind === "sealed" && t(`seal.${data.verdict}`),
    data.verdict !== "passed" && data.reason && kind === "finding" && reasonWords(data.reason),
    kind === "face_watch" && known(`watch_code.${data.code}`) && t(`watch_code.${data.code}`),
    data.field && fieldName(data.field),
    kind === "switched" && !data.camera && t("kind.camera_off"),
    kind === "switched" && !data.microphone && t("kind.microphone_off"),
    data.subject && known(`kind.subject.${data.subject}`) && t(`kind.subject.${data.subject}`),
  ].filter(Boolean)
  return details.length ? `${words}${t("staff.colon")}${details.join(t("staff.comma"))}` : words
}

/** @param {Entry} entry */
export function toneOf({ kind, data }) {
  if (kind === "finding") return data.verdict === "passed" ? "good" : data.verdict === "failed" ? "bad" : "none"
  if (kind === "face_watch") return data.code === "same_face" ? "" : data.code === "other_face" ? "bad" : "look"
  if (kind === "recording_failed" || kind === "disconnected" || kind === "frames_lost") return "look"
  return ""
}

/** @param {Entry} entry */
function pictureOf(entry) {
  const shapes = /** @type {Record<string, string>} */ ({ good: "check", bad: "close", none: "minus" })
  if (entry.kind === "finding") return shapes[toneOf(entry)]
  return PICTURES[entry.kind] ?? "more"
}
