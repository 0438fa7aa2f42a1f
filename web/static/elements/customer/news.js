// <call-news>: what the customer must know of the call and can do nothing about: who listens, who
// serves from now on. Read out politely.

import { el, fill, icon } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"
import { Live } from "../live.js"

const STAYS = 10 * 1000 // ms what is only news stands there

export class CallNews extends Live {
  #watched = ""
  /** @type {{picture: string, words: string}|null} */
  #note = null
  #teller = ""
  #arrived = false
  #timer = 0

  connect() {
    this.setAttribute("role", "status")
  }

  disconnect() {
    clearTimeout(this.#timer)
  }

  /** @param {string} words that somebody listens, "" when nobody does */
  watched(words) {
    this.#watched = words
    this.#draw()
  }

  /**
   * @param {string} name of the teller who serves now
   * @param {boolean} here whether their picture or voice can be there
   */
  teller(name, here) {
    if (!this.#teller) this.#arrived = true // the first teller is no news
    else if (name !== this.#teller) this.#arrived = false
    const changed = this.#teller !== name
    this.#teller = name
    if (this.#arrived || (!here && !changed)) return
    this.#arrived = here
    this.tell("transfer", t(here ? "customer.call.now_with" : "customer.call.passed_to", { name }), here)
  }

  /**
   * @param {string} picture name of an icon
   * @param {string} words
   * @param {boolean} [passing] for a while only
   */
  tell(picture, words, passing = true) {
    this.#note = { picture, words }
    clearTimeout(this.#timer)
    if (passing) this.#timer = setTimeout(() => this.#forget(), STAYS)
    this.#draw()
  }

  #forget() {
    this.#note = null
    this.#draw()
  }

  #draw() {
    const wanted = [
      this.#note,
      this.#watched ? { picture: "ear", words: this.#watched } : null,
    ].filter((line) => line !== null)
    const told = wanted.map(({ words }) => words).join("\n")
    if (told === this.dataset.told) return
    this.dataset.told = told
    fill(this, ...wanted.map(({ picture, words }) => el("p", {}, icon(picture), el("span", {}, words))))
  }
}

customElements.define("call-news", CallNews)
