import { active, end, resumption, steer } from "./clips.js"

/** How often the videos are compared, in milliseconds. */
const COMPARE_INTERVAL = 50

/**
 * Plays the streams of a session in step, one `<video>` each.
 *
 * The first stream with a picture leads and its clock is the session's clock; the others are
 * steered towards it. A stretch without any picture (the server was down) is skipped. While one of
 * the playing streams still loads, all of them wait.
 */
export class Sync extends EventTarget {
  /** @type {{stream: import("./clips.js").Stream, video: HTMLVideoElement}[]} */
  #tracks
  #playing = false
  #speed = 1
  #position = 0
  #timer = 0

  /** @param {{stream: import("./clips.js").Stream, video: HTMLVideoElement}[]} tracks */
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
    this.#position = resumption(this.#streams, wanted) ?? this.duration
    for (const track of this.#tracks) this.#place(track)
    this.#tell()
  }

  get #streams() {
    return this.#tracks.map((track) => track.stream)
  }

  #current() {
    const streams = active(this.#streams, this.#position)
    return this.#tracks.filter((track) => streams.includes(track.stream))
  }

  /** @param {{stream: import("./clips.js").Stream, video: HTMLVideoElement}} track */
  #place({ stream, video }) {
    const at = (this.#position - stream.start_us) / 1e6
    video.currentTime = Math.max(0, Math.min(at, stream.duration_us / 1e6))
  }

  #compare() {
    const current = this.#current()
    let changed = false
    for (const track of this.#tracks) {
      const hidden = !current.includes(track)
      changed ||= hidden !== track.video.hidden
      track.video.hidden = hidden
      if (hidden && !track.video.paused) track.video.pause()
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
    if (next === null) this.pause()
    else this.seek(next)
  }

  /** @param {{stream: import("./clips.js").Stream, video: HTMLVideoElement}[]} current */
  #wait(current) {
    for (const track of current) if (!isLoading(track)) track.video.pause()
  }

  /** @param {{stream: import("./clips.js").Stream, video: HTMLVideoElement}[]} current */
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
   * @param {{stream: import("./clips.js").Stream, video: HTMLVideoElement}[]} current
   * @param {{stream: import("./clips.js").Stream, video: HTMLVideoElement}[]} far
   */
  #gather(current, far) {
    for (const { video } of current) video.pause()
    for (const track of far) this.#place(track)
  }

  /**
   * @param {{stream: import("./clips.js").Stream, video: HTMLVideoElement}} other
   * @returns {"near"|"far"}
   */
  #catchUp({ stream, video }) {
    if (video.ended) return "near"
    const wanted = (this.#position - stream.start_us) / 1e6
    const { far, rate } = steer(video.currentTime - wanted, this.#speed)
    if (far) return "far"
    if (video.paused) this.#start(video, rate)
    else video.playbackRate = rate
    return "near"
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
