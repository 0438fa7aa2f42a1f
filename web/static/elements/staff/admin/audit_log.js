// <audit-log>: who looked at what and changed what, newest first. Nothing here can be changed.

import "../../page.js"
import { get } from "../../../lib/api.js"
import { el, fill, find } from "../../../lib/html.js"
import { known, t, when } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { attempt } from "../tell.js"

const COLUMNS = ["seq", "at", "actor", "kind", "about"]

class AuditLog extends Live {
  connect() {
    this.#list(1)
  }

  /** @param {number} page from 1, the newest entries first */
  async #list(page) {
    const answer = await attempt(get(`/api/audit?page=${page}`))
    if (!answer) return
    fill(find("[data-part=entries]", this), ...answer.entries.map(row))
    fill(find("[data-part=pages]", this), ...this.#pages(answer))
  }

  /** @param {{page: number, pages: number}} answer */
  #pages({ page, pages }) {
    if (pages <= 1) return []
    const turn = (/** @type {number} */ by) => () => this.#list(page + by)
    return [
      el("button", { type: "button", class: "button small", disabled: page <= 1, onclick: turn(-1) }, t("review.newer")),
      el("span", { class: "number quiet" }, t("review.page", { page, pages })),
      el("button", { type: "button", class: "button small", disabled: page >= pages, onclick: turn(1) }, t("review.older")),
    ]
  }
}

/** @param {any} entry */
function row({ seq, at, actor, kind, data }) {
  const cells = [
    el("span", { class: "number quiet" }, String(seq)),
    el("time", { class: "number" }, when(at, { dateStyle: "medium", timeStyle: "medium" })),
    actor,
    known(`audit.${kind}`) ? t(`audit.${kind}`) : kind.replaceAll("_", " "),
    about(data ?? {}),
  ]
  const label = (/** @type {number} */ of) => t(`audit.column.${COLUMNS[of]}`)
  return el("tr", {}, ...cells.map((cell, of) => el("td", { data: { label: label(of) } }, cell)))
}

/** @param {Record<string, any>} data */
function about(data) {
  const pairs = Object.entries(data).filter(([, value]) => value !== null && typeof value !== "object")
  if (pairs.length === 0) return "–"
  const name = (/** @type {string} */ key) => (known(`audit.data.${key}`) ? t(`audit.data.${key}`) : key.replaceAll("_", " "))
  return el("ul", { class: "about", role: "list" }, ...pairs.map(([key, value]) => el("li", {}, el("span", { class: "quiet" }, name(key)), " ", words(value))))
}

/** @param {unknown} value */
function words(value) {
  if (typeof value === "boolean") return t(value ? "common.yes" : "common.no")
  return known(`role.${value}`) ? t(`role.${value}`) : String(value)
}

customElements.define("audit-log", AuditLog)
