// <supervisor-ear>: the call a supervisor is in. The microphone is off until one whispers or joins,
// and the page says who hears what.

import { Call } from "../../../lib/call.js"
import { el, fill, icon, make } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live, until } from "../../live.js"
import { PeopleStage } from "../../people/people_stage.js"
import { lookOf } from "../look.js"
import { PeopleTools } from "../teller/people_tools.js"
import { MODES } from "./session_card.js"

/**
 * @typedef {import("./session_card.js").Mode} Mode
 * @typedef {import("../../../lib/call.js").Person} Person
 */

export class SupervisorEar extends Live {
  /** @type {(mode: Mode|"off") => void} */
  choose = () => {}
  session = ""
  #people = make(PeopleStage)
  #title = el("h2", { tabindex: "-1" })
  #heard = el("p", { class: "notice", role: "status", data: { name: "heard" } })
  #message = el("p", { class: "stage-message", role: "status", hidden: true })
  #ways = el("div", { class: "row ways", role: "group", "aria-label": t("watch.ways") })
  #tools = new PeopleTools("")
  /** @type {Call|null} */
  #call = null
  /** @type {AbortController} */
  #calling = new AbortController()
  #began = 0

  connect() {
    this.#people.main = (people) => people.find(({ role }) => role === "customer") ?? people[0]
    this.#people.look = (person) => ({ ...lookOf(person), meter: this.#tools.meter(person.id, person.name) })
    fill(this, el("header", { class: "stack close" }, this.#title, this.#heard), el("div", { class: "ear-stage" }, this.#people, this.#message), this.#ways)
  }

  disconnect() {
    this.leave()
  }

  /**
   * @param {string} session
   * @param {import("../../../lib/socket.js").Socket} socket
   */
  enter(session, socket) {
    this.leave()
    this.session = session
    this.#calling = new AbortController()
    this.#began = performance.now()
    this.#tools = new PeopleTools(session)
    void this.#tools.load()
    const call = new Call({ socket, room: session })
    this.#call = call
    until(
      this.#calling.signal,
      call.on("joined", ({ media_time_us }) => (this.#began = performance.now() - media_time_us / 1000)),
      call.on("condition", (condition) => this.#condition(condition)),
      call.on("people", (people) => this.#people.show(people)),
      call.on("quality", (quality) => this.#measured(quality)),
    )
    call.join()
  }

  leave() {
    this.#calling.abort()
    this.#call?.leave()
    this.#call = null
    this.session = ""
    this.#people.clear()
  }

  /**
   * Own microphone and camera: what was opened, or none.
   * @param {MediaStream|null} media
   */
  async speak(media) {
    await this.#call?.replaceTrack("audio", media?.getAudioTracks()[0] ?? null)
    await this.#call?.replaceTrack("video", media?.getVideoTracks()[0] ?? null)
  }

  /**
   * @param {Mode} mode
   * @param {string} policy
   * @param {{customer: string, teller: {name: string}}} session
   */
  show(mode, policy, { customer, teller }) {
    this.dataset.mode = mode
    this.#title.textContent = t("watch.title", { customer, teller: teller.name })
    const told = mode === "joined" ? "" : t(`watch.policy_${policy}`)
    fill(this.#heard, icon(mode === "listening" ? "microphone-off" : "microphone"), el("span", {}, [t(`watch.heard_${mode}`, { teller: teller.name }), told].join(" ")))
    fill(this.#ways, ...MODES.map(([name, picture]) => this.#way(name, picture, name === mode)), this.#way("off", "exit", false))
  }

  focus() {
    this.#title.focus()
  }

  /** @param {string} condition of our own connection */
  #condition(condition) {
    this.#message.hidden = condition === "connected" || condition === "left"
    this.#message.textContent = t(condition === "lost" ? "stage.reconnecting" : "stage.connecting")
  }

  /** @param {any} quality */
  #measured(quality) {
    this.#tools.add(quality, (performance.now() - this.#began) / 1000)
    this.#people.heard(quality.participant, quality.sound)
  }

  /**
   * @param {Mode|"off"} name
   * @param {string} picture
   * @param {boolean} pressed
   */
  #way(name, picture, pressed) {
    const button = el("button", { type: "button", class: "button", onclick: () => this.choose(name) }, icon(picture), t(`watch.${name}`))
    if (name !== "off") button.setAttribute("aria-pressed", String(pressed))
    return button
  }
}

customElements.define("supervisor-ear", SupervisorEar)
