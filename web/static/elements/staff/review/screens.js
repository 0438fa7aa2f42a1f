// The pictures of a replay: one screen for each person and each shared screen. Whoever is not there
// at the moment takes no room; a shared screen is large while it lasts, else the customer.

import { el, find } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { isScreen, labelWords } from "./labels.js"

const ALWAYS = ["customer", "teller"]
const ORDER = ["customer", "teller", "co_customer"]

/** @typedef {{stream: import("./clips.js").Stream, video: HTMLVideoElement}} Track */

/** @param {Track[]} tracks */
export function screens(tracks) {
  const field = el("div", { class: "screens", role: "group", "aria-label": t("replay.screens") })
  seat(field, tracks)
  return field
}

/**
 * Gives each track its place; a person who is new gets a screen.
 * @param {HTMLElement} field
 * @param {Track[]} tracks
 */
export function seat(field, tracks) {
  for (const { stream, video } of tracks) {
    if (video.isConnected) continue
    const there = /** @type {HTMLElement[]} */ ([...field.children]).find(({ dataset }) => dataset.label === stream.label)
    find(".no-picture", there ?? added(field, stream.label)).before(video)
  }
}

/**
 * @param {HTMLElement} field
 * @param {string} label
 */
function added(field, label) {
  const words = labelWords(label)
  const figure = el("figure", { class: "screen", data: { label } }, el("p", { class: "no-picture" }, t("replay.no_picture")), el("figcaption", {}, words))
  const later = /** @type {HTMLElement[]} */ ([...field.children]).find(({ dataset }) => follows(dataset.label ?? "", label))
  field.insertBefore(figure, later ?? null)
  return figure
}

/**
 * After every change of the moment.
 * @param {HTMLElement} field what `screens` made
 */
export function arrange(field) {
  const figures = /** @type {HTMLElement[]} */ ([...field.querySelectorAll(".screen")])
  for (const figure of figures) {
    const video = /** @type {HTMLVideoElement|null} */ (figure.querySelector("video:not([hidden])"))
    const dark = !video || (video.readyState > 0 && video.videoWidth === 0)
    if (dark !== figure.classList.contains("dark")) figure.classList.toggle("dark", dark)
    const hidden = !video && !ALWAYS.includes(figure.dataset.label ?? "")
    if (hidden !== figure.hidden) figure.hidden = hidden
  }
  const shown = figures.filter(({ hidden }) => !hidden)
  const large = shown.find(({ dataset }) => isScreen(dataset.label ?? "")) ?? shown[0]
  for (const figure of figures) if (figure.classList.contains("large") !== (figure === large)) figure.classList.toggle("large", figure === large)
  field.dataset.count = String(shown.length)
}

/**
 * @param {string} label
 * @param {string} other
 */
function follows(label, other) {
  return (rank(label) - rank(other) || label.localeCompare(other)) > 0
}

/** @param {string} label */
function rank(label) {
  const at = ORDER.indexOf(label)
  return at < 0 ? ORDER.length : at
}
