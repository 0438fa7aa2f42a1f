// The call: the teller (or a shared screen) large, the others and oneself small; oneself large while
// face or card is shown.

import { Call } from "../../lib/call.js"
import { CameraReport } from "../../lib/camera_report.js"
import { el, fill, icon, make } from "../../lib/html.js"
import { clock, t } from "../../lib/i18n.js"
import { chime } from "../../lib/media.js"
import { every, until } from "../live.js"
import { PeopleStage } from "../people/people_stage.js"
import { Sharing } from "../people/sharing.js"
import { banners } from "./banners.js"
import { CallBar } from "./call_bar.js"
import { lookOf, seen, tellerCurtain, tellerOf, watchedBy } from "./call_look.js"
import { ChatSheet, isMine } from "./chat.js"
import { ColourScreen } from "./colour_screen.js"
import { Instruction } from "./instruction.js"
import { CallNews } from "./news.js"
import { OwnPicture } from "./own_picture.js"
import { Step, confirm, failure } from "./step.js"

const OPENING = 4 * 1000 // ms to wait for camera and microphone before entering without them
const RING = 200 // ms of vibration: it is your turn
const DONE = [60, 40, 90] // ms of vibration: a check has passed

/** @typedef {import("../../lib/call.js").Person} Person */

export class CallStep extends Step {
  /** @type {Call} */
  #call = /** @type {any} */ (null)
  /** @type {CameraReport} */
  #camera = /** @type {any} */ (null)
  #own = make(OwnPicture)
  #colour = make(ColourScreen)
  #instruction = make(Instruction)
  #chat = make(ChatSheet, { hidden: true })
  #people = make(PeopleStage, { class: "far" })
  #curtain = el("div", { class: "curtain" })
  #news = make(CallNews)
  #bar = make(CallBar, { class: "over controls" })
  #sharing = new Sharing(() => this.#showControls())
  #name = el("h1", { class: "teller-name", tabindex: "-1" })
  #mark = el("p", { class: "mark", "data-name": "recording" })
  #time = el("span", { class: "time" })
  #banners = el("div", { class: "banners", role: "status", "data-name": "banners" })
  #stage = el("div", { class: "stage" })
  #facts = { silent: false, blocked: false, level: 4, connectedOnce: false, lostSince: 0 }
  #before = 4 // the level before the last
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
    this.#camera = new CameraReport({
      socket: visit.socket,
      session: visit.session?.id ?? "",
      track: () => devices.track("video"),
      cameras: () => devices.cameras(),
    })
    until(
      signal,
      call.on(
        "joined",
        ({ media_time_us }) => (visit.origin = performance.now() - media_time_us / 1000),
      ),
      call.on("people", () => this.#showPeople()),
      call.on("condition", () => this.#conditionChanged()),
      call.on("joined", () => this.#camera.changed()),
      call.on("silence", ({ participant }) => this.#hush(participant, true)),
      call.on("resumed", ({ participant }) => this.#hush(participant, false)),
      call.on("quality", (quality) => this.#rate(quality)),
      call.on("error", ({ code }) => this.#refused(code)),
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
    this.#sharing.stop()
    this.#camera.close()
    this.#call.leave()
  }

  #build() {
    const screen = Sharing.possible
    this.#bar.offer({ flip: false, screen })
    this.devices.cameras().then((count) => this.#bar.offer({ flip: count > 1, screen }))
    this.#bar.press = (control) => this.#press(control)
    this.#people.main = () => this.#person
    this.#people.look = (person) =>
      lookOf(person, person === this.#person, Boolean(this.visit.session?.on_hold))
    this.#people.blocked = (blocked) => this.#block(blocked)
    this.#chat.say = (text) => this.visit.say(text)
    this.#instruction.skip = () => void this.visit.skip(this.visit.guide?.check ?? "").catch(() => {}) // over already
    this.#chat.close = () => this.#closeChat()
    fill(
      this.#stage,
      this.#people,
      this.#curtain,
      el(
        "header",
        { class: "over top-bar" },
        this.#mark,
        this.#name,
        document.createElement("page-preferences"),
      ),
      el("div", { class: "told" }, this.#banners, this.#news),
      this.#colour,
      this.#own,
      this.#instruction,
      this.#bar,
    )
    this.#colour.skip = (check) => this.visit.skip(check)
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
    else if (change === "chat") this.#showSession()
    else if (change === "session") this.#showPeople()
    else this.#showBanners()
  }

  // -- what is on the stage -----------------------------------------------------------------

  /** @returns {Person|undefined} */
  get #person() {
    return tellerOf(this.#call.people, this.visit.session)
  }

  #showPeople() {
    this.#news.watched(watchedBy(this.#call.people))
    this.#showSession()
    this.#showGuide()
  }

  /** @param {boolean} blocked after a reload nobody has touched the page yet: it needs one tap */
  #block(blocked) {
    this.#facts.blocked = blocked
    this.#showBanners()
  }

  #showSession() {
    const { session } = this.visit
    if (!session) return
    const name = session.teller?.name ?? this.#person?.name ?? t("common.teller")
    fill(this.#name, name)
    if (session.teller) this.#news.teller(name, Boolean(this.#person?.connected))
    this.#people.show(seen(this.#call.people))
    this.#drawCurtain(name)
    this.#showMark()
    this.#chat.show(session.chat, session.you?.id)
    this.#count(session.chat.filter((said) => !isMine(said, session.you?.id)).length)
    this.#showBanners()
  }

  /** Before there is anybody in the room. @param {string} name */
  #drawCurtain(name) {
    this.#curtain.hidden = this.#person !== undefined
    const curtain = tellerCurtain(undefined, Boolean(this.visit.session?.on_hold), name)
    if (this.#curtain.hidden || !curtain) return
    fill(
      this.#curtain,
      el("span", { class: "emblem" }, icon(curtain.picture)),
      el("p", { class: "meaning" }, curtain.title),
      el("p", { class: "small" }, curtain.about),
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
    // On hold nobody looks: an instruction would be about nothing.
    const guide = this.visit.session?.on_hold ? null : this.visit.guide
    this.#instruction.guide(guide)
    // A screen the teller shows now is to be looked at now; the instruction stands below it.
    const screened = this.#people.large.startsWith("screen-")
    this.#stage.classList.toggle("guided", Boolean(guide) && !screened)
    this.#stage.classList.toggle("lit", this.#colour.guide(guide))
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
      listen: () => this.#people.play(),
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

  /** @param {{participant: string, level: number, sound?: number|null}} quality */
  #rate({ participant, level, sound }) {
    const held = this.visit.session?.on_hold
    if (participant !== this.#call.me) return this.#people.heard(participant, held ? 0 : sound)
    this.#facts.level = Math.max(level, this.#before) // one poor moment is no weak line
    this.#before = level
    this.#showBanners()
  }

  /** @param {string} code of PROTOCOL.md */
  #refused(code) {
    if (this.#sharing.refused(code)) this.#news.tell("screen-off", t(`people.${code}`))
  }

  /** @param {"audio"|"video"} kind */
  #deviceChanged(kind) {
    this.#call.replaceTrack(kind, this.devices.track(kind))
    if (kind === "video") this.#camera.changed()
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

  /** @param {import("./call_bar.js").Control} control */
  #press(control) {
    if (control === "microphone" || control === "camera") this.#switch(control)
    else if (control === "screen") this.#sharing.toggle(this.#call)
    else if (control === "chat") this.#openChat()
    else if (control === "flip") this.devices.flip()
    else this.#leave()
  }

  /** @param {"microphone"|"camera"} device */
  #switch(device) {
    this.#call.send({ [device]: !this.#call.sending[device] })
    this.#showControls()
    this.#showOwn()
  }

  #showControls() {
    const { sending } = this.#call
    this.#bar.show({ sending, sharing: this.#sharing.on, chatting: !this.#chat.hidden })
  }

  #openChat() {
    if (!this.#chat.hidden) return this.#closeChat()
    this.#chat.hidden = false
    this.#unread = 0
    this.#bar.unread(0)
    this.#showControls()
    this.#chat.focus()
  }

  #closeChat() {
    this.#chat.hidden = true
    this.#showControls()
    this.#bar.focusOn("chat")
  }

  /** @param {number} theirs lines written by others so far */
  #count(theirs) {
    if (this.#seen >= 0 && this.#chat.hidden) this.#unread += Math.max(0, theirs - this.#seen)
    this.#seen = theirs
    this.#bar.unread(this.#unread)
  }

  async #leave() {
    const sure = await confirm({
      heading: t("customer.call.leave_heading"),
      about: t(this.visit.guest ? "customer.call.leave_guest" : "customer.call.leave_about"),
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

customElements.define("call-step", CallStep)
