// <teller-status>: the bar on top of the console: own state, the line, the day.

import { fill, find, icon } from "../../../lib/html.js"
import { clock, t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"

class TellerStatus extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    for (const button of this.querySelectorAll("button[data-state]"))
      button.addEventListener("click", (event) => wish(event), { signal })
    find("[data-act=help]", this).addEventListener("click", help, { signal })
  }

  /** @param {any} desk */
  show({ state, queue, today }) {
    const busy = state === "talking" || state === "wrap_up" || state === "ringing"
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.querySelectorAll("button[data-state]"))) {
      button.setAttribute("aria-pressed", String(button.dataset.state === state))
      button.disabled = busy
    }
    const place = find("[data-part=state]", this)
    place.textContent = t(`teller.state.${state}`)
    place.dataset.now = state
    place.hidden = !busy
    this.queue(queue)
    this.#put("served", today.served)
    this.#put("average", today.average_s ? clock(today.average_s) : "–")
  }

  /** @param {{waiting: number, longest_s: number}} queue */
  queue({ waiting, longest_s }) {
    this.#put("waiting", waiting)
    this.#put("longest", waiting ? clock(longest_s) : "–")
  }

  /** @param {string} condition of the line to the bank */
  line(condition) {
    const place = find("[data-part=line]", this)
    const lost = condition === "lost" || condition === "closed"
    place.dataset.tone = lost ? "bad" : ""
    if (lost) fill(place, icon("refresh"), t(`teller.line.${condition}`))
    else fill(place)
  }

  /**
   * @param {string} part
   * @param {string|number} words
   */
  #put(part, words) {
    find(`[data-part=${part}]`, this).textContent = String(words)
  }
}

/** @param {Event} event */
function wish({ currentTarget }) {
  const button = /** @type {HTMLElement} */ (currentTarget)
  button.dispatchEvent(new CustomEvent("presence", { bubbles: true, detail: button.dataset.state }))
}

/** @param {Event} event */
function help({ currentTarget }) {
  currentTarget?.dispatchEvent(new Event("help", { bubbles: true }))
}

customElements.define("teller-status", TellerStatus)
