/**
 * Where the streams of a sealed session lie on its clock. Nothing here touches a page.
 *
 * Every stream is one WebM file with its own beginning: a person who came late starts late, and a
 * restart of the server opens a new part. All times are microseconds since the session's room opened.
 *
 * @typedef {object} Stream
 * @property {string|number} part
 * @property {string|number} stream
 * @property {boolean} [running] it still grows; this file is of what there was when it was asked for
 * @property {number} [from_us] shown from here on only: before, an older file of the same is
 * @property {number} [until_us] shown up to here only: then a newer file of the same is
 * @property {string} label who is seen: "customer", "teller"
 * @property {string} url
 * @property {number} duration_us
 * @property {number} start_us
 */

/** From here on a video is moved to its place, in seconds; below it, it is nudged. */
const FAR = 0.15
/** Below this a video is left alone, in seconds: a third of what an eye notices. */
const QUIET = 0.012
/** The most a nudge changes the speed: voices stay natural. */
const NUDGE = 0.2

/**
 * The instant the last stream ends.
 * @param {Stream[]} streams
 */
export function end(streams) {
  return Math.max(0, ...streams.map((stream) => stream.start_us + stream.duration_us))
}

/**
 * The streams with a picture at an instant.
 * @param {Stream[]} streams
 * @param {number} at_us
 */
export function active(streams, at_us) {
  return streams.filter((stream) => at_us >= begin(stream) && at_us < (stream.until_us ?? stream.start_us + stream.duration_us))
}

/** @param {Stream} stream */
function begin({ start_us, from_us }) {
  return Math.max(start_us, from_us ?? 0)
}

/**
 * The next instant with a picture at or after `at_us`; null after the last.
 * @param {Stream[]} streams
 * @param {number} at_us
 * @returns {number|null}
 */
export function resumption(streams, at_us) {
  if (active(streams, at_us).length > 0) return at_us
  const later = streams.map(begin).filter((start) => start >= at_us)
  return later.length > 0 ? Math.min(...later) : null
}

/**
 * Stretches without any picture between the first stream and the last.
 * @param {Stream[]} streams
 * @returns {{from_us: number, to_us: number}[]}
 */
export function gaps(streams) {
  const found = []
  let covered = 0
  for (const stream of [...streams].sort((a, b) => a.start_us - b.start_us)) {
    if (stream.start_us > covered) found.push({ from_us: covered, to_us: stream.start_us })
    covered = Math.max(covered, stream.start_us + stream.duration_us)
  }
  return found
}

/**
 * How a following video catches up with the leading one.
 * @param {number} drift how far the follower is ahead, in seconds
 * @param {number} speed the speed the person chose
 * @returns {{far: boolean, rate: number}}
 */
export function steer(drift, speed) {
  if (Math.abs(drift) > FAR * Math.max(1, speed)) return { far: true, rate: speed }
  if (Math.abs(drift) < QUIET) return { far: false, rate: speed }
  const nudge = Math.max(-NUDGE, Math.min(NUDGE, -3 * drift))
  return { far: false, rate: speed * (1 + nudge) }
}
