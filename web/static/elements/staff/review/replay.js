// <session-replay>: one sealed session seen again: everybody in step, the timeline below, the
// findings and the seal beside it.

import { get, post } from "../../../lib/api.js"
import { el, fill, find, icon } from "../../../lib/html.js"
import { clock, t, when } from "../../../lib/i18n.js"
import { Live, every, until } from "../../live.js"
import { page } from "../../page.js"
import { businessName } from "../businesses.js"
import { askReason } from "../dialog.js"
import { checkName, findingView } from "../finding.js"
import { consentLedger } from "./consent_ledger.js"
import { decisionMark, sealMark, verdictMark } from "../marks.js"
import { attempt } from "../tell.js"
import { listenForKeys, showKeys } from "../teller/keys.js"
import { chapters, neighbour } from "./chapters.js"
import { exportPanel } from "./export.js"
import { labelWords, rolesOf } from "./labels.js"
import { lanes } from "./lanes.js"
import { lineLanes, linesInWords } from "./lines.js"
import { arrange, screens, seat } from "./screens.js"
import { sealBadge } from "./seal.js"
import { Sync } from "./sync.js"
import { guard, printMark } from "./watermark.js"
import { speechInWords, waveLanes } from "./waveform.js"

const SPEEDS = [0.5, 1, 1.5, 2, 4]
const LEAP = 5e6 // microseconds an arrow key moves
const LOOK_MS = 1000
/** A running recording is asked for its newest end when so little of it is left, in seconds. */
const LEFT = 4
/** ... and not more often than this, in milliseconds; while nothing plays, not more often than that. */
const [AGAIN, CALM] = [2500, 10_000]
/** Loudness is written down in pieces of so many microseconds. */
const HEARD_US = 10e6
/** Behind the newest second of a running call when one goes to it, in microseconds. */
const BEHIND = 5e6

export class SessionReplay extends Live {
  /** What POST /api/reviews/{session}/viewings answered. @type {any} */
  viewing = null
  /** @type {Sync|null} */
  #sync = null
  /** @type {import("./waveform.js").Piece[]} */
  #levels = []
  #answeredAt = 0
  #heard = 0
  #renewing = false
  #drawn = 0

  /** @param {AbortSignal} signal */
  connect(signal) {
    const { streams, session, live } = this.viewing
    const tracks = streams.map(trackOf)
    const sync = new Sync(tracks)
    sync.live = Boolean(live)
    this.#sync = sync
    this.#answeredAt = performance.now()
    const who = { viewer: page.person, session: session.id }
    const field = screens(tracks)
    fill(
      this,
      this.#head(),
      el("p", { class: "notice replay-notice", data: { part: "notice" }, hidden: true }),
      field,
      this.#transport(sync),
      el("div", { class: "lanes", data: { part: "lanes" }, "aria-hidden": "true" }),
      el(
        "aside",
        { class: "dossier" },
        el("div", { data: { part: "chapters" } }),
        el("div", { data: { part: "speech" } }),
        el("div", { data: { part: "lines" } }),
        this.#findings((at_us) => sync.seek(at_us)),
        outcome(session),
        !live && streams.length > 0 && exportPanel(this.viewing.viewing),
      ),
      printMark(who),
    )
    this.#tellWhyNot()
    this.#draw(signal)
    guard(signal, field, who)
    sync.addEventListener("change", () => this.#show(), { signal })
    listenForKeys(signal, this.#keys())
    until(signal, () => sync.disconnect())
    sync.connect()
    if (live) this.#goLive()
    if (streams.length > 0) this.#listen(signal)
    every(signal, LOOK_MS, () => this.#follow(signal))
    find("h1", this).focus()
  }

  disconnect() {
    for (const video of this.querySelectorAll("video")) video.removeAttribute("src")
  }

  /** For tests and for support: how far apart the pictures are, in milliseconds. */
  get drift() {
    return this.#sync?.drift ?? 0
  }

  /** For tests and for support: the session's clock, in microseconds. */
  get position() {
    return this.#sync?.position ?? 0
  }

  /** Why there is nothing to see, if there is not. */
  #tellWhyNot() {
    const { erased, streams } = this.viewing
    const notice = find("[data-part=notice]", this)
    if (!erased && streams.length > 0) return
    notice.hidden = false
    this.classList.add("nothing")
    const words = erased ? t("replay.erased", { at: when(erased.at), certificate: erased.certificate }) : t("replay.nothing_recorded")
    fill(notice, icon(erased ? "lock" : "info"), el("span", {}, words))
  }

  /**
   * Lanes, chapters and words, anew: of a call that goes on they grow.
   * @param {AbortSignal} signal
   */
  #draw(signal) {
    const sync = /** @type {Sync} */ (this.#sync)
    const { streams, timeline, quality = [] } = this.viewing
    const roles = rolesOf(timeline, quality)
    const labels = [...new Set(streams.map((/** @type {any} */ { label }) => label))].sort()
    const seek = (/** @type {number} */ at_us) => sync.seek(at_us)
    const below = [...waveLanes(this.#levels, labels, sync.duration), ...lineLanes(quality, sync.duration)]
    this.#drawn = sync.duration
    fill(find("[data-part=lanes]", this), lanes(timeline, streams, sync.duration, roles, seek, below))
    const shown = find("[data-part=chapters]", this)
    if (shown.dataset.count !== String(timeline.length)) {
      shown.dataset.count = String(timeline.length)
      fill(shown, chapters(timeline, sync, roles, seek, signal))
    }
    fill(find("[data-part=speech]", this), streams.length > 0 && speechInWords(this.#levels, labels, seek))
    fill(find("[data-part=lines]", this), linesInWords(quality, seek))
  }

  /**
   * The loudness of everybody: much of it, and not needed to begin.
   * @param {AbortSignal} signal
   */
  async #listen(signal) {
    const levels = await attempt(get(`/api/viewings/${this.viewing.viewing}/levels`))
    if (!levels || signal.aborted) return
    this.#levels = levels
    this.#heard = this.#sync?.duration ?? 0
    this.#draw(signal)
  }

  /**
   * While the call goes on: its newest seconds, before they are needed.
   * @param {AbortSignal} signal
   */
  async #follow(signal) {
    const sync = /** @type {Sync} */ (this.#sync)
    if (!sync.live) return
    this.#showBehind()
    const age = performance.now() - this.#answeredAt
    const needed = sync.playing && (sync.duration - sync.position) / 1e6 < LEFT * sync.speed
    if (this.#renewing || age < (needed ? AGAIN : CALM)) return
    this.#renewing = true
    const now = await get(`/api/viewings/${this.viewing.viewing}/streams`).catch(() => null)
    this.#renewing = false
    if (signal.aborted) return
    this.#answeredAt = performance.now()
    if (now) this.#take(now, signal)
  }

  /**
   * @param {any} now
   * @param {AbortSignal} signal
   */
  #take({ streams, live, timeline, seal }, signal) {
    const sync = /** @type {Sync} */ (this.#sync)
    const known = new Map(this.viewing.streams.map((/** @type {any} */ one) => [one.url, one]))
    const fresh = streams.filter((/** @type {any} */ one) => !known.has(one.url)).map(trackOf)
    if (fresh.length > 0 && !sync.renew(fresh)) return
    seat(find(".screens", this), fresh)
    this.viewing = { ...this.viewing, streams, timeline, live, seal }
    sync.live = Boolean(live)
    const slider = find("input[type=range]", this)
    slider.setAttribute("max", String(Math.round(sync.duration / 1000)))
    find("[data-part=length]", this).textContent = clock(sync.duration / 1e6)
    if (sync.duration - this.#drawn > 1e6 || !live) this.#draw(signal)
    if (!live) this.#tellEnd()
    if (!live || sync.duration - this.#heard > HEARD_US) this.#listen(signal)
  }

  #goLive() {
    const sync = /** @type {Sync} */ (this.#sync)
    sync.seek(Math.max(0, sync.duration - BEHIND))
    sync.play()
  }

  #showBehind() {
    const sync = /** @type {Sync} */ (this.#sync)
    const now = this.viewing.live.now_us + (performance.now() - this.#answeredAt) * 1000
    const words = t("replay.live", { seconds: Math.max(0, Math.round((now - sync.position) / 1e6)) })
    const shown = find("[data-part=behind]", this)
    if (shown.textContent !== words) shown.textContent = words
  }

  #tellEnd() {
    find("[data-part=live]", this).hidden = true
    fill(find("[data-part=seal]", this), sealOf(this.viewing.session.id, this.viewing.seal))
    const notice = find("[data-part=notice]", this)
    notice.hidden = false
    fill(notice, icon("info"), el("span", { role: "status" }, t("replay.call_over")))
  }

  #head() {
    const { session, seal } = this.viewing
    const back = el("button", { type: "button", class: "button small" }, icon("arrow-left"), t(page.name === "replay" ? "replay.leave" : "replay.back"))
    back.addEventListener("click", () => this.dispatchEvent(new Event("leave", { bubbles: true })))
    const who = el("span", { class: "who" }, session.customer_masked)
    const unmask = el("button", { type: "button", class: "button plain small" }, icon("eye"), t("replay.unmask"))
    unmask.addEventListener("click", () => this.#unmask(who, unmask))
    return el(
      "header",
      { class: "replay-head" },
      back,
      el("h1", { tabindex: "-1" }, who),
      page.role === "reviewer" && unmask,
      el("span", { class: "quiet" }, `${businessName(session.business)} · ${when(session.at)} · ${session.teller ?? "–"}`),
      el("span", { class: "push" }),
      decisionMark(session.decision),
      el("span", { data: { part: "seal" } }, sealOf(session.id, seal)),
    )
  }

  /**
   * @param {HTMLElement} who
   * @param {HTMLElement} button
   */
  async #unmask(who, button) {
    const reason = await askReason({
      title: t("replay.unmask"),
      why: t("replay.unmask_about"),
      label: t("replay.unmask_reason"),
      confirm: t("replay.unmask"),
    })
    if (reason === null) return
    const shown = await attempt(post(`/api/reviews/${this.viewing.session.id}/unmask`, { reason }))
    if (!shown) return
    who.textContent = [shown.name, shown.phone, shown.id].filter(Boolean).join(" · ")
    button.remove()
  }

  /** @param {(at_us: number) => void} seek */
  #findings(seek) {
    const found = this.viewing.findings
    return el(
      "section",
      { class: "findings", "aria-labelledby": "findings-title" },
      el("h2", { id: "findings-title" }, t("replay.findings")),
      consentLedger(this.viewing.session.id),
      ...(found.length ? found.map((/** @type {any} */ one) => finding(one, seek)) : [el("p", { class: "quiet" }, t("replay.no_findings"))]),
    )
  }

  #show() {
    const sync = /** @type {Sync} */ (this.#sync)
    const slider = /** @type {HTMLInputElement} */ (find("input[type=range]", this))
    if (document.activeElement !== slider || sync.playing) slider.value = String(Math.round(sync.position / 1000))
    slider.setAttribute("aria-valuetext", clock(sync.position / 1e6))
    find(".position", this).textContent = clock(sync.position / 1e6)
    const button = find("[data-act=play]", this)
    if (button.dataset.playing !== String(sync.playing)) {
      button.dataset.playing = String(sync.playing)
      fill(button, icon(sync.playing ? "pause" : "play"), el("span", { class: "unseen" }, t(sync.playing ? "replay.pause" : "replay.play")))
    }
    this.style.setProperty("--position", String(sync.duration ? sync.position / sync.duration : 0))
    arrange(find(".screens", this))
  }

  #keys() {
    const sync = /** @type {Sync} */ (this.#sync)
    /** @type {import("../teller/keys.js").Key[]} */
    const keys = [
      { key: " ", name: "play", act: () => (sync.playing ? sync.pause() : sync.play()) },
      { key: "arrowleft", name: "back", act: () => sync.seek(sync.position - LEAP) },
      { key: "arrowright", name: "on", act: () => sync.seek(sync.position + LEAP) },
      { key: "[", name: "chapter_before", act: () => this.#leap(-1) },
      { key: "]", name: "chapter_after", act: () => this.#leap(1) },
      { key: ",", name: "slower", act: () => this.#change(-1) },
      { key: ".", name: "faster", act: () => this.#change(1) },
      { key: "f", name: "full", act: () => this.#full() },
    ]
    keys.push({ key: "?", name: "help", act: () => showKeys(keys) })
    return keys
  }

  /** @param {1|-1} direction */
  #leap(direction) {
    const sync = /** @type {Sync} */ (this.#sync)
    const found = neighbour(this.viewing.timeline, sync.position, direction)
    if (found) sync.seek(found.media_time_us ?? 0)
    else if (direction < 0) sync.seek(0)
  }

  /** @param {1|-1} direction */
  #change(direction) {
    const sync = /** @type {Sync} */ (this.#sync)
    const choice = /** @type {HTMLSelectElement} */ (find(".transport select", this))
    const at = choice.selectedIndex + direction
    if (at < 0 || at >= SPEEDS.length) return
    choice.selectedIndex = at
    sync.speed = SPEEDS[at]
  }

  #full() {
    if (document.fullscreenElement) document.exitFullscreen()
    else this.requestFullscreen().catch(() => {}) // a browser that has none: the page stays as it is
  }

  /** @param {Sync} sync */
  #transport(sync) {
    const slider = el("input", { type: "range", min: 0, max: Math.round(sync.duration / 1000), step: 100, value: 0, "aria-label": t("replay.position") })
    slider.addEventListener("input", () => sync.seek(Number(slider.value) * 1000))
    const speed = el("select", { class: "input", "aria-label": t("replay.speed") }, ...SPEEDS.map((x) => el("option", { value: x, selected: x === 1 }, `${x}×`)))
    speed.addEventListener("change", () => (sync.speed = Number(speed.value)))
    const play = el("button", { type: "button", class: "play", data: { act: "play", playing: "" } })
    play.addEventListener("click", () => (sync.playing ? sync.pause() : sync.play()))
    const small = (/** @type {string} */ name, /** @type {string} */ picture, /** @type {() => void} */ act) =>
      el("button", { type: "button", class: "button plain small", data: { key: name }, "aria-label": t(`key.${name}`), title: t(`key.${name}`), onclick: act }, icon(picture))
    return el(
      "div",
      { class: "transport" },
      play,
      small("chapter_before", "chevron-right", () => this.#leap(-1)),
      small("chapter_after", "chevron-right", () => this.#leap(1)),
      el("span", { class: "position number" }, "00:00"),
      slider,
      el("span", { class: "number quiet", data: { part: "length" } }, clock(sync.duration / 1e6)),
      speed,
      small("full", "enlarge", () => this.#full()),
      small("help", "help", () => this.#keys().at(-1)?.act()),
      el(
        "span",
        { class: "row live", data: { part: "live" }, hidden: !sync.live },
        el("span", { class: "badge action" }, icon("record"), el("span", { data: { part: "behind" } })),
        el("button", { type: "button", class: "button small", onclick: () => this.#goLive() }, t("replay.go_live")),
      ),
    )
  }
}

/**
 * Reviewers look behind the verdict; to others it is told.
 * @param {string} session
 * @param {import("./seal.js").Seal} seal
 */
function sealOf(session, seal) {
  return page.role === "reviewer" ? sealBadge(session, seal) : sealMark(seal?.verdict)
}

/** @param {any} session */
function outcome({ decision, decision_reason, notes }) {
  const rows = [
    [t("teller.decision"), decisionMark(decision)],
    decision_reason && [t("decision.reason"), decision_reason],
    notes && [t("teller.notes"), notes],
  ].filter(Boolean)
  return el("section", {}, el("h2", {}, t("replay.outcome")), el("dl", { class: "facts" }, ...rows.flatMap(([term, words]) => [el("dt", {}, term), el("dd", {}, words)])))
}

/**
 * @param {import("./clips.js").Stream} stream
 * @returns {import("./sync.js").Track}
 */
function trackOf(stream) {
  const video = el("video", {
    src: stream.url,
    preload: "auto",
    playsinline: true,
    disablepictureinpicture: true,
    disableremoteplayback: true,
    hidden: true,
    "aria-label": labelWords(stream.label),
    oncontextmenu: (/** @type {Event} */ event) => event.preventDefault(),
  })
  return { stream: { ...stream }, video }
}

/**
 * @param {any} one
 * @param {(at_us: number) => void} seek
 */
function finding(one, seek) {
  const at = one.media_time_us
  return el(
    "details",
    { class: "found" },
    el("summary", {}, el("span", {}, checkName(one.check)), one.attempt > 1 && el("span", { class: "quiet small" }, t("check.details", { attempt: one.attempt })), verdictMark(one.verdict)),
    at !== null && at !== undefined && el("button", { type: "button", class: "button plain small", onclick: () => seek(at) }, icon("play"), clock(at / 1e6)),
    findingView(one, { seek }),
  )
}

customElements.define("session-replay", SessionReplay)
