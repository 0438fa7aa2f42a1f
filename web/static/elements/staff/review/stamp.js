// <time-proof session="…">: since when each part of a recording has been what it is, and who says so.

import { get, post } from "../../../lib/api.js"
import { el, fill, icon } from "../../../lib/html.js"
import { explain, t, when } from "../../../lib/i18n.js"
import { Live, every } from "../../live.js"
import { mark } from "../marks.js"
import { attempt } from "../tell.js"

const LOOK_AGAIN = 60 * 1000 // milliseconds; heads and stamps come by themselves

/** @type {Record<string, import("../marks.js").Tone>} */
const TONES = { stamped: "good", test: "look", unstamped: "busy", waiting: "busy", wrong: "bad" }

/**
 * @typedef {object} Proof
 * @property {number} number of the part, from 1
 * @property {"stamped"|"test"|"unstamped"|"waiting"|"wrong"} state
 * @property {string|null} reason why it waits or is wrong
 * @property {string|null} day the tree's, UTC
 * @property {number|null} position in the tree, from 0
 * @property {number|null} size of the tree
 * @property {string|null} root
 * @property {number|null} closed_at when the head was signed, microseconds
 * @property {number|null} stamped_at
 * @property {string|null} authority
 */

export class TimeProof extends Live {
  #parts = el("div", { class: "stack", "aria-live": "polite" })
  #stamp = el("button", { type: "button", class: "button" }, icon("clock"), t("time.stamp_now"))
  #save = el("a", { class: "button plain", download: "proof.json" }, icon("download"), t("time.save"))

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#save.href = `${this.#address}/proof`
    this.classList.add("proof")
    fill(
      this,
      el("h2", {}, t("time.title")),
      el("p", { class: "quiet" }, t("time.about")),
      this.#parts,
      el("div", { class: "row" }, this.#stamp, this.#save),
    )
    this.#stamp.addEventListener("click", () => this.#stampNow(), { signal })
    this.#show()
    every(signal, LOOK_AGAIN, () => this.#show())
  }

  get #address() {
    return `/api/reviews/${this.getAttribute("session")}`
  }

  async #show() {
    try {
      this.#fill(await get(`${this.#address}/proof`))
    } catch (error) {
      fill(this.#parts, el("p", { class: "notice", role: "alert" }, explain(error)))
    }
  }

  async #stampNow() {
    this.#stamp.setAttribute("aria-busy", "true")
    const proofs = await attempt(post(`${this.#address}/stamp`))
    this.#stamp.removeAttribute("aria-busy")
    if (proofs) this.#fill(proofs)
  }

  /** @param {Proof[]} proofs */
  #fill(proofs) {
    fill(this.#parts, ...proofs.map(part))
    this.#save.hidden = !proofs.some(({ root }) => root)
    this.#stamp.hidden = !proofs.some(waits)
  }
}

/** @param {Proof} proof */
function waits({ state, reason, position }) {
  if (state === "waiting") return position !== null
  return state === "unstamped" && reason !== "no_authority"
}

/** @param {Proof} proof */
function part(proof) {
  const { number, state, day, position, size, root, closed_at, stamped_at, authority } = proof
  /** @type {[string, string|HTMLElement][]} */
  const rows = []
  if (position !== null) {
    const place = { day, position: position + 1, size }
    rows.push([t("time.place"), size === null ? t("time.place_alone", place) : t("time.place_of", place)])
  }
  if (closed_at) rows.push([t("time.signed"), exact(closed_at)])
  if (stamped_at) rows.push([t("time.stamped"), t("time.stamped_by", { at: exact(stamped_at), authority: plain(authority) })])
  if (root) rows.push([t("time.root"), el("code", {}, root)])
  return el(
    "section",
    { class: "part", data: { state } },
    el("header", { class: "row apart" }, el("h3", {}, t("time.part", { number })), mark(TONES[state], t(`time.state.${state}`))),
    el("p", {}, why(proof)),
    el("dl", { class: "facts" }, ...rows.flatMap(([term, words]) => [el("dt", {}, term), el("dd", {}, words)])),
  )
}

/** @param {Proof} proof */
function why({ state, reason, position }) {
  if (reason) return t(`time.reason.${reason}`)
  if (state === "waiting" && position === null) return t("time.why.open")
  return t(`time.why.${state}`)
}

/**
 * The subject of a certificate without what only its kind of names needs.
 * @param {string|null} subject
 */
function plain(subject) {
  return (subject ?? "–").replace(/^CN=/, "").replaceAll("\\", "")
}

/** @param {number} at microseconds since 1970 */
function exact(at) {
  return when(at, { dateStyle: "medium", timeStyle: "long" })
}

customElements.define("time-proof", TimeProof)
