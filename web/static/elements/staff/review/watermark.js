import { el } from "../../../lib/html.js"
import { when } from "../../../lib/i18n.js"

const TILES = 12

/**
 * Who looked, when, at which case: over the picture, so that a photograph of the screen says it too.
 * @param {string} viewer
 * @param {string} session
 */
export function watermark(viewer, session) {
  const words = `${viewer} · ${when(new Date().toISOString())} · ${session.slice(-8)}`
  const tiles = Array.from({ length: TILES }, () => el("span", {}, words))
  return el("div", { class: "watermark", "aria-hidden": "true", data: { name: "watermark" } }, ...tiles)
}
