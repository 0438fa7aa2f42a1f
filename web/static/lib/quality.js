// How well each person's media reaches the server, over the last minutes. No DOM here.

const KEPT = 5 * 60 // seconds
const BAD = 1 // a level up to here is a bad line

/**
 * @typedef {object} Quality
 * @property {number} at seconds of the session's media time
 * @property {number} level 0 (nothing) … 4 (good)
 * @property {number} kbps
 * @property {number} loss 0..1
 * @property {number|null} rtt_ms
 * @property {number|null} width of the picture that arrives, in pixels
 * @property {number|null} height
 * @property {number|null} fps
 * @property {number} frozen_s seconds without a new picture in this period
 * @property {number|null} sound 0..1
 */

/**
 * @param {any[]} point as the bank lists it
 * @returns {Quality}
 */
export function qualityOf([at, level, kbps, loss, rtt_ms, width, height, fps, frozen_s, sound]) {
  return { at, level, kbps, loss, rtt_ms, width, height, fps, frozen_s: frozen_s ?? 0, sound }
}

/** The last minutes of everybody in a call. */
export class QualityHistory {
  /** @type {Map<string, Quality[]>} */
  #points = new Map()

  /**
   * What was before this page came: the answer of GET …/quality.
   * @param {{participant: string, points: any[][]}[]} told
   */
  load(told) {
    for (const { participant, points } of told) {
      const live = this.of(participant)
      const first = live[0]?.at ?? Infinity
      const older = points.map(qualityOf).filter(({ at }) => at < first)
      this.#keep(participant, [...older, ...live])
    }
  }

  /**
   * @param {any} message `quality` of PROTOCOL.md
   * @param {number} at seconds of the session's media time
   */
  add(message, at) {
    const { participant, level, kbps = 0, loss = 0, rtt_ms = null } = message
    const { width = null, height = null, fps = null, frozen_s = 0, sound = null } = message
    const point = { at, level, kbps, loss, rtt_ms, width, height, fps, frozen_s, sound }
    this.#keep(participant, [...this.of(participant), point])
  }

  /**
   * @param {string} participant
   * @returns {Quality[]} oldest first
   */
  of(participant) {
    return this.#points.get(participant) ?? []
  }

  /**
   * @param {string} participant
   * @param {Quality[]} points
   */
  #keep(participant, points) {
    const last = points.at(-1)?.at ?? 0
    this.#points.set(
      participant,
      points.filter(({ at }) => at > last - KEPT),
    )
  }
}

/**
 * Stretches of a bad line.
 * @param {Quality[]} points
 * @returns {{from: number, to: number}[]} seconds
 */
export function badStretches(points) {
  /** @type {{from: number, to: number}[]} */
  const found = []
  let bad = false
  for (const [index, { at, level }] of points.entries()) {
    const until = points[index + 1]?.at ?? at
    if (level <= BAD && bad) found[found.length - 1].to = until
    else if (level <= BAD) found.push({ from: at, to: until })
    bad = level <= BAD
  }
  return found
}
