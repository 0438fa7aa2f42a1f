import { canShare, pickScreen } from "../../lib/screen.js"

/** @typedef {import("../../lib/call.js").Call} Call */

const REFUSALS = ["screen_taken", "not_joined", "too_many_messages"]
const ANSWER = 3 * 1000 // ms within which the server refuses

/** Own screen in a call: on by a button, off by that button, the browser's own bar, or the end. */
export class Sharing {
  #told
  /** @type {MediaStreamTrack|null} */
  #track = null
  /** @type {Call|null} */
  #call = null
  #began = 0 // performance.now()

  /** @param {(on: boolean) => void} told of every change */
  constructor(told) {
    this.#told = told
  }

  static get possible() {
    return canShare()
  }

  get on() {
    return this.#track !== null
  }

  /** @param {Call} call */
  async toggle(call) {
    if (this.on) return this.stop()
    const track = await pickScreen()
    if (!track) return
    track.addEventListener("ended", () => this.stop(), { once: true })
    this.#track = track
    this.#call = call
    this.#began = performance.now()
    this.#told(true)
    await call.share(track)
  }

  /**
   * An error of the server: when it refuses this screen, sharing stops.
   * @param {string} code
   * @returns {boolean} whether it was about the screen; its words are people.<code>
   */
  refused(code) {
    const ours = this.on && REFUSALS.includes(code) && performance.now() - this.#began < ANSWER
    if (ours) this.stop()
    return ours
  }

  stop() {
    const [track, call] = [this.#track, this.#call]
    this.#track = null
    this.#call = null
    if (!track) return
    track.stop()
    void call?.share(null)
    this.#told(false)
  }
}
