// <supervision-wall>: the whole floor on one page; a call can be listened to, whispered into, joined.

import "../../page.js"
import { get, post } from "../../../lib/api.js"
import { el, fill, find, icon, make } from "../../../lib/html.js"
import { clock, t } from "../../../lib/i18n.js"
import { Socket } from "../../../lib/socket.js"
import { Live, every, until } from "../../live.js"
import { learn } from "../businesses.js"
import { askReason } from "../dialog.js"
import { leave } from "../signed_in.js"
import { openDevices } from "../teller/devices.js"
import { attempt, tell } from "../tell.js"
import { SupervisorEar } from "./ear.js"
import { lineTable, tellersTable, tick } from "./floor.js"
import { SessionCard } from "./session_card.js"

const AGAIN = 5 * 1000 // ms: signal levels change without a notice

/** @typedef {import("./session_card.js").Mode} Mode */

class SupervisionWall extends Live {
  #socket = new Socket()
  /** @type {any} */
  #floor = null
  /** @type {Map<string, SessionCard>} */
  #cards = new Map()
  /** Reasons given, by session. @type {Map<string, string>} */
  #reasons = new Map()
  #ear = make(SupervisorEar)
  /** @type {Mode|"off"} */
  #mode = "off"
  /** @type {MediaStream|null} */
  #media = null

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#ear.choose = (mode) => this.#go(this.#ear.session, mode)
    this.#ear.hidden = true
    find("[data-part=ear]", this).append(this.#ear)
    until(
      signal,
      this.#socket.on("welcome", () => this.#look()),
      this.#socket.on("condition", (condition) => this.#line(condition)),
      this.#socket.onNotice("supervision", () => this.#look()),
      this.#socket.onNotice("session", ({ id, state }) => this.#ended(id, state)),
      this.#socket.onNotice("signed_out", leave),
    )
    every(signal, AGAIN, () => this.#look())
    every(signal, 1000, () => tick(this))
    this.#socket.open()
  }

  disconnect() {
    this.#stop()
    this.#socket.close("left the page")
  }

  async #look() {
    const floor = await attempt(get("/api/supervision"))
    if (!floor) return
    learn(floor.businesses)
    this.#floor = floor
    this.#show()
  }

  #show() {
    const { policy, queue, tellers, sessions } = this.#floor
    this.#part("policy", icon(policy === "off" ? "lock" : "info"), el("span", {}, t(`watch.about_${policy}`)))
    this.#part("waiting", queue.waiting)
    this.#part("longest", queue.waiting ? clock(queue.longest_s) : "–")
    this.#part("calls", sessions.length)
    this.#part("free", tellers.filter((/** @type {any} */ one) => one.state === "ready").length)
    this.#part("line", lineTable(queue))
    this.#part("tellers", tellersTable(tellers))
    find("[data-part=empty]", this).hidden = sessions.length > 0
    this.#showCards(sessions, policy)
    const mine = this.#session(this.#ear.session)
    if (this.#mode !== "off" && !mine) this.#over()
    else if (this.#mode !== "off") this.#ear.show(this.#mode, policy, mine)
  }

  /**
   * @param {any[]} sessions
   * @param {string} policy
   */
  #showCards(sessions, policy) {
    const place = find("[data-part=sessions]", this)
    place.querySelector(".skeleton")?.remove()
    place.removeAttribute("aria-busy")
    for (const [id, card] of this.#cards) {
      if (sessions.some((session) => session.id === id)) continue
      card.remove()
      this.#cards.delete(id)
    }
    for (const session of sessions) {
      const card = this.#cards.get(session.id) ?? make(SessionCard, { data: { session: session.id } })
      card.enter = (mode) => this.#go(session.id, mode)
      if (!card.isConnected) place.append(card)
      this.#cards.set(session.id, card)
      card.show(session, policy, session.id === this.#ear.session ? this.#mode : "off")
    }
  }

  /**
   * @param {string} id
   * @param {Mode|"off"} mode
   */
  async #go(id, mode) {
    if (mode === "off") return this.#leave(id)
    const reason = this.#reasons.get(id) ?? (await this.#ask(id))
    if (!reason || !this.#session(id)) return
    if (this.#ear.session && this.#ear.session !== id) await this.#leave(this.#ear.session)
    const media = await this.#devices(mode)
    if (mode !== "listening" && !media) return
    const done = await attempt(post(`/api/sessions/${id}/supervise`, { mode, reason }).then(() => true))
    if (!done) return this.#release(media)
    this.#mode = mode
    this.#ear.hidden = false
    const entered = this.#ear.session !== id
    if (entered) this.#ear.enter(id, this.#socket)
    this.#release(this.#media)
    this.#media = media
    await this.#ear.speak(media)
    this.#show()
    if (entered) this.#ear.focus()
    await this.#look()
  }

  /** @param {string} id */
  async #ask(id) {
    const reason = await askReason({
      title: t("watch.why_title"),
      why: t("watch.why_about"),
      label: t("watch.why"),
      confirm: t("common.continue"),
    })
    if (reason) this.#reasons.set(id, reason)
    return reason
  }

  /** @param {string} id */
  async #leave(id) {
    this.#stop()
    const reason = this.#reasons.get(id) ?? ""
    await attempt(post(`/api/sessions/${id}/supervise`, { mode: "off", reason }))
    if (this.#floor) this.#show()
    await this.#look()
  }

  #stop() {
    this.#mode = "off"
    this.#ear.leave()
    this.#ear.hidden = true
    this.#release(this.#media)
    this.#media = null
  }

  #over() {
    this.#stop()
    tell(t("watch.over"))
    this.#show()
  }

  /**
   * @param {string} id
   * @param {string} state
   */
  #ended(id, state) {
    if (id === this.#ear.session && state !== "talking" && this.#mode !== "off") this.#over()
  }

  /**
   * Nothing to listen, a voice to whisper, voice and picture to join.
   * @param {Mode} mode
   */
  async #devices(mode) {
    if (mode === "listening") return null
    const { media, problem } = await openDevices(mode === "joined")
    if (problem) tell(problem, media ? "good" : "bad")
    return media
  }

  /** @param {MediaStream|null} media */
  #release(media) {
    for (const track of media?.getTracks() ?? []) track.stop()
  }

  /** @param {string} id */
  #session(id) {
    return this.#floor?.sessions.find((/** @type {any} */ one) => one.id === id)
  }

  /** @param {string} condition of the line to the bank */
  #line(condition) {
    const lost = condition === "lost" || condition === "closed"
    const place = find("[data-part=connection]", this)
    place.hidden = !lost
    place.textContent = lost ? t(`teller.line.${condition}`) : ""
    if (condition === "closed" && this.#socket.reason === "signed_out") leave()
  }

  /**
   * @param {string} name
   * @param {...(Node|string|number)} content
   */
  #part(name, ...content) {
    fill(find(`[data-part=${name}]`, this), ...content)
  }
}

customElements.define("supervision-wall", SupervisionWall)
