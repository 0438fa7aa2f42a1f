// <call-controls>: own microphone and camera, the customer's, hold, end.

import { post } from "../../../lib/api.js"
import { el, fill, find, icon } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { confirmed } from "../dialog.js"
import { attempt } from "../tell.js"

/** @typedef {"microphone"|"camera"|"hold"|"end"} Control */

class CallControls extends Live {
  /** @type {any} */
  #view = null

  connect() {
    fill(
      this,
      this.#button("microphone", "microphone", "M"),
      this.#button("camera", "camera", "V"),
      this.#button("hold", "pause", "H"),
      this.#button("end", "hang-up", "E"),
    )
  }

  /** @param {any} view of the session */
  show(view) {
    this.#view = view
    this.#press("hold", view.on_hold, "pause", "play")
  }

  /** @param {Control} control */
  press(control) {
    if (this.#view?.state !== "talking") return
    if (control === "hold") void attempt(this.#hold())
    else if (control === "end") void this.#end()
    else this.#switch(control)
  }

  /** @param {"microphone"|"camera"} device */
  #switch(device) {
    const call = /** @type {any} */ (find("call-stage")).call
    if (!call) return
    const on = !call.sending[device]
    call.send({ [device]: on })
    this.#press(device, !on, device, `${device}-off`)
  }

  #hold() {
    return post(`/api/sessions/${this.#view.id}/hold`, { on: !this.#view.on_hold })
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
