// <call-stage>: the customer large, everybody else as tiles, and what is true of the call right now.

import { el, fill, find, icon, svg } from "../../../lib/html.js"
import { clock, known, t } from "../../../lib/i18n.js"
import { Call } from "../../../lib/call.js"
import { Live, every, until } from "../../live.js"
import { checkName } from "../finding.js"
import { WrapUp } from "./wrap_up.js"

/** @typedef {import("../../../lib/call.js").Person} Person */

class CallStage extends Live {
  /** @type {import("../../../lib/socket.js").Socket|null} */
  #socket = null
  /** @type {Call|null} */
  #call = null
  /** @type {AbortController} */
  #calling = new AbortController()
  #session = ""
  #wrapUp = new WrapUp()
  /** When the session's media time was zero, on this page's clock (milliseconds). */
  #origin = 0

  /** @param {AbortSignal} signal */
  connect(signal) {
    fill(this, ...frame(), this.#wrapUp)
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
    if (typeof view.media_time_us === "number") this.#origin = performance.now() - view.media_time_us / 1000
    else this.#origin = 0
    this.dataset.state = view.state
    this.#part("recording").hidden = view.state !== "talking" || view.recording_up === false || !this.#origin
    this.#part("hold").hidden = !view.on_hold
    this.#wrapUp.show(view)
    if (view.guide) this.guide(view.guide)
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
    const call = new Call({ socket: this.#socket, room: session, media, places: 3 })
    this.#call = call
    this.#self(media)
    until(
      this.#calling.signal,
      call.on("people", (people) => this.#people(people)),
      call.on("condition", (condition) => this.#condition(condition)),
      call.on("quality", (quality) => this.#quality(quality)),
      call.on("silence", ({ participant }) => this.#silence(participant, true)),
      call.on("resumed", ({ participant }) => this.#silence(participant, false)),
    )
    call.join()
    this.dispatchEvent(new Event("call", { bubbles: true }))
  }

  leave() {
    if (!this.#call) return
    this.#calling.abort()
    this.#call.leave()
    this.#call = null
    this.#session = ""
    for (const video of this.querySelectorAll("video")) video.srcObject = null
    fill(this.#part("tiles"))
    this.#message("")
  }

  /** @param {any} guide what the customer is asked to do just now */
  guide({ check, hint, prompt, deadline_s, mode, quad, progress }) {
    const asked = prompt || hint
    const place = this.#part("guide")
    place.hidden = mode === "none" || !asked
    outline(find("svg.outline", this), place.hidden ? null : quad, this.#customer())
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

  /** @param {MediaStream|null} media */
  #self(media) {
    const tile = tileOf("self", t("common.you"))
    const video = find("video", tile)
    Object.assign(video, { muted: true, srcObject: media })
    fill(this.#part("tiles"), tile)
  }

  /** @param {Person[]} people */
  #people(people) {
    const customer = people.find((person) => person.role === "customer")
    const video = this.#customer()
    if (customer && video.srcObject !== customer.stream) video.srcObject = customer.stream
    this.dataset.customer = !customer?.connected ? "gone" : customer.camera ? "seen" : "dark"
    this.#part("muted").hidden = !customer || customer.microphone
    if (!customer || customer.connected === false) this.#message(t("stage.customer_away"))
    else if (!customer.camera) this.#message(t("stage.customer_camera_off"))
    else this.#message("")
    this.#others(people.filter((person) => person !== customer))
  }

  /** @param {Person[]} others */
  #others(others) {
    const tiles = this.#part("tiles")
    for (const tile of [...tiles.children])
      if (tile.id !== "tile-self" && !others.some(({ id }) => tile.id === `tile-${id}`)) tile.remove()
    for (const { id, name, stream } of others) {
      const tile = tiles.querySelector(`#tile-${CSS.escape(id)}`) ?? tiles.appendChild(tileOf(id, name))
      const video = find("video", tile)
      if (/** @type {HTMLVideoElement} */ (video).srcObject !== stream) Object.assign(video, { srcObject: stream })
    }
  }

  /** @param {string} condition of our own connection */
  #condition(condition) {
    this.dataset.connection = condition
    if (condition === "connected") this.#message("")
    else if (condition === "lost") this.#message(t("stage.reconnecting"))
    else if (condition !== "left") this.#message(t("stage.connecting"))
  }

  /** @param {{participant: string, level: number, rtt_ms: number, loss: number}} quality */
  #quality({ participant, level, rtt_ms, loss }) {
    const person = this.#call?.people.find(({ id }) => id === participant)
    if (person?.role !== "customer") return
    const place = this.#part("signal")
    place.hidden = false
    place.dataset.level = String(level)
    place.title = t("stage.signal_about", { rtt: Math.round(rtt_ms ?? 0), loss: ((loss ?? 0) * 100).toFixed(1) })
    find(".words", place).textContent = t(`stage.signal_${level}`)
  }

  /**
   * @param {string} participant
   * @param {boolean} silent
   */
  #silence(participant, silent) {
    const person = this.#call?.people.find(({ id }) => id === participant)
    if (person?.role === "customer") this.#message(silent ? t("stage.customer_silent") : "")
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

  #customer() {
    return /** @type {HTMLVideoElement} */ (find("video.customer", this))
  }

  /** @param {string} name */
  #part(name) {
    return find(`[data-part=${name}]`, this)
  }
}

function frame() {
  const bars = [0, 1, 2, 3].map((n) => svg("rect", { x: 2 + n * 6, y: 15 - n * 4, width: 4, height: 5 + n * 4, rx: 1, class: `bar-${n + 1}` }))
  return [
    el("video", { class: "customer", autoplay: true, playsinline: true, "aria-label": t("stage.customer_picture"), "data-name": "customer-video" }),
    svg("svg", { class: "outline", "aria-hidden": "true", preserveAspectRatio: "xMidYMid meet" }),
    el(
      "div",
      { class: "stage-top" },
      el("span", { class: "chip recording", data: { part: "recording", name: "recording" }, hidden: true }, el("span", { class: "dot", "aria-hidden": "true" }), el("span", {}, t("common.recording")), el("span", { class: "time number" })),
      el("span", { class: "chip signal", role: "img", data: { part: "signal", name: "signal" }, hidden: true }, svg("svg", { viewBox: "0 0 26 20", "aria-hidden": "true" }, ...bars), el("span", { class: "words" })),
      el("span", { class: "chip", data: { part: "muted" }, hidden: true }, icon("microphone-off"), t("stage.customer_muted")),
    ),
    el("p", { class: "stage-message", role: "status", data: { part: "message" }, hidden: true }),
    el("div", { class: "stage-hold", role: "status", data: { part: "hold" }, hidden: true }, icon("pause"), el("strong", {}, t("common.on_hold")), el("span", {}, t("stage.hold_about"))),
    el("div", { class: "tiles", data: { part: "tiles" } }),
    el("p", { class: "stage-guide", role: "status", data: { part: "guide", name: "guide" }, hidden: true }),
  ]
}

/**
 * @param {string} id
 * @param {string} name
 */
function tileOf(id, name) {
  return el("figure", { class: "tile", id: `tile-${id}` }, el("video", { autoplay: true, playsinline: true, "aria-label": name }), el("figcaption", {}, name))
}

/**
 * Where the check sees the card or the face, drawn over the picture.
 * @param {Element} drawing
 * @param {number[][]|null|undefined} quad corners, 0..1 of the picture
 * @param {HTMLVideoElement} video
 */
function outline(drawing, quad, video) {
  drawing.replaceChildren()
  if (!quad || !video.videoWidth) return
  drawing.setAttribute("viewBox", `0 0 ${video.videoWidth} ${video.videoHeight}`)
  const points = quad.map(([x, y]) => `${x * video.videoWidth},${y * video.videoHeight}`).join(" ")
  drawing.append(svg("polygon", { points }))
}

customElements.define("call-stage", CallStage)
