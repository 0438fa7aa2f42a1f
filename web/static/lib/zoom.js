// How far a shared screen is enlarged and which part of it is seen. Pure: no DOM here.

export const LARGEST = 5

/**
 * @typedef {object} View
 * @property {number} scale 1 is the whole picture
 * @property {number} x how far the picture's middle is moved, in pixels
 * @property {number} y
 *
 * @typedef {{width: number, height: number}} Size of the frame, in pixels
 */

/** @type {View} */
export const WHOLE = Object.freeze({ scale: 1, x: 0, y: 0 })

/**
 * Enlarge (or shrink) so that the point under the finger stays there.
 * @param {View} view
 * @param {number} factor
 * @param {{x: number, y: number}} point from the frame's middle
 * @param {Size} size
 * @returns {View}
 */
export function enlarged({ scale, x, y }, factor, point, size) {
  const next = Math.min(LARGEST, Math.max(1, scale * factor))
  const by = next / scale
  return kept({ scale: next, x: point.x - (point.x - x) * by, y: point.y - (point.y - y) * by }, size)
}

/**
 * @param {View} view
 * @param {number} dx
 * @param {number} dy
 * @param {Size} size
 * @returns {View}
 */
export function moved({ scale, x, y }, dx, dy, size) {
  return kept({ scale, x: x + dx, y: y + dy }, size)
}

/**
 * The picture never leaves the frame.
 * @param {View} view
 * @param {Size} size
 * @returns {View}
 */
function kept({ scale, x, y }, { width, height }) {
  const [right, bottom] = [(width * (scale - 1)) / 2, (height * (scale - 1)) / 2]
  return {
    scale,
    x: Math.max(-right, Math.min(right, x)),
    y: Math.max(-bottom, Math.min(bottom, y)),
  }
}
