// The line and the desks, as a supervisor sees them.

import { el, icon } from "../../../lib/html.js"
import { clock, t } from "../../../lib/i18n.js"
import { businessName } from "../businesses.js"
import { deskState } from "../colleagues.js"

/** The states of a desk, the busiest first, each with a shape. */
const SHAPES = /** @type {Record<string, string>} */ ({ talking: "video", ringing: "bell", wrap_up: "edit", ready: "check", away: "minus" })

/** @param {{waiting: number, longest_s: number, by_business: any[]}} queue */
export function lineTable({ waiting, by_business }) {
  if (waiting === 0) return el("p", { class: "quiet" }, t("teller.line_empty"))
  return el(
    "table",
    { class: "table floor" },
    head("floor.business", "floor.waiting", "floor.longest"),
    el(
      "tbody",
      {},
      ...by_business.map((/** @type {any} */ one) =>
        el("tr", {}, el("th", { scope: "row" }, businessName(one.business)), el("td", { class: "number" }, one.waiting), el("td", { class: "number" }, since(one.longest_s))),
      ),
    ),
  )
}

/** @param {any[]} tellers */
export function tellersTable(tellers) {
  if (tellers.length === 0) return el("p", { class: "quiet" }, t("floor.no_tellers"))
  const order = Object.keys(SHAPES)
  const sorted = [...tellers].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || b.since_s - a.since_s)
  return el(
    "table",
    { class: "table floor" },
    head("floor.teller", "floor.state", "floor.since"),
    el(
      "tbody",
      {},
      ...sorted.map(({ name, state, since_s }) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, name),
          el("td", {}, el("span", { class: `badge ${state === "ready" ? "verified" : state === "talking" ? "action" : ""}` }, icon(SHAPES[state] ?? "more"), deskState(state))),
          el("td", { class: "number" }, since(since_s)),
        ),
      ),
    ),
  )
}

/**
 * A time that goes on by itself, see `tick`.
 * @param {number} seconds gone so far
 */
export function since(seconds) {
  const begun = Date.now() - seconds * 1000
  return el("time", { class: "number", data: { begun } }, clock(seconds))
}

/** @param {ParentNode} root */
export function tick(root) {
  for (const time of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("time[data-begun]"))) {
    const words = clock((Date.now() - Number(time.dataset.begun)) / 1000)
    if (time.textContent !== words) time.textContent = words
  }
}

/** @param {...string} keys */
function head(...keys) {
  return el("thead", {}, el("tr", {}, ...keys.map((key) => el("th", { scope: "col" }, t(key)))))
}
