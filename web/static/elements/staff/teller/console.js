// <teller-console>: one teller's page. It listens to the bank, fetches what changed and hands it to
// the parts; the parts speak to the bank themselves, and the page changes when the bank says so.

import "../../page.js"
import { get, post } from "../../../lib/api.js"
import { fill, find, icon } from "../../../lib/html.js"
import { clock, known, t } from "../../../lib/i18n.js"
import { Socket } from "../../../lib/socket.js"
import { Live, every, until } from "../../live.js"
import { learn } from "../businesses.js"
import { openDevices } from "./devices.js"
import { leave } from "../signed_in.js"
import { attempt, tell } from "../tell.js"
import "./by_eye.js"
import "./call_controls.js"
import "./call_stage.js"
import "./chat_panel.js"
import "./check_list.js"
import "./customer_card.js"
import "./decision_form.js"
import "./incoming_card.js"
import "./coming.js"
import { listenForKeys, showKeys } from "./keys.js"
import "./notes_pad.js"
import "./teller_status.js"
import "./waiting_room.js"

/** The figures of the day change slowly and nobody sends them. */
const FIGURES_INTERVAL = 30 * 1000 // milliseconds

/** @typedef {any} SessionView what GET /api/sessions/{id} answers a teller */

const RINGING_KEYS = [
  { key: "Enter", name: "accept" },
  { key: "Esc", name: "decline" },
]

class TellerConsole extends Live {
  #socket = new Socket()
  /** @type {MediaStream|null} */
  #media = null
  /** @type {SessionView|null} */
  #session = null
  #state = "away"
  /** Views asked for and shown, counted: several may be under way. */
  #asked = 0
  #answered = 0

  #parts = {
    status: /** @type {any} */ (null),
    room: /** @type {any} */ (null),
    stage: /** @type {any} */ (null),
    controls: /** @type {any} */ (null),
    coming: /** @type {any} */ (null),
    chat: /** @type {any} */ (null),
    customer: /** @type {any} */ (null),
    checks: /** @type {any} */ (null),
    eye: /** @type {any} */ (null),
    notes: /** @type {any} */ (null),
    decision: /** @type {any} */ (null),
    incoming: /** @type {any} */ (null),
  }

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#parts = {
      status: find("teller-status"),
      room: find("waiting-room", this),
      stage: find("call-stage", this),
      controls: find("call-controls", this),
      coming: find("people-coming", this),
      chat: find("chat-panel", this),
      customer: find("customer-card", this),
      checks: find("check-list", this),
      eye: find("by-eye", this),
      notes: find("notes-pad", this),
      decision: find("decision-form", this),
      incoming: find("incoming-card"),
    }
    this.#listen(signal)
    this.#parts.stage.use(this.#socket)
    listenForKeys(signal, this.#keys())
    every(signal, FIGURES_INTERVAL, () => this.#refresh())
    this.#socket.open()
  }

  disconnect() {
    this.#socket.close("left the page")
    this.#parts.stage.leave()
    for (const track of this.#media?.getTracks() ?? []) track.stop()
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    const notice = (/** @type {string} */ topic, /** @type {(data: any) => void} */ act) =>
      until(signal, this.#socket.onNotice(topic, act))
    until(signal, this.#socket.on("condition", (condition) => this.#line(condition)))
    until(signal, this.#socket.on("welcome", () => this.#refresh()))
    notice("queue", (queue) => this.#queue(queue))
    notice("teller", () => this.#refresh())
    notice("offered", (offer) => this.#parts.incoming.show(offer))
    notice("offer_withdrawn", (data) => this.#withdrawn(data))
    notice("invited", (invitation) => this.#parts.incoming.show({ ...invitation, invited: true }))
    notice("invite_withdrawn", () => this.#withdrawn({ reason: "invitation" }))
    notice("session", (data) => this.#sessionChanged(data))
    notice("people", (data) => this.#changed(data.session))
    notice("transfer", ({ state }) => this.#transferred(state))
    notice("hold", (data) => this.#changed(data.session))
    notice("finding", (data) => this.#changed(data.session))
    notice("face_watch", (alert) => this.#faces(alert))
    notice("guide", (guide) => this.#guide(guide))
    notice("chat", (line) => line.session === this.#session?.id && this.#parts.chat.add(line))
    notice("alarm", ({ code }) => this.#alarm(code))
    notice("signed_out", leave)
    document.addEventListener("presence", (event) => this.#wish(event), { signal })
    document.addEventListener("help", () => showKeys([...RINGING_KEYS, ...this.#keys()]), { signal })
    document.addEventListener("accept", (event) => this.#accept(event), { signal })
    document.addEventListener("decline", (event) => this.#decline(event), { signal })
    this.addEventListener("switched", () => this.#parts.stage.switched(this.#media), { signal })
    this.addEventListener("step-out", () => this.#stepOut(), { signal })
  }

  #keys() {
    const { controls, checks, notes, chat, decision } = this.#parts
    const calling = (/** @type {() => void} */ act) => () => this.#session && act()
    return [
      { key: "m", name: "microphone", act: calling(() => controls.press("microphone")) },
      { key: "v", name: "camera", act: calling(() => controls.press("camera")) },
      { key: "p", name: "screen", act: calling(() => controls.press("screen")) },
      { key: "h", name: "hold", act: calling(() => controls.press("hold")) },
      { key: "t", name: "transfer", act: calling(() => controls.press("transfer")) },
      { key: "i", name: "invite", act: calling(() => controls.press("invite")) },
      { key: "e", name: "end", act: calling(() => controls.press("end")) },
      { key: "o", name: "step_out", act: calling(() => controls.press("step_out")) },
      { key: "1–9", name: "check", act: calling(() => {}) },
      ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({
        key: String(n),
        name: "",
        act: calling(() => checks.start(n - 1)),
      })),
      { key: "s", name: "stop", act: calling(() => checks.stop()) },
      { key: "n", name: "notes", act: calling(() => notes.focus()) },
      { key: "c", name: "chat", act: calling(() => chat.focus()) },
      { key: "d", name: "decision", act: calling(() => decision.focus()) },
      { key: "r", name: "ready", act: () => this.#presence("ready") },
      { key: "a", name: "away", act: () => this.#presence("away") },
      { key: "?", name: "help", act: () => showKeys([...RINGING_KEYS, ...this.#keys()]) },
    ]
  }

  async #refresh() {
    const desk = await attempt(get("/api/teller"))
    if (!desk) return
    learn(desk.businesses)
    this.#state = desk.state
    this.#parts.status.show(desk)
    this.#parts.room.show(desk)
    const [invitation] = desk.session ? [] : (desk.invited ?? [])
    if (desk.offer) this.#parts.incoming.show(desk.offer)
    else if (invitation) this.#parts.incoming.show({ ...invitation, invited: true })
    else this.#parts.incoming.hide()
    if (desk.session) await this.#open(desk.session)
    else this.#idle()
  }

  /** @param {any} queue */
  #queue(queue) {
    this.#parts.status.queue(queue)
    this.#parts.room.queue(queue)
  }

  /** @param {string} id */
  async #open(id) {
    const asked = ++this.#asked
    const view = await attempt(get(`/api/sessions/${id}`))
    if (!view || asked < this.#answered) return // an answer that was overtaken is old
    this.#answered = asked
    await this.#show(view)
  }

  /** @param {string} id */
  async #changed(id) {
    if (id === this.#session?.id) await this.#open(id)
  }

  /** @param {{id: string, state: string}} data */
  #sessionChanged({ id, state }) {
    if (id !== this.#session?.id) return
    const { mine } = this.#session ?? {}
    if (state === "talking" || (mine && state === "wrap_up")) return void this.#open(id)
    if (state === "transferred") tell(t("transfer.done"))
    else if (!mine) tell(t("join.over"))
    this.#idle()
    void this.#refresh()
  }

  /** An invited colleague goes; the others go on. */
  async #stepOut() {
    const id = this.#session?.id
    this.#idle()
    await attempt(post(`/api/sessions/${id}/leave`))
    await this.#refresh()
  }

  /** @param {string} state of the transfer this teller began */
  #transferred(state) {
    if (known(`transfer.${state}`)) tell(t(`transfer.${state}`), state === "cancelled" ? "good" : "bad")
    if (this.#session) void this.#open(this.#session.id)
  }

  /** @param {SessionView} view */
  async #show(view) {
    const { stage, controls, coming, chat, customer, checks, notes, decision } = this.#parts
    view.mine = isMine(view)
    if (view.state === "closed" || (!view.mine && view.state !== "talking")) return this.#idle()
    this.#session = view
    this.dataset.view = view.state === "talking" ? "call" : "wrap_up"
    this.toggleAttribute("data-colleague", !view.mine)
    const case_ = view.mine ? [customer, checks, notes, decision] : []
    for (const part of [stage, controls, coming, chat, this.#parts.eye, ...case_]) part.show(view)
    this.#faces(view.alert ?? { session: view.id, code: "same_face" })
    if (view.state !== "talking") return stage.leave()
    await this.#devices()
    stage.enter(view.id, this.#media)
  }

  #idle() {
    this.#session = null
    this.dataset.view = "idle"
    this.#parts.stage.leave()
  }

  /** @param {any} guide */
  #guide(guide) {
    if (guide.session !== this.#session?.id) return
    this.#parts.checks.guide(guide)
    this.#parts.stage.guide(guide)
  }

  /** @param {Event} event */
  #wish(event) {
    return this.#presence(/** @type {CustomEvent} */ (event).detail)
  }

  /** @param {string} state */
  async #presence(state) {
    if (this.#session || this.#state === "ringing") return
    if (state === "ready" && !(await this.#devices())) return
    await attempt(post("/api/teller/state", { state }))
    await this.#refresh()
  }

  /** @returns {Promise<boolean>} whether there is at least a microphone */
  async #devices() {
    this.#parts.incoming.prepare()
    if (this.#media?.getAudioTracks().some((track) => track.readyState === "live")) return true
    const { media, problem } = await openDevices()
    this.#media = media
    this.#parts.room.mirror(media, problem)
    if (problem) tell(problem, "bad")
    return media !== null
  }

  /** @param {Event} event */
  async #accept(event) {
    const { session, invited } = /** @type {CustomEvent} */ (event).detail
    if (invited && !(await this.#devices())) return
    const view = await attempt(post(`/api/sessions/${session}/${invited ? "join" : "accept"}`))
    if (view?.id) await this.#show(view)
    await this.#refresh()
  }

  /** @param {Event} event */
  async #decline(event) {
    const { session, invited } = /** @type {CustomEvent} */ (event).detail
    await attempt(post(`/api/sessions/${session}/${invited ? "invite/decline" : "decline"}`))
    await this.#refresh()
  }

  /** @param {{reason: string}} data */
  #withdrawn({ reason }) {
    this.#parts.incoming.hide()
    if (known(`teller.withdrawn.${reason}`)) tell(t(`teller.withdrawn.${reason}`), "bad")
  }

  /** @param {string} condition of the line to the bank */
  #line(condition) {
    this.#parts.status.line(condition)
    if (condition === "closed" && this.#socket.reason === "signed_out") leave()
  }

  /**
   * Who sits before the camera has changed, or is again the one it was.
   * @param {{session: string, code: string, media_time_us?: number}} alert
   */
  #faces({ session, code, media_time_us }) {
    if (session !== this.#session?.id) return
    const place = find("[data-part=face-alert]", this)
    const key = `${code} ${media_time_us}`
    place.hidden = code === "same_face"
    if (place.dataset.made === key) return
    place.dataset.made = key
    place.dataset.tone = code === "other_face" ? "stop" : "look"
    fill(place, icon("alert"), place.hidden ? "" : t(`face_alert.${code}`, { at: clock((media_time_us ?? 0) / 1e6) }))
  }

  /** @param {string} code */
  #alarm(code) {
    const place = find("[data-part=alarm]", this)
    place.hidden = false
    fill(place, known(`alarm.${code}`) ? t(`alarm.${code}`) : t("alarm.other"))
  }
}

/**
 * Whether this page's person is the session's teller; an invited colleague is not.
 * @param {SessionView} view
 */
function isMine({ you, teller }) {
  return teller?.id ? you.id === teller.id : you?.role === "teller"
}

customElements.define("teller-console", TellerConsole)
