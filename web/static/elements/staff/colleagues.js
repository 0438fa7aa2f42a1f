// Who of the house could take part: name, role, and in words whether they are free.

import { get } from "../../lib/api.js"
import { el, icon } from "../../lib/html.js"
import { known, t } from "../../lib/i18n.js"

/**
 * @typedef {object} Colleague
 * @property {string} id
 * @property {string} name
 * @property {string} role
 * @property {string} state away, ready, ringing, talking, wrap_up
 * @property {string[]} skills
 */

const SERVING = ["teller", "loan_officer", "expert"]
const FREE = ["ready", "away"]

/** @returns {Promise<Colleague[]>} who serves customers, the free ones first */
export async function colleagues() {
  /** @type {Colleague[]} */
  const found = await get("/api/colleagues")
  const serving = found.filter(({ role }) => SERVING.includes(role))
  return serving.sort((a, b) => Number(b.state === "ready") - Number(a.state === "ready") || a.name.localeCompare(b.name))
}

/**
 * Whether a ring can reach them: away means no new customers, not gone.
 * @param {Colleague} colleague
 */
export function isFree({ state }) {
  return FREE.includes(state)
}

/** @param {string} state of a desk */
export function deskState(state) {
  return known(`teller.state.${state}`) ? t(`teller.state.${state}`) : state
}

/** @param {Colleague} colleague */
export function colleagueLine({ name, role, state }) {
  const tone = state === "ready" ? "verified" : ""
  const picture = state === "ready" ? "check" : state === "away" ? "minus" : "clock"
  return [
    el("span", { class: "name" }, name),
    el("span", { class: "quiet small" }, t(`role.${role}`)),
    el("span", { class: `badge ${tone}` }, icon(picture), deskState(state)),
  ]
}
