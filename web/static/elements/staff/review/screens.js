// The pictures of a replay: one screen for each person and each shared screen. Whoever is not there
// at the moment takes no room; a shared screen is large while it lasts, else the customer.

import { el } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { page } from "../../page.js"
import { isScreen, labelWords } from "./labels.js"
import { watermark } from "./watermark.js"

const ALWAYS = ["customer", "teller"]
const ORDER = ["customer", "teller", "co_customer"]

/** @typedef {{stream: import("./clips.js").Stream, video: HTMLVideoElement}} Track */

/**
 * @param {Track[]} tracks
 * @param {any} session
 */
export function screens(tracks, session) {
  const labels = [...new Set(tracks.map(({ stream }) => stream.label))].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
  const figures = labels.map((label) =>
    el(
      "figure",
      { class: "screen", data: { label } },
      ...tracks.filter(({ stream }) => stream.label === label).map(({ video }) => video),
      el("p", { class: "no-picture" }, t("replay.no_picture")),
      watermark(page.person, session.id),
      el("figcaption", {}, labelWords(label)),
    ),
  )
  return el("div", { class: "screens", role: "group", "aria-label": t("replay.screens") }, ...figures)
}

/**
 * After every change of the moment.
 * @param {HTMLElement} field what `screens` made
 */
export function arrange(field) {
  const figures = /** @type {HTMLElement[]} */ ([...field.querySelectorAll(".screen")])
  for (const figure of figures) {
    const video = /** @type {HTMLVideoElement|null} */ (figure.querySelector("video:not([hidden])"))
    figure.classList.toggle("dark", !video || (video.readyState > 0 && video.videoWidth === 0))
    figure.hidden = !video && !ALWAYS.includes(figure.dataset.label ?? "")
  }
  const shown = figures.filter(({ hidden }) => !hidden)
  const large = shown.find(({ dataset }) => isScreen(dataset.label ?? "")) ?? shown[0]
  for (const figure of figures) figure.classList.toggle("large", figure === large)
  field.dataset.count = String(shown.length)
}

/** @param {string} label */
function rank(label) {
  const at = ORDER.indexOf(label)
  return at < 0 ? ORDER.length : at
}
