// <incoming-card>: a customer rings, is passed on by a colleague, or a colleague asks for help. Enter
// accepts, Esc declines; the ring runs out by itself.

import { el, icon, svg } from "../../../lib/html.js"
import { clock, t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { businessName } from "../businesses.js"
import { Ringing } from "./ringing.js"

const RADIUS = 52
const ROUND = 2 * Math.PI * RADIUS
const STEP = 250 // milliseconds between two looks at the clock

class IncomingCard extends Live {
  #ringing = new Ringing()
  /** @type {HTMLDialogElement|null} */
  #dialog = null
  #session = ""
  #invited = false
  #timer = 0

  disconnect() {
    this.hide()
    this.#ringing.close()
  }

  /** Lets the page sound later: browsers ask for a touch first. */
  prepare() {
    this.#ringing.prepare()
  }

  /** @param {any} offer */
  show(offer) {
    if (this.#session === offer.session && this.#dialog) return
    this.hide()
    this.#session = offer.session
    this.#invited = Boolean(offer.invited)
    this.#dialog = this.#card(offer)
    this.append(this.#dialog)
    this.#dialog.showModal()
    this.#ringing.start()
    if (offer.ring_s) this.#countDown(offer)
  }

  hide() {
    window.clearInterval(this.#timer)
    this.#ringing.stop()
    const dialog = this.#dialog
    this.#dialog = null
    this.#session = ""
    dialog?.close()
    dialog?.remove()
  }

  /** @param {any} offer */
  #card(offer) {
    const accept = el(
      "button",
      { type: "button", class: "button primary full", autofocus: true, "data-name": "accept", onclick: () => this.#answer("accept") },
      icon("video"),
      el("span", {}, t("offer.accept")),
      el("kbd", { "aria-hidden": "true" }, "Enter"),
    )
    const decline = el(
      "button",
      { type: "button", class: "button full", "data-name": "decline", onclick: () => this.#answer("decline") },
      el("span", {}, t("offer.decline")),
      el("kbd", { "aria-hidden": "true" }, "Esc"),
    )
    const dialog = el(
      "dialog",
      { class: "incoming", role: "alertdialog", "aria-labelledby": "offer-title", "aria-describedby": "offer-facts" },
      offer.ring_s ? ring() : el("span", { class: "emblem" }, icon("people")),
      el("h2", { id: "offer-title" }, titleOf(offer)),
      el("p", { class: "offer-business" }, businessName(offer.business)),
      offer.transfer?.note && el("blockquote", { class: "offer-note" }, offer.transfer.note),
      facts(offer),
      el("div", { class: "offer-actions" }, accept, decline),
    )
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault()
      this.#answer("decline")
    })
    return dialog
  }

  /** @param {"accept"|"decline"} answer */
  #answer(answer) {
    const session = this.#session
    if (!session) return
    const detail = { session, invited: this.#invited }
    this.hide()
    this.dispatchEvent(new CustomEvent(answer, { bubbles: true, detail }))
  }

  /** @param {{ring_s: number, waited_s: number}} offer */
  #countDown({ ring_s, waited_s }) {
    const begun = Date.now()
    const dialog = this.#dialog
    const count = () => {
      const gone = (Date.now() - begun) / 1000
      const left = Math.max(0, ring_s - gone)
      const circle = /** @type {SVGElement|null} */ (dialog?.querySelector(".left") ?? null)
      circle?.style.setProperty("stroke-dashoffset", String(ROUND * (1 - left / Math.max(1, ring_s))))
      put(dialog, "seconds", String(Math.ceil(left)))
      put(dialog, "waited", clock(waited_s + gone))
      if (left === 0) this.hide()
    }
    count()
    this.#timer = window.setInterval(count, STEP)
  }
}

function ring() {
  const shared = { cx: 60, cy: 60, r: RADIUS, fill: "none" }
  const left = svg("circle", { ...shared, class: "left", "stroke-dasharray": ROUND })
  return el(
    "div",
    { class: "ring" },
    svg("svg", { viewBox: "0 0 120 120", "aria-hidden": "true" }, svg("circle", { ...shared, class: "track" }), left),
    el("p", {}, el("strong", { data: { part: "seconds" } }), el("span", {}, t("offer.seconds"))),
  )
}

/** @param {any} offer */
function titleOf({ invited, transfer, from }) {
  if (invited) return t("offer.invited_title", { name: from })
  return transfer ? t("offer.transfer_title", { name: transfer.from }) : t("offer.title")
}

/** @param {any} offer */
function facts({ invited, transfer, from, role, customer_name, language, face_consent }) {
  const rows = invited
    ? [[t("offer.asks"), from], [t("offer.as"), t(`role.${role}`)]]
    : [
        transfer && [t("offer.from"), transfer.from],
        customer_name && [t("common.customer"), customer_name],
        !transfer && [t("offer.waited"), el("span", { data: { part: "waited" } })],
        [t("offer.language"), t(`language.${language}`)],
        [t("offer.face"), t(face_consent ? "offer.face_yes" : "offer.face_no")],
      ].filter(Boolean)
  return el("dl", { class: "facts", id: "offer-facts" }, ...rows.flatMap(([term, words]) => [el("dt", {}, term), el("dd", {}, words)]))
}

/**
 * @param {HTMLElement|null} root
 * @param {string} part
 * @param {string} words
 */
function put(root, part, words) {
  const place = root?.querySelector(`[data-part=${part}]`)
  if (place && place.textContent !== words) place.textContent = words
}

customElements.define("incoming-card", IncomingCard)
