// <call-controls>: own microphone, camera and screen; hold, pass on, invite, end; for a colleague
// who was invited, the way out.

import { post } from "../../../lib/api.js"
import { el, fill, find, icon } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { Sharing } from "../../people/sharing.js"
import { confirmed } from "../dialog.js"
import { attempt } from "../tell.js"
import { openInvite } from "./invite_dialog.js"
import { openTransfer } from "./transfer_dialog.js"

/** @typedef {"microphone"|"camera"|"screen"|"hold"|"transfer"|"invite"|"end"|"step_out"} Control */

/** In the order of the bar: the picture, the key, whose it is. */
const CONTROLS = /** @type {[Control, string, string, "all"|"teller"|"colleague"][]} */ ([
  ["microphone", "microphone", "M", "all"],
  ["camera", "camera", "V", "all"],
  ["screen", "screen", "P", "all"],
  ["hold", "pause", "H", "teller"],
  ["transfer", "transfer", "T", "teller"],
  ["invite", "person-add", "I", "teller"],
  ["end", "hang-up", "E", "teller"],
  ["step_out", "exit", "O", "colleague"],
])

class CallControls extends Live {
  /** @type {any} */
  #view = null

  /** @param {AbortSignal} signal */
  connect(signal) {
    const offered = CONTROLS.filter(([control]) => control !== "screen" || Sharing.possible)
    fill(this, ...offered.map(([control, picture, key]) => this.#button(control, picture, key)))
    document.addEventListener("shared", () => this.#showScreen(), { signal })
  }

  /** @param {any} view of the session */
  show(view) {
    this.#view = view
    for (const [control, , , whose] of CONTROLS) {
      const button = this.#find(control)
      if (button && whose !== "all") button.hidden = (whose === "teller") !== view.mine
    }
    this.#press("hold", view.on_hold, "pause", "play")
    const transfer = /** @type {HTMLButtonElement|null} */ (this.#find("transfer"))
    if (transfer) transfer.disabled = Boolean(view.transfer)
  }

  /** @param {Control} control */
  press(control) {
    const button = this.#find(control)
    if (this.#view?.state !== "talking" || !button || button.hidden || button.matches(":disabled")) return
    const { id, on_hold } = this.#view
    switch (control) {
      case "hold":
        return void attempt(post(`/api/sessions/${id}/hold`, { on: !on_hold }))
      case "transfer":
        return void openTransfer(id)
      case "invite":
        return void openInvite(id)
      case "end":
        return void this.#end()
      case "step_out":
        return void this.#stepOut()
      case "screen":
        return void (this.#stage.call && this.#stage.sharing.toggle(this.#stage.call))
      default:
        this.#switch(control)
    }
  }

  get #stage() {
    return /** @type {any} */ (find("call-stage"))
  }

  /** @param {"microphone"|"camera"} device */
  #switch(device) {
    const { call } = this.#stage
    if (!call) return
    const on = !call.sending[device]
    call.send({ [device]: on })
    this.#press(device, !on, device, `${device}-off`)
    this.dispatchEvent(new Event("switched", { bubbles: true }))
  }

  #showScreen() {
    if (this.#find("screen")) this.#press("screen", this.#stage.sharing.on, "screen", "screen-off")
  }

  async #end() {
    const sure = await confirmed({
      title: t("control.end_title"),
      text: t(this.#view.decision ? "control.end_sure" : "control.end_undecided"),
      confirm: t("control.end"),
      tone: "danger",
    })
    if (sure) await attempt(post(`/api/sessions/${this.#view.id}/end`, { reason: "teller_ended" }))
  }

  /** The console leaves first: nothing of the session is asked for any more. */
  async #stepOut() {
    const sure = await confirmed({
      title: t("control.step_out_title"),
      text: t("control.step_out_sure"),
      confirm: t("control.step_out"),
    })
    if (sure) this.dispatchEvent(new Event("step-out", { bubbles: true }))
  }

  /**
   * @param {Control} control
   * @param {string} picture
   * @param {string} key
   */
  #button(control, picture, key) {
    const words = el("span", { class: "words" }, t(`control.${control}`))
    return el(
      "button",
      {
        type: "button",
        class: "control",
        "aria-keyshortcuts": key,
        data: { control },
        onclick: () => this.press(control),
      },
      el("span", { class: "round" }, icon(picture)),
      words,
    )
  }

  /** @param {Control} control */
  #find(control) {
    return /** @type {HTMLElement|null} */ (this.querySelector(`[data-control=${control}]`))
  }

  /**
   * @param {Control} control
   * @param {boolean} pressed
   * @param {string} off picture while not pressed
   * @param {string} on picture while pressed
   */
  #press(control, pressed, off, on) {
    const button = find(`[data-control=${control}]`, this)
    button.dataset.on = String(Boolean(pressed))
    fill(find(".round", button), icon(pressed ? on : off))
    find(".words", button).textContent = t(pressed ? `control.${control}_pressed` : `control.${control}`)
  }
}

customElements.define("call-controls", CallControls)
