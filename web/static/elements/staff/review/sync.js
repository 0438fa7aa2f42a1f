import { active, end, resumption, steer } from "./clips.js"

/** How often the videos are compared, in milliseconds. */
const COMPARE_INTERVAL = 50
/** How long before a longer file of a running stream takes over, in microseconds: it loads first. */
const HANDOVER = 1_500_000
/** A file that is so near its place when its turn comes is left there, in seconds. */
const NEAR = 0.05

/** @typedef {{stream: import("./clips.js").Stream, video: HTMLVideoElement}} Track */

/**
 * Plays the streams of a session in step, one `<video>` each.
 *
 * The first stream with a picture leads and its clock is the session's clock; the others are
 * steered towards it. A stretch without any picture (the server was down) is skipped. While one of
 * the playing streams still loads, all of them wait. Of a recording that grows, longer files take
 * over from shorter ones, and at its end the players wait for more.
 */
export class Sync extends EventTarget {
  /** Whether there will be more. */
  live = false
  /** @type {Track[]} */
  #tracks
  #playing = false
  #speed = 1
  #position = 0
  #timer = 0

  /** @param {Track[]} tracks */
  constructor(tracks) {
    super()
    this.#tracks = tracks
    this.#position = resumption(this.#streams, 0) ?? 0
  }

  /** Microseconds since the session's room opened. */
  get position() {
    return this.#position
  }

  get duration() {
    return end(this.#streams)
  }

  get playing() {
    return this.#playing
  }

  get speed() {
    return this.#speed
  }

  /** The largest distance between two playing streams, in milliseconds. */
  get drift() {
    const places = this.#current().map(
      ({ stream, video }) => stream.start_us / 1000 + video.currentTime * 1000,
    )
    return places.length < 2 ? 0 : Math.max(...places) - Math.min(...places)
  }

  connect() {
    this.#timer = window.setInterval(() => this.#compare(), COMPARE_INTERVAL)
    this.seek(this.#position)
  }

  disconnect() {
    window.clearInterval(this.#timer)
    this.pause()
  }

  play() {
    if (this.#position >= this.duration) this.seek(0)
    this.#playing = true
    this.#compare()
    this.#tell()
  }

  pause() {
    this.#playing = false
    for (const { video } of this.#tracks) video.pause()
    this.#tell()
  }

  /** @param {number} speed 0.5 to 4 */
  set speed(speed) {
    this.#speed = speed
    for (const { video } of this.#tracks) video.playbackRate = speed
    this.#tell()
  }

  /** @param {number} at_us */
  seek(at_us) {
    const wanted = Math.max(0, Math.min(at_us, this.duration))
    this.#settle(Infinity)
    this.#position = resumption(this.#streams, wanted) ?? this.duration
    // Only what is seen now: every other file would be asked for its bytes at that place, too.
    for (const track of this.#current()) this.#place(track)
    this.#tell()
  }

  /**
   * Longer files of running streams. They take over in a moment, where the old ones are then.
   * @param {Track[]} fresh
   * @returns {boolean} false while earlier ones have not taken over yet
   */
  renew(fresh) {
    this.#settle(this.#position)
    if (this.#tracks.some(({ stream }) => stream.until_us !== undefined)) return false
    const at = this.#playing ? Math.min(this.#position + HANDOVER * this.#speed, this.duration) : this.#position
    for (const { stream } of this.#tracks) if (fresh.some((one) => isSame(one.stream, stream))) stream.until_us = at
    for (const { stream, video } of fresh) {
      stream.from_us = at
      video.playbackRate = this.#speed
      video.currentTime = Math.max(0, (at - stream.start_us) / 1e6)
    }
    this.#tracks = [...this.#tracks, ...fresh]
    this.#tell()
    return true
  }

  /**
   * Lets go of files whose longer ones have taken over by `at_us`.
   * @param {number} at_us
   */
  #settle(at_us) {
    const over = this.#tracks.filter(({ stream }) => stream.until_us !== undefined && stream.until_us <= at_us)
    if (over.length === 0) return
    this.#tracks = this.#tracks.filter((track) => !over.includes(track))
    for (const { video } of over) {
      video.pause()
      video.removeAttribute("src")
      video.load()
      video.remove()
    }
    for (const { stream } of this.#tracks) if (over.some((old) => isSame(old.stream, stream))) delete stream.from_us
  }

  get #streams() {
    return this.#tracks.map((track) => track.stream)
  }

  #current() {
    const streams = active(this.#streams, this.#position)
    return this.#tracks.filter((track) => streams.includes(track.stream))
  }

  /** @param {Track} track */
  #place({ stream, video }) {
    const at = (this.#position - stream.start_us) / 1e6
    video.currentTime = Math.max(0, Math.min(at, stream.duration_us / 1e6))
  }

  #compare() {
    this.#settle(this.#position)
    const current = this.#current()
    let changed = false
    for (const track of this.#tracks) {
      const hidden = !current.includes(track)
      if (hidden && !track.video.paused) track.video.pause()
      if (hidden === track.video.hidden) continue
      changed = true
      track.video.hidden = hidden
      if (!hidden && Math.abs(this.#ahead(track)) > NEAR) this.#place(track)
    }
    if (changed && !this.#playing) this.#tell()
    if (!this.#playing) return
    const loading = current.filter(isLoading)
    if (current.length === 0) this.#skip()
    else if (loading.length > 0) this.#wait(current)
    else this.#follow(current)
    this.#tell()
  }

  #skip() {
    const next = resumption(this.#streams, this.#position)
    if (next !== null) this.seek(next)
    else if (!this.live) this.pause()
  }

  /** @param {Track[]} current */
  #wait(current) {
    for (const track of current) if (!isLoading(track)) track.video.pause()
  }

  /** @param {Track[]} current */
  #follow([leader, ...others]) {
    this.#position = leader.stream.start_us + leader.video.currentTime * 1e6
    // A file can end a frame earlier than its header says: that is no reason to stand still.
    if (leader.video.ended) this.#position = leader.stream.start_us + leader.stream.duration_us
    else if (leader.video.paused) this.#start(leader.video, this.#speed)
    const far = others.filter((other) => this.#catchUp(other) === "far")
    if (far.length > 0) this.#gather([leader, ...others], far)
  }

  /**
   * Somebody is too far off to be nudged: all stand still until they are at the same place.
   * @param {Track[]} current
   * @param {Track[]} far
   */
  #gather(current, far) {
    for (const { video } of current) video.pause()
    for (const track of far) this.#place(track)
  }

  /**
   * @param {Track} other
   * @returns {"near"|"far"}
   */
  #catchUp({ stream, video }) {
    if (video.ended) return "near"
    const { far, rate } = steer(this.#ahead({ stream, video }), this.#speed)
    if (far) return "far"
    if (video.paused) this.#start(video, rate)
    else video.playbackRate = rate
    return "near"
  }

  /**
   * Seconds by which a video is ahead of the session's clock.
   * @param {Track} track
   */
  #ahead({ stream, video }) {
    return video.currentTime - (this.#position - stream.start_us) / 1e6
  }

  /**
   * @param {HTMLVideoElement} video
   * @param {number} rate
   */
  #start(video, rate) {
    video.playbackRate = rate
    // A pause that comes before the picture rejects the promise; the next comparison starts again.
    video.play().catch(() => {})
  }

  #tell() {
    this.dispatchEvent(new Event("change"))
  }
}

/** @param {{video: HTMLVideoElement}} track */
function isLoading({ video }) {
  return !video.ended && video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA
}

/**
 * Whether two files are of one stream, one of them longer.
 * @param {import("./clips.js").Stream} one
 * @param {import("./clips.js").Stream} other
 */
function isSame(one, other) {
  return one.part === other.part && one.stream === other.stream
}
