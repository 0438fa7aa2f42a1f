import { canShare, pickScreen } from "../../lib/screen.js"

/** @typedef {import("../../lib/call.js").Call} Call */

/** Own screen in a call: on by a button, off by that button, the browser's own bar, or the end. */
export class Sharing {
  #told
  /** @type {MediaStreamTrack|null} */
  #track = null
  /** @type {Call|null} */
  #call = null

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
    await call.share(track)
    this.#told(true)
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
