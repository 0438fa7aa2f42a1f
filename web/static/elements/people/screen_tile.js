// <screen-tile>: a shared screen, to be enlarged with two fingers, a tap, the wheel or the buttons.

import { el, fill, icon } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"
import { WHOLE, enlarged, moved } from "../../lib/zoom.js"
import { PersonTile } from "./tile.js"

const STEP = 1.6
const TAP = 8 // pixels a finger may move and still be a tap
const PAN = 60 // pixels an arrow key moves the picture

export class ScreenTile extends PersonTile {
  #view = WHOLE
  /** Fingers on the glass. @type {Map<number, {x: number, y: number}>} */
  #fingers = new Map()
  #moved = 0
  #reset = zoomButton("minus", "people.smaller", () => this.#by(1 / STEP))
  #closer = zoomButton("plus", "people.larger", () => this.#by(STEP))

  /** @param {AbortSignal} signal */
  connect(signal) {
    super.connect(signal)
    this.video.muted = true
    const glass = el("div", { class: "glass", tabindex: "0", role: "group", "aria-label": t("people.screen_zoom") })
    const buttons = el("div", { class: "zoom-buttons" }, this.#closer, this.#reset)
    this.video.after(glass, buttons)
    const hear = (/** @type {string} */ type, /** @type {(event: any) => void} */ act) =>
      glass.addEventListener(type, act, { signal })
    hear("pointerdown", (event) => this.#down(event, glass))
    hear("pointermove", (event) => this.#drag(event))
    hear("pointerup", (event) => this.#up(event))
    hear("pointercancel", ({ pointerId }) => this.#fingers.delete(pointerId))
    hear("wheel", (event) => this.#wheel(event))
    hear("keydown", (event) => this.#press(event))
    this.#draw(WHOLE)
  }

  /**
   * @param {PointerEvent} event
   * @param {HTMLElement} glass
   */
  #down(event, glass) {
    glass.setPointerCapture(event.pointerId)
    if (this.#fingers.size === 0) this.#moved = 0
    this.#fingers.set(event.pointerId, this.#point(event))
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const before = this.#fingers.get(event.pointerId)
    if (!before) return
    const now = this.#point(event)
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1]
    this.#moved += Math.hypot(now.x - before.x, now.y - before.y)
    this.#fingers.set(event.pointerId, now)
    if (!other) return this.#draw(moved(this.#view, now.x - before.x, now.y - before.y, this.#size))
    const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 }
    const spread = distance(now, other) / Math.max(1, distance(before, other))
    this.#moved += TAP // two fingers are never a tap
    this.#draw(enlarged(this.#view, spread, middle, this.#size))
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const known = this.#fingers.delete(event.pointerId)
    if (!known || this.#fingers.size > 0 || this.#moved > TAP) return
    if (this.dataset.place !== "large") this.enlarge(this.dataset.person ?? "")
    else if (this.#view.scale > 1) this.#draw(WHOLE)
    else this.#draw(enlarged(WHOLE, STEP * STEP, this.#point(event), this.#size))
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    if (!event.ctrlKey && this.#view.scale === 1 && event.deltaY > 0) return
    event.preventDefault()
    this.#draw(enlarged(this.#view, event.deltaY < 0 ? 1.15 : 1 / 1.15, this.#point(event), this.#size))
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const acts = /** @type {Record<string, () => void>} */ ({
      "+": () => this.#by(STEP),
      "=": () => this.#by(STEP),
      "-": () => this.#by(1 / STEP),
      0: () => this.#draw(WHOLE),
      ArrowLeft: () => this.#draw(moved(this.#view, PAN, 0, this.#size)),
      ArrowRight: () => this.#draw(moved(this.#view, -PAN, 0, this.#size)),
      ArrowUp: () => this.#draw(moved(this.#view, 0, PAN, this.#size)),
      ArrowDown: () => this.#draw(moved(this.#view, 0, -PAN, this.#size)),
    })
    if (!acts[event.key]) return
    event.preventDefault()
    event.stopPropagation()
    acts[event.key]()
  }

  /** @param {number} factor */
  #by(factor) {
    this.#draw(enlarged(this.#view, factor, { x: 0, y: 0 }, this.#size))
  }

  get #size() {
    return { width: this.clientWidth, height: this.clientHeight }
  }

  /** @param {MouseEvent} event */
  #point(event) {
    const { left, top, width, height } = this.getBoundingClientRect()
    return { x: event.clientX - left - width / 2, y: event.clientY - top - height / 2 }
  }

  /** @param {import("../../lib/zoom.js").View} view */
  #draw(view) {
    this.#view = view
    this.video.style.setProperty("transform", `translate(${view.x}px, ${view.y}px) scale(${view.scale})`)
    this.#reset.disabled = view.scale === 1
  }
}

/**
 * @param {{x: number, y: number}} a
 * @param {{x: number, y: number}} b
 */
function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y)
}

/**
 * @param {string} picture
 * @param {string} key
 * @param {() => void} act
 */
function zoomButton(picture, key, act) {
  const button = el("button", { type: "button", "aria-label": t(key), title: t(key), onclick: act })
  fill(button, icon(picture))
  return button
}

customElements.define("screen-tile", ScreenTile)
