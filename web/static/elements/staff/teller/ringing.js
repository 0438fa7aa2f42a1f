/** Two soft notes, a pause, again: heard across a room without frightening anybody. */
const NOTES = [
  { frequency: 659.3, at: 0 },
  { frequency: 523.3, at: 0.28 },
]
const NOTE_LENGTH = 0.6; // seconds
const PERIOD = 2200; // milliseconds
const LOUDNESS = 0.18

/** The sound of an incoming customer, made here: no file to load, nothing to wait for. */
export class Ringing {
  /** @type {AudioContext|null} */
  #audio = null
  #timer = 0

  /**
   * A browser lets a page sound only after the person touched it, so the console calls this when
   * the teller says "ready".
   */
  prepare() {
    this.#audio ??= new AudioContext()
    if (this.#audio.state === "suspended") void this.#audio.resume()
  }

  start() {
    this.stop()
    this.prepare()
    this.#ring()
    this.#timer = window.setInterval(() => this.#ring(), PERIOD)
  }

  stop() {
    window.clearInterval(this.#timer)
    this.#timer = 0
  }

  close() {
    this.stop()
    void this.#audio?.close()
    this.#audio = null
  }

  #ring() {
    const audio = this.#audio
    if (audio === null || audio.state !== "running") return
    for (const note of NOTES) sound(audio, note.frequency, audio.currentTime + note.at)
  }
}

/**
 * @param {AudioContext} audio
 * @param {number} frequency Hz
 * @param {number} at seconds on the audio clock
 */
function sound(audio, frequency, at) {
  const tone = new OscillatorNode(audio, { type: "sine", frequency })
  const level = new GainNode(audio, { gain: 0 })
  level.gain.setValueAtTime(0, at)
  level.gain.linearRampToValueAtTime(LOUDNESS, at + 0.02)
  level.gain.exponentialRampToValueAtTime(0.001, at + NOTE_LENGTH)
  tone.connect(level).connect(audio.destination)
  tone.start(at)
  tone.stop(at + NOTE_LENGTH)
}
