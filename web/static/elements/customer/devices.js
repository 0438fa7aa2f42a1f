// Step 3: camera, microphone, speaker, network. Each says how it is and what to do about it.

import { el, fill, icon } from "../../lib/html.js"
import { explain, lang, t } from "../../lib/i18n.js"
import { chime, loudness } from "../../lib/media.js"
import { measure } from "../../lib/network.js"
import { every, until } from "../live.js"
import { Step, failure, head, notice } from "./step.js"

const HEARD = 0.35 // of the meter: louder than a quiet room
const MOMENT = 80 // ms between two looks at the meter

/** @typedef {"trying"|"good"|"look"|"stop"} State */

export class DeviceStep extends Step {
  #rows = {
    camera: row("camera", "camera"),
    microphone: row("microphone", "microphone"),
    speaker: row("speaker", "speaker"),
    network: row("network", "network"),
  }
  #picture = el("video", { autoplay: true, playsinline: true, muted: true, "aria-hidden": "true" })
  #meter = el("div", { class: "meter", "data-name": "microphone-level" })
  #begin = el("button", { class: "button primary full", type: "button" })
  #problem = el("div", { role: "alert" })
  /** @type {ReturnType<typeof loudness>|null} */
  #sound = null
  #heard = false

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#picture.muted = true
    fill(this.#begin, t(this.visit.guest ? "customer.guest.begin" : "customer.devices.begin"))
    this.#begin.addEventListener("click", () => this.#join(), { signal })
    fill(
      this,
      el(
        "div",
        { class: "column stack wide" },
        head(this.visit, "devices"),
        el(
          "div",
          { class: "mirror" },
          this.#picture,
          el("p", { class: "only-you" }, icon("eye"), t("customer.devices.only_you")),
        ),
        el(
          "ul",
          { role: "list", class: "card flat devices" },
          ...Object.values(this.#rows).map(({ item }) => item),
        ),
        this.#problem,
        this.#begin,
        el(
          "button",
          {
            class: "button plain",
            type: "button",
            onclick: () => this.visit.go(this.visit.guest ? "consents" : "business"),
          },
          t("common.back"),
        ),
        el("a", { class: "button plain", href: "/connection-test", target: "_blank" }, icon("network"), t("common.connection_test")),
      ),
    )
    until(
      signal,
      this.devices.on(() => this.#show()),
    )
    every(signal, MOMENT, () => this.#listen())
    this.#open()
    this.#askSpeaker()
    this.#measure()
  }

  disconnect() {
    this.#sound?.close()
    this.#sound = null
  }

  async #open() {
    this.#rows.camera.say("trying", t("customer.devices.camera_asking"))
    this.#rows.microphone.say("trying", t("customer.devices.microphone_asking"))
    await this.devices.open()
    this.#show()
  }

  #show() {
    const { devices } = this
    const camera = devices.track("video")
    this.#picture.srcObject = camera && new MediaStream([camera])
    this.#picture.parentElement?.classList.toggle("off", !camera)
    this.#picture.classList.toggle("mirrored", devices.mirrored)
    this.#say("camera", "video", Boolean(camera))
    this.#say("microphone", "audio", Boolean(devices.track("audio")))
    this.#begin.disabled = !(camera && devices.track("audio"))
    this.#sound?.close()
    this.#sound = devices.track("audio") ? loudness(devices.stream) : null
  }

  /**
   * @param {"camera"|"microphone"} name
   * @param {"video"|"audio"} kind
   * @param {boolean} open
   */
  #say(name, kind, open) {
    const row = this.#rows[name]
    const trouble = this.devices.trouble[kind]
    if (trouble) row.say("stop", t(`customer.devices.${name}_${trouble}`), this.#again())
    else if (!open) row.say("trying", t(`customer.devices.${name}_asking`))
    else if (name === "camera") row.say("good", t("customer.devices.camera_good"))
    else if (this.#heard) row.say("good", t("customer.devices.microphone_good"), this.#meter)
    else row.say("trying", t("customer.devices.microphone_speak"), this.#meter)
  }

  #again() {
    return el(
      "button",
      { class: "button small", type: "button", onclick: () => this.#open() },
      icon("refresh"),
      t("common.retry"),
    )
  }

  #listen() {
    const level = this.#sound?.level() ?? 0
    this.#meter.style.setProperty("--level", level.toFixed(2))
    if (level < HEARD || this.#heard) return
    this.#heard = true
    this.#show()
  }

  #askSpeaker() {
    const play = el(
      "button",
      { class: "button small", type: "button", onclick: () => this.#play() },
      icon("play"),
      t("customer.devices.speaker_play"),
    )
    this.#rows.speaker.say("trying", t("customer.devices.speaker_ask"), play)
  }

  async #play() {
    const { speaker } = this.#rows
    speaker.say("trying", t("customer.devices.speaker_playing"))
    await chime()
    const answer = (/** @type {boolean} */ heard) =>
      el(
        "button",
        {
          class: "button small",
          type: "button",
          onclick: () =>
            heard ? speaker.say("good", t("customer.devices.speaker_good")) : this.#deaf(),
        },
        t(heard ? "common.yes" : "common.no"),
      )
    speaker.say(
      "trying",
      t("customer.devices.speaker_heard"),
      el("div", { class: "row" }, answer(true), answer(false)),
    )
  }

  #deaf() {
    const again = el(
      "button",
      { class: "button small", type: "button", onclick: () => this.#play() },
      icon("refresh"),
      t("customer.devices.speaker_again"),
    )
    this.#rows.speaker.say("look", t("customer.devices.speaker_remedy"), again)
  }

  async #measure() {
    const { network } = this.#rows
    network.say("trying", t("customer.devices.network_asking"))
    const { grade } = await measure()
    if (grade === "good") return network.say("good", t("customer.devices.network_good"))
    const again = el(
      "button",
      { class: "button small", type: "button", onclick: () => this.#measure() },
      icon("refresh"),
      t("common.retry"),
    )
    network.say(grade === "none" ? "stop" : "look", t(`customer.devices.network_${grade}`), again)
  }

  async #join() {
    this.#begin.setAttribute("aria-busy", "true")
    this.#begin.disabled = true
    fill(this.#problem)
    try {
      await this.visit.begin(lang())
    } catch (error) {
      this.#refused(/** @type {any} */ (error))
    } finally {
      this.#begin.removeAttribute("aria-busy")
      this.#begin.disabled = false
    }
  }

  /** @param {{code?: string}} error */
  #refused(error) {
    fill(this.#problem, failure(error))
    if (error.code !== "recording_needed" && error.code !== "consent_outdated") return
    const back = () => this.visit.load().then(() => this.visit.go("consents"))
    fill(
      this.#problem,
      notice(
        "look",
        "info",
        el("p", {}, explain(error)),
        el(
          "button",
          { class: "button small", type: "button", onclick: back },
          t("customer.devices.to_consents"),
        ),
      ),
    )
  }
}

/**
 * A device's line: its picture, its state as shape and word, the remedy.
 * @param {string} name
 * @param {string} picture
 */
function row(name, picture) {
  const mark = el("span", { class: "mark trying", "aria-hidden": "true" })
  const words = el("p", { class: "small", role: "status" })
  const extra = el("div", { class: "extra" })
  const item = el(
    "li",
    { "data-name": name },
    el("span", { class: "device" }, icon(picture)),
    el("div", { class: "about" }, el("strong", {}, t(`customer.devices.${name}`)), words, extra),
    mark,
  )
  /** @type {Record<State, string>} */
  const marks = { trying: "", good: "check", look: "alert", stop: "close" }
  return {
    item,
    /**
     * @param {State} state
     * @param {string} sentence
     * @param {HTMLElement} [remedy]
     */
    say(state, sentence, remedy) {
      item.dataset.state = state
      mark.className = `mark ${state}`
      fill(mark, marks[state] && icon(marks[state]))
      if (words.textContent !== sentence) fill(words, sentence)
      fill(extra, remedy)
    },
  }
}

customElements.define("device-step", DeviceStep)
