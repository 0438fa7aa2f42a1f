// What the page can say of its camera, for the check on injected pictures: sent when the call has
// begun, when the camera has changed, and after the server's question. No DOM here.

import { post } from "./api.js"

const PAUSE = 1000 // ms after a change, for the camera to settle
const LONGEST = 10 // seconds a question may hold the camera down, whatever the server says

/**
 * @typedef {import("./socket.js").Socket} Socket
 * @typedef {{probe: string, frame_rate: number, seconds: number}} Probe
 */

/**
 * @param {MediaStreamTrack} track
 * @param {number} cameras how many there are to choose from
 * @returns {Record<string, unknown>} a label, figures and names of abilities; no device ids
 */
export function describe(track, cameras) {
  const { width, height, frameRate, facingMode } = track.getSettings()
  // Firefox before 132 has no getCapabilities.
  const abilities = Object.keys(track.getCapabilities?.() ?? {})
  return {
    label: track.label.slice(0, 200),
    settings: { width, height, frameRate, facingMode },
    capabilities: abilities.filter((name) => name !== "deviceId" && name !== "groupId"),
    cameras,
  }
}

export class CameraReport {
  #session
  #track
  #cameras
  /** @type {string} */
  #probe = ""
  #timer = 0
  /** @type {() => void} */
  #stop

  /**
   * @param {object} wish
   * @param {Socket} wish.socket
   * @param {string} wish.session its id
   * @param {() => MediaStreamTrack|null} wish.track the camera's track of this moment
   * @param {() => Promise<number>} wish.cameras
   */
  constructor({ socket, session, track, cameras }) {
    this.#session = session
    this.#track = track
    this.#cameras = cameras
    this.#stop = socket.onNotice("camera_probe", (data) => this.#asked(data))
  }

  /** Tell soon: at the beginning, and whenever the camera is another. */
  changed() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#tell({}), PAUSE)
  }

  close() {
    clearTimeout(this.#timer)
    this.#stop()
  }

  /** @param {Probe & {session?: string}} question */
  async #asked({ session, probe, frame_rate, seconds }) {
    const track = this.#track()
    if ((session && session !== this.#session) || !track || this.#probe === probe) return
    this.#probe = probe
    const before = track.getConstraints()
    const applied = await follow(track, { ...before, frameRate: { max: frame_rate } })
    await this.#tell({ probe, applied })
    if (!applied) return
    setTimeout(() => follow(track, before), 1000 * Math.min(LONGEST, Math.max(0, seconds)))
  }

  /** @param {{probe?: string, applied?: boolean}} answer */
  async #tell(answer) {
    const track = this.#track()
    if (!track || track.readyState !== "live") return
    const report = { ...describe(track, await this.#cameras()), ...answer }
    // A report that cannot be sent is a report less: the call does not depend on it.
    await post(`/api/sessions/${this.#session}/camera`, report).catch(() => {})
  }
}

/**
 * @param {MediaStreamTrack} track
 * @param {MediaTrackConstraints} wish
 * @returns {Promise<boolean>} whether the camera took it
 */
async function follow(track, wish) {
  try {
    await track.applyConstraints(wish)
    return true
  } catch {
    return false // a camera may refuse; that is its answer
  }
}
