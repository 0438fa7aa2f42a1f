// Who looked, when, at which case: over every picture, so that a photograph of the screen says it too.
//
// It deters and it tells; it is not a lock. Whoever may change the page's program can take it away,
// and so can somebody who films around it. What simple means do (hiding an element, deleting it,
// changing its words, a style from elsewhere) is undone at once, or the picture goes dark.

import { el } from "../../../lib/html.js"
import { t, when } from "../../../lib/i18n.js"
import { every, until } from "../../live.js"

const TILES = 24
const LOOK_MS = 1000 // a style from elsewhere makes no mutation: it is looked for
const FAINTEST = 0.5 // opacity of the overlay; its colour is faint already
const WATCHED = { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["class", "style", "hidden", "data-words"] }

/** @typedef {{viewer: string, session: string}} Who */

/** @param {Who} who */
export function watermark(who) {
  const words = wordsOf(who)
  const tiles = Array.from({ length: TILES }, () => el("span", {}, words))
  return el("div", { class: "watermark", "aria-hidden": "true", data: { name: "watermark", words } }, ...tiles)
}

/** @param {Who} who */
function wordsOf({ viewer, session }) {
  return `${viewer} · ${when(new Date().toISOString())} · ${session.slice(-8)}`
}

/**
 * Keeps a watermark over every screen of `field` for as long as it is on the page.
 * @param {AbortSignal} signal
 * @param {HTMLElement} field
 * @param {Who} who
 */
export function guard(signal, field, who) {
  const observer = new MutationObserver(() => look())
  const look = () => {
    for (const screen of /** @type {NodeListOf<HTMLElement>} */ (field.querySelectorAll(".screen"))) repair(screen, who)
    observer.takeRecords() // our own work
    observer.observe(field, WATCHED)
  }
  look()
  every(signal, LOOK_MS, look)
  until(signal, () => observer.disconnect())
  document.addEventListener("enterpictureinpicture", () => document.exitPictureInPicture(), { signal, capture: true })
}

/**
 * @param {HTMLElement} screen
 * @param {Who} who
 */
function repair(screen, who) {
  const marks = /** @type {HTMLElement[]} */ ([...screen.querySelectorAll(":scope > .watermark")])
  const [mark] = marks
  if (marks.length !== 1 || !isWhole(mark, wordsOf(who))) {
    for (const one of marks) one.remove()
    screen.append(watermark(who))
  }
  const seen = screen.hidden || shows(/** @type {HTMLElement} */ (screen.querySelector(":scope > .watermark")), screen)
  if (seen !== screen.classList.contains("unmarked")) return
  screen.classList.toggle("unmarked", !seen)
  screen.querySelector(".unmarked-words")?.remove()
  if (!seen) screen.append(el("p", { class: "unmarked-words", role: "alert" }, t("replay.unmarked")))
}

/**
 * @param {HTMLElement} mark
 * @param {string} words
 */
function isWhole(mark, words) {
  if (mark.hidden || mark.getAttribute("style") || mark.className !== "watermark" || mark.dataset.words !== words) return false
  return mark.childElementCount === TILES && [...mark.children].every((tile) => tile.textContent === words && tile.attributes.length === 0)
}

/**
 * Whether it is painted over the whole screen.
 * @param {HTMLElement} mark
 * @param {HTMLElement} screen
 */
function shows(mark, screen) {
  const tile = /** @type {Element} */ (mark.firstElementChild)
  for (const one of [mark, tile]) {
    const { display, visibility, opacity, color } = getComputedStyle(one)
    if (display === "none" || visibility !== "visible" || Number(opacity) < FAINTEST || /, 0\)$|transparent/.test(color)) return false
  }
  const [over, under] = [mark.getBoundingClientRect(), screen.getBoundingClientRect()]
  return over.width >= under.width && over.height >= under.height
}

/**
 * For printers: the same words over every page.
 * @param {Who} who
 */
export function printMark(who) {
  const mark = watermark(who)
  mark.className = "print-mark"
  return mark
}
