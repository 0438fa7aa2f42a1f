// <own-picture>: the customer's own camera, and what guides face or card drawn over it.

import { fill, el, icon, svg } from "../../lib/html.js"
import { Live } from "../live.js"

const CARD = 85.6 / 54 // width : height of an ID-1 card
/** What is held up, by the guide's mode: width : height of the paper. @type {Record<string, number>} */
const PAPERS = { card_front: CARD, card_back: CARD, bank_card: CARD, tilt: CARD, passport: 125 / 88, licence: 420 / 297 }
const ZONE = 0.26 // of a passport's page: the machine-readable lines at its foot
const FACE = 0.76 // width : height of the oval
const CELEBRATION = 1600 // ms, as long as the animation of the tick
const CROP = 0.75 // where less than this share would be visible, the whole picture is shown

/**
 * @typedef {import("../../lib/visit.js").Guide} Guide
 * @typedef {{x: number, y: number, width: number, height: number}} Box in the element's pixels
 */

export class OwnPicture extends Live {
  mirrored = true
  #video = el("video", { autoplay: true, playsinline: true, muted: true, "aria-hidden": "true" })
  #veil = svg("path", { class: "veil", "fill-rule": "evenodd" })
  #seen = svg("polygon", { class: "seen" })
  #outline = svg("path", { class: "outline" })
  #filled = svg("path", { class: "filled", pathLength: 1 })
  #overlay = svg(
    "svg",
    { class: "guide", "aria-hidden": "true" },
    this.#veil,
    this.#seen,
    this.#outline,
    this.#filled,
  )
  #tick = el("span", { class: "tick", "aria-hidden": "true" }, icon("check"))
  /** @type {Guide|null} */
  #guide = null

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#video.muted = true
    fill(this, this.#video, this.#overlay, this.#tick)
    const watch = new ResizeObserver(() => this.#draw())
    watch.observe(this)
    signal.addEventListener("abort", () => watch.disconnect())
    this.#video.addEventListener("resize", () => this.#draw(), { signal })
  }

  /**
   * @param {MediaStreamTrack|null} track
   * @param {boolean} mirrored
   */
  show(track, mirrored) {
    const shown = /** @type {MediaStream|null} */ (this.#video.srcObject)?.getTracks()[0] ?? null
    if (shown !== track) this.#video.srcObject = track && new MediaStream([track])
    this.mirrored = mirrored
    this.classList.toggle("mirrored", mirrored)
    this.classList.toggle("dark", !track?.enabled)
    this.#draw()
  }

  /** @param {Guide|null} guide */
  guide(guide) {
    this.#guide = guide
    this.#draw()
  }

  /** A tick over the picture for a moment: done. */
  celebrate() {
    this.classList.add("done")
    setTimeout(() => this.classList.remove("done"), CELEBRATION)
  }

  #draw() {
    const guide = this.#guide
    const { clientWidth: width, clientHeight: height } = this
    this.#overlay.toggleAttribute("hidden", !guide)
    this.classList.toggle("whole", Boolean(guide && this.#cropped(guide)))
    if (!guide || !width || !height) return
    this.#overlay.setAttribute("viewBox", `0 0 ${width} ${height}`)
    const picture = this.#picture()
    const shown = overlap(picture, { x: 0, y: 0, width, height })
    const shape = guide.mode === "face" ? oval(shown) : frame(shown, PAPERS[guide.mode] ?? CARD)
    this.#veil.setAttribute("d", `M0 0H${width}V${height}H0Z ${shape}`)
    this.#outline.setAttribute("d", shape + inside(guide.mode, shown, this.mirrored))
    this.#filled.setAttribute("d", shape)
    const progress = Math.min(1, Math.max(0, guide.progress ?? 0))
    this.#filled.setAttribute("stroke-dasharray", `${progress} 2`)
    this.#filled.toggleAttribute("hidden", progress < 0.01)
    this.#seen.setAttribute(
      "points",
      (guide.quad ?? []).map((corner) => this.#place(corner, picture)).join(" "),
    )
  }

  /**
   * A card at the picture's edge must not be cut off; a face is in the middle, and only its top
   * and chin can be.
   * @param {Guide} guide
   */
  #cropped(guide) {
    const { videoWidth, videoHeight } = this.#video
    if (!videoWidth) return false
    const across = (this.clientWidth / this.clientHeight) * (videoHeight / videoWidth)
    return 1 / across < CROP || (guide.mode !== "face" && across < CROP)
  }

  /** Where the camera's whole picture lies, parts outside the element included. */
  #picture() {
    const { clientWidth, clientHeight } = this
    const width = this.#video.videoWidth || 16
    const height = this.#video.videoHeight || 9
    const fit = this.classList.contains("whole") ? Math.min : Math.max
    const scale = fit(clientWidth / width, clientHeight / height)
    return {
      x: (clientWidth - width * scale) / 2,
      y: (clientHeight - height * scale) / 2,
      width: width * scale,
      height: height * scale,
    }
  }

  /**
   * @param {number[]} corner 0..1, as the camera sees it
   * @param {Box} picture
   */
  #place([x, y], picture) {
    const across = this.mirrored ? 1 - x : x
    return `${(picture.x + across * picture.width).toFixed(1)},${(picture.y + y * picture.height).toFixed(1)}`
  }
}

/**
 * @param {Box} a
 * @param {Box} b
 * @returns {Box}
 */
function overlap(a, b) {
  const x = Math.max(a.x, b.x)
  const y = Math.max(a.y, b.y)
  return {
    x,
    y,
    width: Math.min(a.x + a.width, b.x + b.width) - x,
    height: Math.min(a.y + a.height, b.y + b.height) - y,
  }
}

/**
 * An oval for a face at arm's length, begun at the top so that the ring fills clockwise.
 * @param {Box} box
 */
function oval({ x, y, width, height }) {
  const ry = Math.min(height * 0.4, (width * 0.42) / FACE)
  const rx = ry * FACE
  const cx = x + width / 2
  const cy = y + height * 0.48
  return `M${cx} ${cy - ry}a${rx} ${ry} 0 0 1 0 ${2 * ry}a${rx} ${ry} 0 0 1 0 ${-2 * ry}Z`
}

/**
 * Where a card or page lies that is large enough for its small print to be read.
 * @param {Box} box
 * @param {number} paper width : height
 * @returns {Box}
 */
function place({ x, y, width, height }, paper) {
  const w = Math.min(width * 0.92, height * 0.8 * paper)
  const h = w / paper
  return { x: x + (width - w) / 2, y: y + (height - h) / 2, width: w, height: h }
}

/**
 * What helps to lay it the right way: a passport's picture and lines, a bank card's chip.
 * @param {string} mode
 * @param {Box} box
 * @param {boolean} mirrored as the customer sees the page's picture
 */
function inside(mode, box, mirrored) {
  const { x, y, width: w, height: h } = place(box, PAPERS[mode] ?? CARD)
  const rect = (/** @type {number} */ left, /** @type {number} */ top, /** @type {number} */ across, /** @type {number} */ down) =>
    `M${x + (mirrored ? 1 - left - across : left) * w} ${y + top * h}h${across * w}v${down * h}h${-across * w}Z`
  if (mode === "passport") return `M${x} ${y + h * (1 - ZONE)}h${w}${rect(0.06, 0.16, 0.26, 0.46)}`
  if (mode === "bank_card") return rect(0.1, 0.36, 0.13, 0.18)
  return ""
}

/**
 * @param {Box} box
 * @param {number} paper width : height
 */
function frame(box, paper) {
  const { x: left, y: top, width: w, height: h } = place(box, paper)
  const r = w * 0.035
  const corner = (/** @type {number} */ dx, /** @type {number} */ dy) =>
    `a${r} ${r} 0 0 1 ${dx} ${dy}`
  return (
    `M${left + w / 2} ${top}h${w / 2 - r}${corner(r, r)}v${h - 2 * r}${corner(-r, r)}` +
    `h${2 * r - w}${corner(-r, -r)}v${2 * r - h}${corner(r, -r)}Z`
  )
}

customElements.define("own-picture", OwnPicture)
