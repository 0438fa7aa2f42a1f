// The call: the teller large, oneself small; the other way round while face or card is shown.

import { Call } from "../../lib/call.js"
import { el, fill, icon, make } from "../../lib/html.js"
import { clock, t } from "../../lib/i18n.js"
import { chime } from "../../lib/media.js"
import { every, until } from "../live.js"
import { banners } from "./banners.js"
import { ChatSheet } from "./chat.js"
import { Instruction } from "./instruction.js"
import { OwnPicture } from "./own_picture.js"
import { Step, confirm, failure } from "./step.js"

const OPENING = 4 * 1000 // ms to wait for camera and microphone before entering without them
const RING = 200 // ms of vibration: it is your turn
const DONE = [60, 40, 90] // ms of vibration: a check has passed

/** @typedef {import("../../lib/call.js").Person} Person */

export class CallStep extends Step {
  /** @type {Call} */
  #call = /** @type {any} */ (null)
  #own = make(OwnPicture)
  #instruction = make(Instruction)
  #chat = make(ChatSheet, { hidden: true })
  #teller = el("video", {
    autoplay: true,
    playsinline: true,
    "aria-label": t("customer.call.teller_picture"),
  })
  #curtain = el("div", { class: "curtain" })
  #name = el("h1", { class: "teller-name", tabindex: "-1" })
  #mark = el("p", { class: "mark", "data-name": "recording" })
  #time = el("span", { class: "time" })
  #banners = el("div", { class: "banners", role: "status", "data-name": "banners" })
  #stage = el("div", { class: "stage" })
  #controls = {
    microphone: toggle("microphone", () => this.#switch("microphone")),
    camera: toggle("camera", () => this.#switch("camera")),
    chat: toggle("chat", () => this.#openChat()),
    flip: toggle("swap", () => this.devices.flip()),
    leave: toggle("hang-up", () => this.#leave()),
  }
  #facts = { silent: false, blocked: false, level: 4, connectedOnce: false, lostSince: 0 }
  #unread = 0
  #seen = -1 // chat lines already counted
  #told = ""

  /** @param {AbortSignal} signal */
  connect(signal) {
    const { visit, devices } = this
    this.#build()
    const call = new Call({
      socket: visit.socket,
      room: visit.session?.id ?? "",
      media: devices.stream,
    })
    this.#call = call
    until(
      signal,
      call.on(
        "joined",
        ({ media_time_us }) => (visit.origin = performance.now() - media_time_us / 1000),
      ),
      call.on("people", () => this.#showTeller()),
      call.on("condition", () => this.#conditionChanged()),
      call.on("silence", ({ participant }) => this.#hush(participant, true)),
      call.on("resumed", ({ participant }) => this.#hush(participant, false)),
      call.on("quality", ({ participant, level }) => this.#rate(participant, level)),
      devices.on((kind) => this.#deviceChanged(kind)),
      visit.on((change) => this.#changed(change)),
    )
    every(signal, 500, () => this.#tick())
    this.#enter()
    this.#showSession()
    this.#showGuide()
    this.#showControls()
    this.#ring()
  }

  disconnect() {
    this.#call.leave()
  }

  #build() {
    const { microphone, camera, chat, flip, leave } = this.#controls
    leave.classList.add("leave")
    flip.hidden = true
    this.devices.cameras().then((count) => (flip.hidden = count < 2))
    label(flip, t("customer.call.flip"))
    label(leave, t("customer.call.leave"))
    this.#chat.say = (text) => this.visit.say(text)
    this.#chat.close = () => this.#closeChat()
    fill(
      this.#stage,
      el("div", { class: "far" }, this.#teller, this.#curtain),
      el(
        "header",
        { class: "over top-bar" },
        this.#mark,
        this.#name,
        document.createElement("page-preferences"),
      ),
      this.#banners,
      this.#own,
      this.#instruction,
      el(
        "div",
        { class: "over controls", role: "toolbar", "aria-label": t("customer.call.controls") },
        microphone,
        camera,
        flip,
        chat,
        leave,
      ),
    )
    fill(this, this.#stage, this.#chat)
  }

  #ring() {
    if (!touched()) return
    navigator.vibrate?.(RING)
    chime()
  }

  /** Enter with what is open by then; a device that opens later is put in without a new offer. */
  async #enter() {
    const { devices } = this
    await Promise.race([devices.open(), new Promise((done) => setTimeout(done, OPENING))])
    if (!this.isConnected) return
    await this.#call.replaceTrack("audio", devices.track("audio"))
    await this.#call.replaceTrack("video", devices.track("video"))
    this.#call.join()
    this.#showOwn()
  }

  /** @param {import("../../lib/visit.js").Change} change */
  #changed(change) {
    if (change === "guide") this.#showGuide()
    else if (change === "finding") this.#showFinding()
    else if (change === "chat" || change === "session") this.#showSession()
    else this.#showBanners()
  }

  // -- what is on the stage -----------------------------------------------------------------

  /** @returns {Person|undefined} */
  get #person() {
    return this.#call.people.find(({ role }) => role !== "customer")
  }

  #showTeller() {
    const person = this.#person
    const stream = person?.stream ?? null
    if (this.#teller.srcObject !== stream) {
      this.#teller.srcObject = stream
      this.#play()
    }
    this.#showSession()
  }

  async #play() {
    if (!this.#teller.srcObject) return
    try {
      await this.#teller.play()
      this.#facts.blocked = false
    } catch (error) {
      // After a reload nobody has touched the page yet: then it needs one tap to be heard.
      this.#facts.blocked = /** @type {DOMException} */ (error).name === "NotAllowedError"
    }
    this.#showBanners()
  }

  #showSession() {
    const { session } = this.visit
    if (!session) return
    const name = session.teller?.name ?? this.#person?.name ?? t("common.teller")
    fill(this.#name, name)
    this.#drawCurtain(name)
    this.#showMark()
    this.#chat.show(session.chat)
    this.#count(session.chat.filter(({ role }) => role !== "customer").length)
    this.#showBanners()
  }

  /** What hangs before the teller's picture while there is none. @param {string} name */
  #drawCurtain(name) {
    const person = this.#person
    const { on_hold } = this.visit.session ?? {}
    const live = person?.connected && person.camera && person.stream.getVideoTracks().length > 0
    this.#curtain.hidden = Boolean(live && !on_hold)
    const why = on_hold ? "hold" : !person?.connected ? "coming" : "no_camera"
    fill(
      this.#curtain,
      el("span", { class: "emblem" }, icon(on_hold ? "pause" : "person")),
      el("p", { class: "meaning" }, t(`customer.call.${why}`, { name })),
      el("p", { class: "small" }, t(`customer.call.${why}_about`)),
    )
  }

  #showMark() {
    const { session, alarm } = this.visit
    const recorded = session?.recording !== false && alarm !== "recording_failed"
    this.#mark.classList.toggle("off", !recorded)
    fill(
      this.#mark,
      el("span", { class: "dot", "aria-hidden": "true" }),
      el("span", {}, t(recorded ? "common.recording" : "customer.call.not_recorded")),
      recorded && this.#time,
    )
  }

  #showOwn() {
    this.#own.show(this.devices.track("video"), this.devices.mirrored)
  }

  #showGuide() {
    const { guide } = this.visit
    this.#instruction.guide(guide)
    this.#stage.classList.toggle("guided", Boolean(guide))
    this.#own.guide(guide) // after the picture has got its size
    if (guide && !this.#chat.hidden && innerWidth < 900) this.#closeChat()
  }

  #showFinding() {
    const { finding } = this.visit
    if (!finding) return
    this.#instruction.finding(finding)
    if (finding.verdict !== "passed") return
    this.#own.celebrate()
    if (touched()) navigator.vibrate?.(DONE)
  }

  #showBanners() {
    const facts = {
      ...this.#facts,
      line: this.visit.socket.condition,
      call: this.#call.condition,
      person: this.#person,
      camera: this.devices.trouble.video,
      microphone: this.devices.trouble.audio,
      alarm: this.visit.alarm,
    }
    const wanted = banners(facts)
    const told = wanted.map(({ key }) => key).join()
    if (told === this.#told) return
    this.#told = told
    this.#stage.classList.toggle(
      "down",
      wanted.some(({ key }) => key === "lost" || key === "still_lost"),
    )
    fill(this.#banners, ...wanted.map((banner) => this.#banner(banner)))
  }

  /** @param {import("./banners.js").Banner} banner */
  #banner({ key, picture, action }) {
    const acts = /** @type {Record<string, () => void>} */ ({
      reconnect: () => this.#call.retry(),
      devices: () => this.devices.open(),
      listen: () => this.#play(),
    })
    return el(
      "div",
      { class: "banner", "data-name": key },
      picture ? icon(picture) : el("span", { class: "spinner", "aria-hidden": "true" }),
      el("p", {}, t(`customer.banner.${key}`)),
      action &&
        el(
          "button",
          { class: "button small", type: "button", onclick: acts[action] },
          t(`customer.banner.${action}`),
        ),
    )
  }

  // -- what happens -------------------------------------------------------------------------

  #conditionChanged() {
    const { condition } = this.#call
    if (condition === "connected") Object.assign(this.#facts, { connectedOnce: true, lostSince: 0 })
    else this.#facts.lostSince ||= performance.now()
    this.#showBanners()
  }

  /**
   * @param {string} participant
   * @param {boolean} silent
   */
  #hush(participant, silent) {
    if (participant === this.#call.me) return
    this.#facts.silent = silent
    this.#showBanners()
  }

  /**
   * @param {string} participant
   * @param {number} level
   */
  #rate(participant, level) {
    if (participant !== this.#call.me) return
    this.#facts.level = level
    this.#showBanners()
  }

  /** @param {"audio"|"video"} kind */
  #deviceChanged(kind) {
    this.#call.replaceTrack(kind, this.devices.track(kind))
    this.#showOwn()
    this.#showControls()
    this.#showBanners()
  }

  #tick() {
    const { origin } = this.visit
    const words = origin === null ? "" : clock((performance.now() - origin) / 1000)
    if (this.#time.textContent !== words) fill(this.#time, words)
    this.#showBanners()
  }

  // -- what the customer does ---------------------------------------------------------------

  /** @param {"microphone"|"camera"} device */
  #switch(device) {
    this.#call.send({ [device]: !this.#call.sending[device] })
    this.#showControls()
    this.#showOwn()
  }

  #showControls() {
    const { microphone, camera, chat } = this.#controls
    const { sending } = this.#call
    for (const [button, on, name] of /** @type {[HTMLElement, boolean, string][]} */ ([
      [microphone, sending.microphone, "microphone"],
      [camera, sending.camera, "camera"],
    ])) {
      button.classList.toggle("off", !on)
      button.querySelector(".icon")?.replaceWith(icon(on ? name : `${name}-off`))
      label(button, t(`customer.call.${name}_${on ? "on" : "off"}`))
      button.setAttribute("aria-pressed", String(!on))
    }
    label(chat, t("common.chat"))
    chat.setAttribute("aria-expanded", String(!this.#chat.hidden))
  }

  #openChat() {
    if (!this.#chat.hidden) return this.#closeChat()
    this.#chat.hidden = false
    this.#unread = 0
    this.#showUnread()
    this.#showControls()
    this.#chat.focus()
  }

  #closeChat() {
    this.#chat.hidden = true
    this.#showControls()
    this.#controls.chat.focus()
  }

  /** @param {number} theirs lines written by others so far */
  #count(theirs) {
    if (this.#seen >= 0 && this.#chat.hidden) this.#unread += Math.max(0, theirs - this.#seen)
    this.#seen = theirs
    this.#showUnread()
  }

  #showUnread() {
    const { chat } = this.#controls
    chat.querySelector(".unread")?.remove()
    if (!this.#unread) return
    const words = t("customer.chat.unread", { count: this.#unread })
    chat.append(el("span", { class: "unread", role: "status", "aria-label": words }, this.#unread))
  }

  async #leave() {
    const sure = await confirm({
      heading: t("customer.call.leave_heading"),
      about: t("customer.call.leave_about"),
      yes: t("customer.call.leave"),
      no: t("customer.call.stay"),
    })
    if (!sure) return
    await this.visit.leave().catch((error) => fill(this.#banners, failure(error)))
  }
}

/** A page nobody has touched since it was loaded may neither sound nor shake. */
function touched() {
  return navigator.userActivation?.hasBeenActive ?? true
}

/**
 * @param {string} picture
 * @param {() => void} act
 */
function toggle(picture, act) {
  return el(
    "button",
    { class: "control", type: "button", onclick: act },
    icon(picture),
    el("span", { class: "name" }),
  )
}

/**
 * @param {HTMLElement} button
 * @param {string} words
 */
function label(button, words) {
  const name = button.querySelector(".name")
  if (name && name.textContent !== words) name.textContent = words
}

customElements.define("call-step", CallStep)
