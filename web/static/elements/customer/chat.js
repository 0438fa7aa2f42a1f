// <chat-sheet>: writing to each other beside the picture; a sheet from below on a phone.

import { el, fill, icon } from "../../lib/html.js"
import { explain, t, when } from "../../lib/i18n.js"
import { Live } from "../live.js"

const LONGEST = 1000 // characters

/** @typedef {import("../../lib/visit.js").Said} Said */

export class ChatSheet extends Live {
  /** @type {(text: string) => Promise<unknown>} */
  say = () => Promise.resolve()
  close = () => {}
  #log = el("ol", { role: "log", class: "said", "aria-label": t("common.chat"), tabindex: "0" })
  #input = el("input", {
    class: "input",
    id: "chat-text",
    autocomplete: "off",
    maxlength: LONGEST,
    "aria-label": t("customer.chat.write"),
    placeholder: t("customer.chat.write"),
  })
  #problem = el("p", { class: "small", role: "alert" })
  #shown = 0

  /** @param {AbortSignal} signal */
  connect(signal) {
    const send = el(
      "button",
      { class: "button primary", type: "submit", "aria-label": t("common.send") },
      icon("send"),
    )
    const close = el(
      "button",
      {
        class: "button plain",
        type: "button",
        "aria-label": t("common.close"),
        onclick: () => this.close(),
      },
      icon("close"),
    )
    fill(
      this,
      el("div", { class: "row apart" }, el("h2", {}, t("common.chat")), close),
      this.#log,
      this.#problem,
      el(
        "form",
        { class: "write", onsubmit: (/** @type {Event} */ event) => this.#send(event) },
        this.#input,
        send,
      ),
    )
    this.addEventListener("keydown", ({ key }) => key === "Escape" && this.close(), { signal })
  }

  /**
   * @param {Said[]} chat
   * @param {string|undefined} me own id, where the bank says it
   */
  show(chat, me) {
    if (chat.length < this.#shown) fill(this.#log)
    const fresh = chat.slice(this.#log.childElementCount)
    this.#log.append(...fresh.map((said) => line(said, isMine(said, me))))
    this.#shown = chat.length
    if (fresh.length) this.#log.scrollTop = this.#log.scrollHeight
  }

  focus() {
    this.#input.focus()
    this.#log.scrollTop = this.#log.scrollHeight
  }

  /** @param {Event} event */
  async #send(event) {
    event.preventDefault()
    const text = this.#input.value.trim()
    if (!text) return
    fill(this.#problem)
    try {
      await this.say(text)
      this.#input.value = "" // what was written stays there until it is sent
    } catch (error) {
      fill(this.#problem, explain(error))
    }
  }
}

/**
 * @param {Said} said
 * @param {string|undefined} me
 */
export function isMine({ from, role }, me) {
  return me ? from === me : role === "customer"
}

/**
 * @param {Said} said
 * @param {boolean} mine
 */
function line({ role, text, at }, mine) {
  return el(
    "li",
    { class: mine ? "mine" : "theirs" },
    el(
      "span",
      { class: "who small" },
      mine ? t("common.you") : t(`role.${role}`),
      " · ",
      el("time", {}, when(at, { timeStyle: "short" })),
    ),
    el("p", {}, text),
  )
}

customElements.define("chat-sheet", ChatSheet)
