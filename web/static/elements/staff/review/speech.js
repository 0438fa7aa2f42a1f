// Who speaks, when and how long, out of the loudness that was sealed with the sound. No page here.

/**
 * @typedef {object} Piece as the bank lists it
 * @property {string} label
 * @property {number} from_us
 * @property {number} step_ms
 * @property {number[]} values -dBov, 0 the loudest, 127 silence
 *
 * @typedef {{from_us: number, to_us: number}} Passage
 */

const SPEAKS = 50 // -dBov: a voice at a microphone is louder, a quiet room is not
const BREATH_US = 1_500_000 // a shorter silence is inside a passage
const SHORTEST_US = 600_000 // a cough, a chair
const [LOUD, FAINT] = [10, 70] // -dBov at the top and at the foot of a waveform

/**
 * The people of whom anything was heard, in the order of `labels`.
 * @param {Piece[]} pieces
 * @param {string[]} labels
 * @returns {{label: string, pieces: Piece[]}[]}
 */
export function speakers(pieces, labels) {
  return labels
    .map((label) => ({ label, pieces: pieces.filter((piece) => piece.label === label) }))
    .filter(({ pieces }) => pieces.length > 0)
}

/**
 * When a person spoke: passages without a longer silence in them.
 * @param {Piece[]} pieces of one person
 * @returns {Passage[]}
 */
export function passages(pieces) {
  /** @type {Passage[]} */
  const found = []
  for (const { from_us, step_ms, values } of [...pieces].sort((a, b) => a.from_us - b.from_us)) {
    values.forEach((value, step) => {
      if (value > SPEAKS) return
      const from = from_us + step * step_ms * 1000
      const last = found.at(-1)
      if (last && from - last.to_us <= BREATH_US) last.to_us = from + step_ms * 1000
      else found.push({ from_us: from, to_us: from + step_ms * 1000 })
    })
  }
  return found.filter(({ from_us, to_us }) => to_us - from_us >= SHORTEST_US)
}

/**
 * Seconds in which a person's voice was heard.
 * @param {Piece[]} pieces of one person
 */
export function spoken(pieces) {
  return pieces.reduce((sum, { step_ms, values }) => sum + (values.filter((value) => value <= SPEAKS).length * step_ms) / 1000, 0)
}

/**
 * Heights from 0 to 1 for so many columns over the session; the loudest sound of each.
 * @param {Piece[]} pieces of one person
 * @param {number} duration_us
 * @param {number} columns
 */
export function heights(pieces, duration_us, columns) {
  const heard = new Float32Array(columns)
  for (const { from_us, step_ms, values } of pieces) {
    values.forEach((value, step) => {
      const at = Math.floor(((from_us + step * step_ms * 1000) / duration_us) * columns)
      const height = Math.max(0, Math.min(1, (FAINT - value) / (FAINT - LOUD)))
      if (at >= 0 && at < columns) heard[at] = Math.max(heard[at], height)
    })
  }
  return heard
}
