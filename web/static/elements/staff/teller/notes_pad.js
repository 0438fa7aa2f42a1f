// <notes-pad>: the teller's notes; they save themselves.

import { post } from "../../../lib/api.js"
import { el, fill, find } from "../../../lib/html.js"
import { explain, t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"

const PAUSE = 800 // milliseconds without a key before the notes are saved

class NotesPad extends Live {
  #session = ""
  #saved = ""
  #timer = 0

  connect() {
    const field = el("textarea", { class: "input", rows: 3, maxlength: 4000, placeholder: t("notes.write"), "aria-labelledby": "notes-title" })
    field.addEventListener("input", () => this.#later())
    field.addEventListener("blur", () => this.#save())
    fill(
      this,
      el("header", { class: "row apart" }, el("h2", { id: "notes-title" }, t("teller.notes")), el("span", { class: "saved small quiet", role: "status" })),
      field,
    )
  }

  disconnect() {
    window.clearTimeout(this.#timer)
  }

  focus() {
    this.#field.focus()
  }

  /** @param {any} view of the session */
  show({ id, notes }) {
    // What is being written here is newer than what the bank knows.
    if (id === this.#session) return
    this.#session = id
    this.#saved = notes ?? ""
    this.#field.value = this.#saved
    this.#say("")
  }

  get #field() {
    return /** @type {HTMLTextAreaElement} */ (find("textarea", this))
  }

  #later() {
    window.clearTimeout(this.#timer)
    this.#say(t("notes.writing"))
    this.#timer = window.setTimeout(() => this.#save(), PAUSE)
  }

  async #save() {
    window.clearTimeout(this.#timer)
    const text = this.#field.value
    if (text === this.#saved || !this.#session) return
    try {
      await post(`/api/sessions/${this.#session}/notes`, { text })
      this.#saved = text
      this.#say(t("notes.saved"))
    } catch (error) {
      this.#say(explain(error))
      this.#timer = window.setTimeout(() => this.#save(), 5 * PAUSE)
    }
  }

  /** @param {string} words */
  #say(words) {
    find(".saved", this).textContent = words
  }
}

customElements.define("notes-pad", NotesPad)
