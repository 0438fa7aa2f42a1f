// <chat-panel>: what is written beside what is said.

import { post } from "../../../lib/api.js"
import { el, fill, find, icon } from "../../../lib/html.js"
import { t, when } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { attempt } from "../tell.js"

class ChatPanel extends Live {
  #session = ""
  /** Own id, where the bank says it. */
  #me = ""
  #count = -1

  connect() {
    const field = el("input", { class: "input", name: "text", maxlength: 1000, autocomplete: "off", placeholder: t("chat.write"), "aria-label": t("chat.write") })
    const form = el("form", {}, field, el("button", { class: "button", "aria-label": t("common.send") }, icon("send")))
    form.addEventListener("submit", (event) => this.#send(event, field))
    fill(this, el("ol", { class: "lines", role: "log", "aria-live": "polite", "aria-label": t("common.chat") }), form)
  }

  focus() {
    find("input", this).focus()
  }

  /** @param {any} view of the session */
  show({ id, chat, state, you }) {
    this.#me = you?.id ?? ""
    find("form", this).hidden = state !== "talking"
    if (id === this.#session && chat.length === this.#count) return
    this.#session = id
    this.#count = chat.length
    fill(this.#lines, ...(chat.length ? chat.map((/** @type {any} */ said) => this.#line(said)) : [el("li", { class: "quiet empty" }, t("chat.empty"))]))
    this.#toEnd()
  }

  /** @param {any} said */
  add(said) {
    this.#lines.querySelector(".empty")?.remove()
    this.#count += 1
    this.#lines.append(this.#line(said))
    this.#toEnd()
  }

  /** @param {{from: string, role: string, text: string, at: string|number}} said */
  #line({ from, role, text, at }) {
    const mine = this.#me ? from === this.#me : role === "teller"
    return el(
      "li",
      { data: { role: mine ? "you" : role } },
      el("span", { class: "who" }, mine ? t("common.you") : t(`role.${role}`), " ", el("time", {}, when(at, { timeStyle: "short" }))),
      el("span", { class: "said" }, text),
    )
  }

  get #lines() {
    return find(".lines", this)
  }

  #toEnd() {
    this.#lines.scrollTop = this.#lines.scrollHeight
  }

  /**
   * @param {Event} event
   * @param {HTMLInputElement} field
   */
  async #send(event, field) {
    event.preventDefault()
    const text = field.value.trim()
    if (!text) return
    field.value = ""
    const sent = await attempt(post(`/api/sessions/${this.#session}/chat`, { text }))
    if (sent === undefined && !field.value) field.value = text
  }
}

customElements.define("chat-panel", ChatPanel)
