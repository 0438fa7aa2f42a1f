// <customer-visit>: the customer's page. It shows the step the visit is in and nothing else; the
// steps come from the server's state (lib/visit.js), so a reload or a dropped line changes nothing.

import { page } from "../page.js"
import { find, make } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"
import { Devices } from "../../lib/media.js"
import { Visit } from "../../lib/visit.js"
import { Live, until } from "../live.js"
import { BusinessStep } from "./business.js"
import { CallStep } from "./call.js"
import { ConsentStep } from "./consents.js"
import { DeviceStep } from "./devices.js"
import { ElsewhereStep, SignedOutStep, UnreachableStep } from "./ended.js"
import { ResultStep } from "./result.js"
import { WaitingStep } from "./waiting.js"

/** @type {Record<string, new () => import("./step.js").Step>} */
const STEPS = {
  consents: ConsentStep,
  business: BusinessStep,
  devices: DeviceStep,
  waiting: WaitingStep,
  call: CallStep,
  result: ResultStep,
  elsewhere: ElsewhereStep,
  signed_out: SignedOutStep,
  unreachable: UnreachableStep,
}

/** The steps in which camera and microphone are open. */
const WITH_DEVICES = ["devices", "waiting", "call"]

class CustomerVisit extends Live {
  visit = new Visit()
  devices = new Devices()
  #shown = ""

  /** @param {AbortSignal} signal */
  connect(signal) {
    until(
      signal,
      this.visit.on(() => this.#show()),
    )
    document.addEventListener("visibilitychange", () => this.#stayAwake(), { signal })
    this.visit.load()
  }

  disconnect() {
    this.visit.socket.close()
    this.devices.close()
  }

  #show() {
    const { step } = this.visit
    if (step === "loading" || step === this.#shown) return
    const first = !this.#shown
    this.#shown = step
    if (!WITH_DEVICES.includes(step)) this.devices.close()
    document.body.dataset.step = step
    document.title = `${t(`customer.title.${step}`)} · ${t("common.bank")}`
    const element = make(STEPS[step])
    element.visit = this.visit
    element.devices = this.devices
    this.replaceChildren(element)
    scrollTo(0, 0)
    // A screen reader is taken to the new step; not on arrival, when it reads the page anyway.
    if (!first) find("h1", element).focus()
    this.#stayAwake()
  }

  /** A phone that goes dark in the waiting line loses the call. */
  async #stayAwake() {
    const wanted = this.#shown === "waiting" || this.#shown === "call"
    if (!wanted || document.visibilityState !== "visible") return
    await navigator.wakeLock?.request("screen").catch(() => {}) // a courtesy, not a need
  }
}

if (page.name === "customer") customElements.define("customer-visit", CustomerVisit)
