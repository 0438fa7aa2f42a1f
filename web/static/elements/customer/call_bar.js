// <call-bar>: what the customer can press during the call.

import { el, fill, icon } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"
import { Live } from "../live.js"

/**
 * @typedef {"microphone"|"camera"|"flip"|"screen"|"chat"|"leave"} Control
 *
 * @typedef {object} State
 * @property {{microphone: boolean, camera: boolean}} sending
 * @property {boolean} sharing
 * @property {boolean} chatting
 */

export class CallBar extends Live {
  /** @type {(control: Control) => void} */
  press = () => {}
  #buttons = /** @type {Record<Control, HTMLButtonElement>} */ ({
    microphone: this.#button("microphone", "microphone"),
    camera: this.#button("camera", "camera"),
    flip: this.#button("flip", "swap"),
    screen: this.#button("screen", "screen"),
    chat: this.#button("chat", "chat"),
    leave: this.#button("leave", "hang-up"),
  })

  connect() {
    const { flip, leave, chat } = this.#buttons
    this.setAttribute("role", "toolbar")
    this.setAttribute("aria-label", t("customer.call.controls"))
    leave.classList.add("leave")
    label(flip, t("customer.call.flip"))
    label(leave, t("customer.call.leave"))
    label(chat, t("common.chat"))
    fill(this, ...Object.values(this.#buttons))
  }

  /** @param {{flip: boolean, screen: boolean}} possible on this device */
  offer({ flip, screen }) {
    this.#buttons.flip.hidden = !flip
    this.#buttons.screen.hidden = !screen
  }

  /** @param {State} state */
  show({ sending, sharing, chatting }) {
    const { microphone, camera, screen, chat } = this.#buttons
    press(microphone, !sending.microphone, "microphone")
    press(camera, !sending.camera, "camera")
    press(screen, sharing, "screen")
    label(microphone, t(`customer.call.microphone_${sending.microphone ? "on" : "off"}`))
    label(camera, t(`customer.call.camera_${sending.camera ? "on" : "off"}`))
    label(screen, t(`customer.call.screen_${sharing ? "on" : "off"}`))
    chat.setAttribute("aria-expanded", String(chatting))
  }

  /** @param {number} count lines of chat not read yet */
  unread(count) {
    const { chat } = this.#buttons
    chat.querySelector(".unread")?.remove()
    if (!count) return
    const words = t("customer.chat.unread", { count })
    chat.append(el("span", { class: "unread", role: "status", "aria-label": words }, count))
  }

  /** @param {Control} control */
  focusOn(control) {
    this.#buttons[control].focus()
  }

  /**
   * @param {Control} control
   * @param {string} picture
   */
  #button(control, picture) {
    const act = () => this.press(control)
    return el("button", { class: "control", type: "button", onclick: act }, icon(picture), el("span", { class: "name" }))
  }
}

/**
 * @param {HTMLElement} button
 * @param {boolean} pressed
 * @param {string} picture
 */
function press(button, pressed, picture) {
  button.classList.toggle("off", pressed)
  button.querySelector(".icon")?.replaceWith(icon(pressed ? `${picture}-off` : picture))
  button.setAttribute("aria-pressed", String(pressed))
}

/**
 * @param {HTMLElement} button
 * @param {string} words
 */
function label(button, words) {
  const name = button.querySelector(".name")
  if (name && name.textContent !== words) name.textContent = words
}

customElements.define("call-bar", CallBar)
