// In the line: the place, the estimate, and nothing that is not true.

import { el, fill, icon } from "../../lib/html.js"
import { pick, t } from "../../lib/i18n.js"
import { until } from "../live.js"
import { Step, confirm, duration, failure, notice, title } from "./step.js"

export class WaitingStep extends Step {
  #place = el("div", {
    class: "place",
    role: "status",
    "aria-label": t("customer.waiting.queue"),
    "data-name": "queue",
  })
  #picture = el("video", { autoplay: true, playsinline: true, muted: true, "aria-hidden": "true" })
  #trouble = el("div", { role: "status" })
  #problem = el("div", { role: "alert" })
  #said = ""

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#picture.muted = true
    const leave = el(
      "button",
      { class: "button danger", type: "button", onclick: () => this.#leave() },
      t("customer.waiting.leave"),
    )
    fill(
      this,
      el(
        "div",
        { class: "column stack wide waiting" },
        title(t("customer.waiting.heading")),
        this.#place,
        el(
          "div",
          { class: "mirror small" },
          this.#picture,
          el("p", { class: "only-you" }, icon("eye"), t("customer.devices.only_you")),
        ),
        this.#trouble,
        el(
          "section",
          { class: "card flat stack close" },
          el("h2", { class: "small-heading" }, t("customer.waiting.meanwhile")),
          el(
            "ul",
            { role: "list", class: "ready" },
            el("li", {}, icon("card"), t("customer.home.ready_card")),
            el("li", {}, icon("bell"), t("customer.waiting.stay")),
            el("li", {}, icon("lock"), t("customer.waiting.never")),
          ),
        ),
        this.#problem,
        leave,
      ),
    )
    until(
      signal,
      this.visit.on(() => this.#show()),
      this.devices.on(() => this.#look()),
    )
    this.#show()
    // After a reload the devices are opened again, so that the call starts at once.
    this.devices.open().then(() => this.#look())
  }

  #show() {
    const { session, business, open, socket } = this.visit
    if (!session) return
    const state =
      socket.condition === "lost"
        ? "lost"
        : session.state === "offered"
          ? "offered"
          : open
            ? "line"
            : "closed"
    const time = duration(session.estimate_s)
    const said = [state, session.place, time].join()
    if (said === this.#said) return // a status that is written again is read out again
    this.#said = said
    fill(
      this.#place,
      el("p", { class: "business" }, pick(business?.name)),
      ...(state === "offered" ? offered() : inLine(session.place, time)),
      state === "closed" && notice("look", "clock", t("customer.waiting.closed")),
      state === "lost" && notice("look", "network", t("customer.waiting.lost")),
    )
  }

  #look() {
    const camera = this.devices.track("video")
    this.#picture.srcObject = camera && new MediaStream([camera])
    this.#picture.parentElement?.classList.toggle("off", !camera)
    this.#picture.classList.toggle("mirrored", this.devices.mirrored)
    const { video, audio } = this.devices.trouble
    const again = el(
      "button",
      { class: "button small", type: "button", onclick: () => this.devices.open() },
      icon("refresh"),
      t("common.retry"),
    )
    const words = video
      ? t(`customer.devices.camera_${video}`)
      : audio && t(`customer.devices.microphone_${audio}`)
    fill(
      this.#trouble,
      words && notice("stop", video ? "camera-off" : "microphone-off", el("p", {}, words), again),
    )
  }

  async #leave() {
    const sure = await confirm({
      heading: t("customer.waiting.leave_heading"),
      about: t("customer.waiting.leave_about"),
      yes: t("customer.waiting.leave"),
      no: t("customer.waiting.stay_here"),
    })
    if (!sure) return
    fill(this.#problem)
    await this.visit.leave().catch((error) => fill(this.#problem, failure(error)))
  }
}

function offered() {
  return [
    el("p", { class: "figure" }, icon("bell")),
    el("p", { class: "meaning" }, t("customer.waiting.offered")),
    el("p", { class: "quiet" }, t("customer.waiting.offered_about")),
  ]
}

/**
 * @param {number|null} place
 * @param {string} time
 */
function inLine(place, time) {
  return [
    place !== null && el("p", { class: "figure" }, place),
    el(
      "p",
      { class: "meaning" },
      place === 1
        ? t("customer.waiting.next")
        : t("customer.waiting.place", { place: place ?? "—" }),
    ),
    el(
      "p",
      { class: "quiet" },
      time ? t("customer.waiting.estimate", { time }) : t("customer.waiting.no_estimate"),
    ),
  ]
}

customElements.define("waiting-step", WaitingStep)
