// <session-replay>: one sealed session seen again: everybody in step, the timeline below, the
// findings and the seal beside it.

import { post } from "../../../lib/api.js"
import { el, fill, find, icon } from "../../../lib/html.js"
import { clock, t, when } from "../../../lib/i18n.js"
import { Live, until } from "../../live.js"
import { businessName } from "../businesses.js"
import { askReason } from "../dialog.js"
import { checkName, findingView } from "../finding.js"
import { decisionMark, verdictMark } from "../marks.js"
import { attempt } from "../tell.js"
import { chapters } from "./chapters.js"
import { labelWords, rolesOf } from "./labels.js"
import { lanes } from "./lanes.js"
import { lineLanes, linesInWords } from "./lines.js"
import { arrange, screens } from "./screens.js"
import { sealBadge } from "./seal.js"
import { Sync } from "./sync.js"

const SPEEDS = [0.5, 1, 1.5, 2, 4]
const LEAP = 5e6 // microseconds an arrow key moves

export class SessionReplay extends Live {
  /** What POST /api/reviews/{session}/viewings answered. @type {any} */
  viewing = null
  /** @type {Sync|null} */
  #sync = null

  /** @param {AbortSignal} signal */
  connect(signal) {
    const { streams, timeline, session, quality = [] } = this.viewing
    const roles = rolesOf(timeline, quality)
    const tracks = streams.map((/** @type {import("./clips.js").Stream} */ stream) => ({ stream, video: videoOf(stream) }))
    const sync = new Sync(tracks)
    this.#sync = sync
    const seek = (/** @type {number} */ at_us) => sync.seek(at_us)
    fill(
      this,
      this.#head(),
      screens(tracks, session),
      transport(sync),
      lanes(timeline, streams, sync.duration, roles, seek, lineLanes(quality, sync.duration)),
      el("aside", { class: "dossier" }, chapters(timeline, sync, roles, seek, signal), linesInWords(quality, seek), this.#findings(seek), outcome(session)),
    )
    if (streams.length === 0) find(".screens", this).append(el("p", { class: "no-picture" }, t("replay.nothing_recorded")))
    sync.addEventListener("change", () => this.#show(), { signal })
    document.addEventListener("keydown", (event) => this.#press(event), { signal })
    until(signal, () => sync.disconnect())
    sync.connect()
    find("h1", this).focus()
  }

  disconnect() {
    for (const video of this.querySelectorAll("video")) video.removeAttribute("src")
  }

  /** For tests and for support: how far apart the pictures are, in milliseconds. */
  get drift() {
    return this.#sync?.drift ?? 0
  }

  #head() {
    const { session, seal } = this.viewing
    const back = el("button", { type: "button", class: "button small" }, icon("arrow-left"), t("replay.back"))
    back.addEventListener("click", () => this.dispatchEvent(new Event("leave", { bubbles: true })))
    const who = el("span", { class: "who" }, session.customer_masked)
    const unmask = el("button", { type: "button", class: "button plain small" }, icon("eye"), t("replay.unmask"))
    unmask.addEventListener("click", () => this.#unmask(who, unmask))
    return el(
      "header",
      { class: "replay-head" },
      back,
      el("h1", { tabindex: "-1" }, who),
      unmask,
      el("span", { class: "quiet" }, `${businessName(session.business)} · ${when(session.at)} · ${session.teller ?? "–"}`),
      el("span", { class: "push" }),
      decisionMark(session.decision),
      sealBadge(session.id, seal),
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

  /** @param {KeyboardEvent} event */
  #press(event) {
    const target = /** @type {HTMLElement} */ (event.target)
    if (target.matches?.("input, select, textarea, button, summary") || document.querySelector("dialog[open]")) return
    const sync = /** @type {Sync} */ (this.#sync)
    const acts = /** @type {Record<string, () => void>} */ ({
      " ": () => (sync.playing ? sync.pause() : sync.play()),
      ArrowLeft: () => sync.seek(sync.position - LEAP),
      ArrowRight: () => sync.seek(sync.position + LEAP),
    })
    if (!acts[event.key]) return
    event.preventDefault()
    acts[event.key]()
  }
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

/** @param {import("./clips.js").Stream} stream */
function videoOf({ url, label }) {
  return el("video", {
    src: url,
    preload: "auto",
    playsinline: true,
    disablepictureinpicture: true,
    hidden: true,
    "aria-label": labelWords(label),
    oncontextmenu: (/** @type {Event} */ event) => event.preventDefault(),
  })
}

/** @param {Sync} sync */
function transport(sync) {
  const slider = el("input", { type: "range", min: 0, max: Math.round(sync.duration / 1000), step: 100, value: 0, "aria-label": t("replay.position") })
  slider.addEventListener("input", () => sync.seek(Number(slider.value) * 1000))
  const speed = el("select", { class: "input", "aria-label": t("replay.speed") }, ...SPEEDS.map((x) => el("option", { value: x, selected: x === 1 }, `${x}×`)))
  speed.addEventListener("change", () => (sync.speed = Number(speed.value)))
  const play = el("button", { type: "button", class: "play", data: { act: "play", playing: "" } })
  play.addEventListener("click", () => (sync.playing ? sync.pause() : sync.play()))
  return el(
    "div",
    { class: "transport" },
    play,
    el("span", { class: "position number" }, "00:00"),
    slider,
    el("span", { class: "number quiet" }, clock(sync.duration / 1e6)),
    speed,
  )
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
    findingView(one),
  )
}

customElements.define("session-replay", SessionReplay)
