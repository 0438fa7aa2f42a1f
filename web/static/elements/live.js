// The base of our custom elements: what is begun when they enter the page ends when they leave it.

export class Live extends HTMLElement {
  /** @type {AbortController|null} */
  #presence = null

  connectedCallback() {
    this.#presence = new AbortController()
    this.connect(this.#presence.signal)
  }

  disconnectedCallback() {
    this.#presence?.abort()
    this.#presence = null
    this.disconnect()
  }

  /**
   * Build and listen; give `signal` to addEventListener and to `until`.
   * @param {AbortSignal} _signal aborted when the element leaves the page
   */
  connect(_signal) {}

  /** Let go of what a signal cannot. */
  disconnect() {}
}

/**
 * Call every one of `stops` (what Socket.on and Call.on return) when the signal is aborted.
 * @param {AbortSignal} signal
 * @param {...(() => void)} stops
 */
export function until(signal, ...stops) {
  signal.addEventListener("abort", () => stops.forEach((stop) => stop()), { once: true })
}

/**
 * Every `ms`, from now on.
 * @param {AbortSignal} signal
 * @param {number} ms
 * @param {() => void} act
 */
export function every(signal, ms, act) {
  const timer = setInterval(act, ms)
  until(signal, () => clearInterval(timer))
}
