// <export-panel>: a session made into a bundle for a court or an authority: reason, progress, file.

import { get, post, request } from "../../../lib/api.js"
import { el, fill, find, icon, make } from "../../../lib/html.js"
import { explain, known, t, when } from "../../../lib/i18n.js"
import { Live, every } from "../../live.js"
import { page } from "../../page.js"
import { askReason, confirmed } from "../dialog.js"
import { attempt } from "../tell.js"

const LOOK_MS = 1000
const MEGABYTE = 1e6

/**
 * @typedef {object} Export
 * @property {string} id
 * @property {"waiting"|"working"|"done"|"failed"|"stopped"} state
 * @property {number} progress 0 to 1
 * @property {number} ahead how many are made before it
 * @property {number|null} bytes
 * @property {string|null} sha256
 * @property {string|null} failure
 * @property {number|null} until when its file is removed, in microseconds since 1970; null without one
 */

class ExportPanel extends Live {
  /** The viewing it belongs to. */
  viewing = ""
  /** @type {Export|null} */
  #made = null
  /** What is on the page, so that a second does not take the focus off a button. */
  #shown = ""
  #asking = false

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#show()
    this.#find(signal)
    every(signal, LOOK_MS, () => this.#look(signal))
  }

  /** @param {AbortSignal} signal */
  async #find(signal) {
    const found = await attempt(get(`/api/viewings/${this.viewing}/exports`))
    if (found?.export && !signal.aborted) this.#show(found.export)
  }

  /** @param {AbortSignal} signal */
  async #look(signal) {
    const made = this.#made
    if (!made || !isOn(made) || this.#asking) return
    this.#asking = true
    try {
      const fresh = await get(`/api/exports/${made.id}`)
      if (!signal.aborted && this.#made?.id === made.id) this.#show(fresh)
    } catch {
      // The next second asks again; what is shown stays true.
    } finally {
      this.#asking = false
    }
  }

  async #ask() {
    const reason = await askReason({
      title: t("export.title"),
      why: t("export.why"),
      label: t("export.reason"),
      confirm: t("export.start"),
    })
    if (reason === null) return
    try {
      const { id } = await post(`/api/viewings/${this.viewing}/exports`, { reason })
      this.#show(await get(`/api/exports/${id}`))
    } catch (error) {
      this.#show(null, explain(error))
    }
  }

  async #stop() {
    const made = /** @type {Export} */ (this.#made)
    await attempt(request("DELETE", `/api/exports/${made.id}`))
    this.#show((await attempt(get(`/api/exports/${made.id}`))) ?? made)
  }

  async #remove() {
    const sure = await confirmed({ title: t("export.remove"), text: t("export.remove_about"), confirm: t("export.remove"), tone: "danger" })
    if (sure) await this.#stop()
  }

  /**
   * @param {Export|null} [made]
   * @param {string} [refusal] why it was not even begun
   */
  #show(made = this.#made, refusal = "") {
    this.#made = made
    const now = `${made?.id} ${made?.state} ${made?.ahead} ${made?.until} ${refusal}`
    if (now !== this.#shown) {
      this.#shown = now
      const within = this.contains(document.activeElement)
      fill(this, ...this.#content(made, refusal))
      if (within) find("a, button", this).focus()
    }
    const bar = this.querySelector("progress")
    if (!bar || made?.state !== "working") return
    const percent = Math.floor(made.progress * 100)
    bar.value = percent
    find("[data-part=percent]", this).textContent = `${percent} %`
  }

  /**
   * @param {Export|null} made
   * @param {string} refusal
   */
  #content(made, refusal) {
    return [
      el("h2", { id: "export-title" }, t("export.title")),
      el("p", { class: "quiet" }, t("export.about")),
      el("p", { class: "export-state", role: "status" }, refusal || stateWords(made)),
      made && isOn(made) && bar(made),
      made?.state === "done" && made.until !== null && facts(made),
      el("div", { class: "row" }, ...this.#buttons(made)),
    ]
  }

  /** @param {Export|null} made */
  #buttons(made) {
    if (made && isOn(made)) return [button("close", t("export.stop"), () => this.#stop())]
    const again = button("seal", t(made ? "export.again" : "export.begin"), () => this.#ask())
    if (made?.state !== "done" || made.until === null) return [again]
    const fetch = el("a", { class: "button primary", href: `/api/exports/${made.id}/file`, download: "" }, icon("download"), t("export.fetch"))
    return [fetch, button("close", t("export.remove"), () => this.#remove()), again]
  }
}

/** @param {Export} made */
function isOn({ state }) {
  return state === "waiting" || state === "working"
}

/** @param {Export|null} made */
function stateWords(made) {
  if (!made) return ""
  if (made.state === "waiting") return made.ahead ? t("export.waiting_behind", { ahead: made.ahead }) : t("export.waiting")
  if (made.state === "failed") {
    const key = `export.failure.${made.failure}`
    return known(key) ? t(key) : t("export.failure.internal")
  }
  if (made.state === "done" && made.until === null) return t("export.gone")
  return t(`export.${made.state}`)
}

/** @param {Export} made */
function bar(made) {
  const working = made.state === "working"
  return el(
    "p",
    { class: "export-bar" },
    el("progress", { max: 100, value: working ? 0 : null, "aria-label": t("export.progress") }),
    el("span", { class: "number", "aria-hidden": "true", data: { part: "percent" } }),
  )
}

/** @param {Export} made */
function facts({ bytes, sha256, until }) {
  const rows = [
    [t("export.size"), `${((bytes ?? 0) / MEGABYTE).toFixed(1)} MB`],
    ["SHA-256", el("code", {}, sha256 ?? "–")],
    [t("export.until"), when(/** @type {number} */ (until))],
  ]
  return el("dl", { class: "facts" }, ...rows.flatMap(([term, words]) => [el("dt", {}, term), el("dd", {}, words)]))
}

/**
 * @param {string} shape
 * @param {string} words
 * @param {() => void} act
 */
function button(shape, words, act) {
  return el("button", { type: "button", class: "button", onclick: act }, icon(shape), words)
}

customElements.define("export-panel", ExportPanel)

/**
 * The panel for whoever may export; nobody else sees one.
 * @param {string} viewing
 */
export function exportPanel(viewing) {
  if (page.role !== "reviewer") return null
  const panel = make(ExportPanel, { role: "region", "aria-labelledby": "export-title" })
  panel.viewing = viewing
  return panel
}
