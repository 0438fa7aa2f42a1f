// <call-stage>: the customer large, everybody else as tiles, and what is true of the call right now.

import { el, fill, find, icon, make, svg } from "../../../lib/html.js"
import { clock, known, t } from "../../../lib/i18n.js"
import { Call } from "../../../lib/call.js"
import { Live, every, until } from "../../live.js"
import { PeopleStage } from "../../people/people_stage.js"
import { Sharing } from "../../people/sharing.js"
import { checkName } from "../finding.js"
import { isHeld, lookOf } from "../look.js"
import { tell } from "../tell.js"
import { PeopleTools } from "./people_tools.js"
import { WrapUp } from "./wrap_up.js"

/** @typedef {import("../../../lib/call.js").Person} Person */

class CallStage extends Live {
  sharing = new Sharing((on) => this.#shared(on))
  /** @type {import("../../../lib/socket.js").Socket|null} */
  #socket = null
  /** @type {Call|null} */
  #call = null
  /** @type {AbortController} */
  #calling = new AbortController()
  #session = ""
  /** @type {any} of the session */
  #view = {}
  #people = make(PeopleStage)
  #tools = new PeopleTools("")
  #wrapUp = new WrapUp()
  /** When the session's media time was zero, on this page's clock (milliseconds). */
  #origin = 0

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#people.main = (people) => people.find(({ role }) => role === "customer")
    this.#people.look = (person) => this.#look(person)
    fill(this, this.#people, ...frame(() => this.sharing.stop()), this.#wrapUp)
    this.#people.addEventListener("arranged", () => this.#arranged(), { signal })
    every(signal, 500, () => this.#clock())
  }

  disconnect() {
    this.leave()
  }

  /** @param {import("../../../lib/socket.js").Socket} socket */
  use(socket) {
    this.#socket = socket
  }

  /** The running call, for the controls. */
  get call() {
    return this.#call
  }

  /** @param {any} view of the session */
  show(view) {
    this.#view = view
    if (typeof view.media_time_us === "number") this.#origin = performance.now() - view.media_time_us / 1000
    else this.#origin = 0
    this.dataset.state = view.state
    this.#part("recording").hidden = view.state !== "talking" || view.recording_up === false || !this.#origin
    this.#wrapUp.show(view)
    if (view.guide) this.guide(view.guide)
    if (this.#call) this.#show(this.#call.people)
    this.#clock()
  }

  /**
   * @param {string} session
   * @param {MediaStream|null} media
   */
  enter(session, media) {
    if (this.#call && this.#session === session) return
    this.leave()
    if (!this.#socket) return
    this.#session = session
    this.#calling = new AbortController()
    const call = new Call({ socket: this.#socket, room: session, media })
    this.#call = call
    this.#tools = new PeopleTools(session)
    void this.#tools.load()
    until(
      this.#calling.signal,
      call.on("people", (people) => this.#show(people)),
      call.on("condition", (condition) => this.#condition(condition)),
      call.on("quality", (quality) => this.#quality(quality)),
      call.on("silence", ({ participant }) => this.#silence(participant, true)),
      call.on("resumed", ({ participant }) => this.#silence(participant, false)),
      call.on("error", ({ code }) => this.#refused(code)),
    )
    this.#self(media)
    call.join()
    this.dispatchEvent(new Event("call", { bubbles: true }))
  }

  leave() {
    if (!this.#call) return
    this.#calling.abort()
    this.sharing.stop()
    this.#call.leave()
    this.#call = null
    this.#session = ""
    this.#people.clear()
    this.#message("")
  }

  /** @param {any} guide what the customer is asked to do just now */
  guide({ check, hint, prompt, deadline_s, mode, quad, progress }) {
    const asked = prompt || hint
    const place = this.#part("guide")
    place.hidden = mode === "none" || !asked
    outline(find("svg.outline", this), place.hidden ? null : quad, this.#people.mainVideo)
    if (place.hidden) return
    const words = known(`hint.${asked}`) ? t(`hint.${asked}`) : asked
    fill(
      place,
      el("span", { class: "what" }, checkName(check)),
      el("span", { class: "asked" }, words),
      deadline_s !== null && deadline_s !== undefined && el("span", { class: "number" }, t("stage.seconds", { seconds: Math.ceil(deadline_s) })),
    )
    place.style.setProperty("--progress", String(progress ?? 0))
  }

  // -- people -------------------------------------------------------------------------------

  /** @param {Person[]} people */
  #show(people) {
    this.#people.show(people)
    this.#hold(people)
    const watching = people.filter(({ presence }) => presence !== "joined" && presence !== undefined)
    const place = this.#part("watched")
    place.hidden = watching.length === 0
    const words = watching.map(({ name, presence }) => t(`people.${presence}_to_you`, { name })).join(" ")
    if (find("span", place).textContent !== words) find("span", place).textContent = words
  }

  /** @param {Person} person */
  #look(person) {
    const look = lookOf(person, this.#view.on_hold)
    look.meter = this.#tools.meter(person.id, person.name)
    if (this.#view.mine && person.presence === "joined") look.menu = this.#tools.menu(person)
    return look
  }

  /** @param {MediaStream|null} media */
  #self(media) {
    const seen = media !== null && media.getVideoTracks().length > 0 && this.#call?.sending.camera
    const silent = this.#call?.sending.microphone === false
    this.#people.self(media, {
      name: t("common.you"),
      label: t("teller.own_picture"),
      marks: silent ? [{ picture: "microphone-off", words: t("people.muted") }] : [],
      curtain: seen ? null : { picture: "camera-off", title: t("people.camera_off") },
    })
  }

  /** Own microphone or camera was switched. @param {MediaStream|null} media */
  switched(media) {
    this.#self(media)
  }

  /** @param {Person[]} people */
  #hold(people) {
    const place = this.#part("hold")
    place.hidden = !this.#view.on_hold
    const names = people.filter(isHeld).map(({ name }) => name)
    const colleagues = people.some((person) => !isHeld(person) && person.presence !== "listening")
    const words = [
      t("stage.held", { names: names.join(t("staff.comma")) || t("common.customer") }),
      t(colleagues ? "stage.confer" : "stage.hold_alone"),
    ].join(" ")
    if (find("span", place).textContent !== words) find("span", place).textContent = words
  }

  // -- what happens -------------------------------------------------------------------------

  /** @param {string} condition of our own connection */
  #condition(condition) {
    this.dataset.connection = condition
    if (condition === "connected") this.#message("")
    else if (condition === "lost") this.#message(t("stage.reconnecting"))
    else if (condition !== "left") this.#message(t("stage.connecting"))
  }

  /** @param {any} quality */
  #quality(quality) {
    this.#tools.add(quality, Math.max(0, performance.now() - this.#origin) / 1000)
    const own = quality.participant === this.#call?.me
    const person = this.#call?.people.find(({ id }) => id === quality.participant)
    const held = this.#view.on_hold && person && isHeld(person)
    this.#people.heard(own ? "self" : quality.participant, held ? 0 : quality.sound)
  }

  /**
   * @param {string} participant
   * @param {boolean} silent
   */
  #silence(participant, silent) {
    const person = this.#call?.people.find(({ id }) => id === participant)
    if (person?.role === "customer") this.#message(silent ? t("stage.customer_silent") : "")
  }

  /** @param {string} code of PROTOCOL.md */
  #refused(code) {
    if (this.sharing.refused(code)) tell(t(`people.${code}`), "bad")
  }

  /** @param {boolean} on */
  #shared(on) {
    this.#part("sharing").hidden = !on
    this.dispatchEvent(new Event("shared", { bubbles: true }))
  }

  /** The outline belongs to the customer's large picture and to nothing else. */
  #arranged() {
    this.classList.toggle("outlined", this.#people.mainVideo?.parentElement?.dataset.place === "large")
    this.classList.toggle("crowded", this.#people.classList.contains("crowd"))
  }

  /** @param {string} words */
  #message(words) {
    const place = this.#part("message")
    place.hidden = words === ""
    place.textContent = words
  }

  #clock() {
    if (!this.#origin) return
    const place = find(".time", this.#part("recording"))
    place.textContent = clock((performance.now() - this.#origin) / 1000)
  }

  /** @param {string} name */
  #part(name) {
    return find(`[data-part=${name}]`, this)
  }
}

/** @param {() => void} stopSharing */
function frame(stopSharing) {
  const band = (/** @type {string} */ part, /** @type {string} */ picture) =>
    el("p", { class: `band ${part}`, role: "status", data: { part }, hidden: true }, icon(picture), el("span", {}))
  const sharing = el(
    "p",
    { class: "band sharing", role: "status", data: { part: "sharing" }, hidden: true },
    icon("screen"),
    el("span", {}, t("people.you_share")),
    el("button", { type: "button", class: "button small", onclick: stopSharing }, t("people.stop_sharing")),
  )
  return [
    svg("svg", { class: "outline", "aria-hidden": "true", preserveAspectRatio: "xMidYMid meet" }),
    el(
      "div",
      { class: "stage-top" },
      el("span", { class: "chip recording", data: { part: "recording", name: "recording" }, hidden: true }, el("span", { class: "dot", "aria-hidden": "true" }), el("span", {}, t("common.recording")), el("span", { class: "time number" })),
      band("hold", "pause"),
      band("watched", "ear"),
      sharing,
    ),
    el("p", { class: "stage-message", role: "status", data: { part: "message" }, hidden: true }),
    el("p", { class: "stage-guide", role: "status", data: { part: "guide", name: "guide" }, hidden: true }),
  ]
}

/**
 * Where the check sees the card or the face, drawn over the picture.
 * @param {Element} drawing
 * @param {number[][]|null|undefined} quad corners, 0..1 of the picture
 * @param {HTMLVideoElement|null} video
 */
function outline(drawing, quad, video) {
  drawing.replaceChildren()
  if (!quad || !video?.videoWidth) return
  drawing.setAttribute("viewBox", `0 0 ${video.videoWidth} ${video.videoHeight}`)
  const points = quad.map(([x, y]) => `${x * video.videoWidth},${y * video.videoHeight}`).join(" ")
  drawing.append(svg("polygon", { points }))
}

customElements.define("call-stage", CallStage)
