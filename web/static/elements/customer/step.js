// What the steps of the visit have in common.

import { el, icon } from "../../lib/html.js"
import { explain, t } from "../../lib/i18n.js"
import { Devices } from "../../lib/media.js"
import { Visit } from "../../lib/visit.js"
import { Live } from "../live.js"

/** One step: given the visit and the devices before it enters the page. */
export class Step extends Live {
  /** @type {Visit} */
  visit = /** @type {any} */ (null)
  /** @type {Devices} */
  devices = /** @type {any} */ (null)
}

/**
 * The head of a preparing step: how far one is, and its title.
 * @param {Visit} visit
 * @param {"consents"|"business"|"devices"} stage
 */
export function head(visit, stage) {
  const stages = /** @type {readonly string[]} */ (visit.stages)
  const number = stages.indexOf(stage) + 1
  const counted = t("customer.progress", { number, total: stages.length })
  return el(
    "div",
    { class: "stack close" },
    el(
      "div",
      { class: "progress" },
      ...stages.map((_, index) => el("span", { class: index < number ? "past" : "" })),
      el("span", { class: "quiet small" }, counted),
    ),
    title(t(`customer.${stage}.heading`)),
    el("p", { class: "quiet" }, t(`customer.${stage}.about`)),
  )
}

/** @param {string} words */
export function title(words) {
  return el("h1", { tabindex: "-1" }, words)
}

/**
 * @param {"look"|"stop"|"verified"|""} kind
 * @param {string} picture name of an icon
 * @param {...import("../../lib/html.js").Child} children
 */
export function notice(kind, picture, ...children) {
  return el("div", { class: `notice ${kind}` }, icon(picture), el("div", {}, ...children))
}

/** @param {unknown} error */
export function failure(error) {
  return notice("stop", "alert", explain(error))
}

/**
 * Seconds in words; null when nobody knows.
 * @param {number|null|undefined} seconds
 */
export function duration(seconds) {
  if (seconds == null) return ""
  if (seconds < 60) return t("common.under_a_minute")
  return t("common.minutes", { minutes: Math.round(seconds / 60) })
}

/**
 * Ask before something that cannot be taken back.
 * @param {{heading: string, about: string, yes: string, no: string}} words
 * @returns {Promise<boolean>}
 */
export function confirm({ heading, about, yes, no }) {
  return new Promise((decide) => {
    const dialog = el(
      "dialog",
      { "aria-labelledby": "confirm-heading" },
      el("h2", { id: "confirm-heading" }, heading),
      el("p", { class: "quiet" }, about),
      el(
        "form",
        { class: "actions", method: "dialog" },
        el("button", { class: "button", value: "no", autofocus: true }, no),
        el("button", { class: "button danger", value: "yes" }, yes),
      ),
    )
    dialog.addEventListener("close", () => {
      decide(dialog.returnValue === "yes")
      dialog.remove()
    })
    document.body.append(dialog)
    dialog.showModal()
  })
}
