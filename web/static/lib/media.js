// Own camera, microphone and speaker. No DOM here.

const PICTURE = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 25, max: 30 },
  resizeMode: "none", // never a part of the picture blown up to the size asked for
}
const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: true }

/**
 * @typedef {"audio"|"video"} Kind
 * @typedef {"refused"|"missing"|"busy"|"insecure"|"failed"} Trouble
 */

/** Why a camera or microphone did not open, in the browser's words → ours. */
const TROUBLES = /** @type {Record<string, Trouble>} */ ({
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
})

/** The person's own devices: opened once, kept from the device check to the end of the call. */
export class Devices {
  stream = new MediaStream()
  /** @type {{audio: Trouble|null, video: Trouble|null}} */
  trouble = { audio: null, video: null }
  /** @type {"user"|"environment"} which way the camera looks */
  facing = "user"
  /** @type {Set<(kind: Kind) => void>} */
  #listeners = new Set()

  /** A picture of oneself is shown as in a mirror, what the rear camera sees is not. */
  get mirrored() {
    return this.facing === "user"
  }

  /** @param {Kind} kind */
  track(kind) {
    const track = this.stream.getTracks().find((one) => one.kind === kind)
    return track?.readyState === "live" ? track : null
  }

  /** Open whatever is not open yet, both at once so that the person is asked only once. */
  async open() {
    const missing = /** @type {Kind[]} */ (["audio", "video"]).filter((kind) => !this.track(kind))
    if (missing.length === 2 && (await this.#take(missing))) return
    for (const kind of missing) if (!this.track(kind)) await this.#take([kind])
  }

  /** Look the other way: the rear camera of a phone reads a card better. */
  async flip() {
    const before = this.facing
    this.facing = before === "user" ? "environment" : "user"
    this.#release("video") // a phone opens one camera at a time
    if (await this.#take(["video"])) return
    this.facing = before
    await this.#take(["video"])
  }

  /** Whether there is another camera to flip to. */
  async cameras() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? []
    return devices.filter(({ kind }) => kind === "videoinput").length
  }

  close() {
    this.#release("audio")
    this.#release("video")
  }

  /**
   * @param {(kind: Kind) => void} listener told when a device opened, failed or was lost
   * @returns {() => void}
   */
  on(listener) {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * @param {Kind[]} kinds
   * @returns {Promise<boolean>}
   */
  async #take(kinds) {
    try {
      if (!navigator.mediaDevices) throw new DOMException("", "insecure")
      const taken = await navigator.mediaDevices.getUserMedia({
        audio: kinds.includes("audio") && SOUND,
        video: kinds.includes("video") && { ...PICTURE, facingMode: { ideal: this.facing } },
      })
      for (const track of taken.getTracks()) this.#keep(track)
      return true
    } catch (error) {
      const name = error instanceof DOMException ? error.name : ""
      const trouble = name === "insecure" ? "insecure" : (TROUBLES[name] ?? "failed")
      for (const kind of kinds) this.trouble[kind] = trouble
      for (const kind of kinds) this.#tell(kind)
      return false
    }
  }

  /** @param {MediaStreamTrack} track */
  #keep(track) {
    const kind = /** @type {Kind} */ (track.kind)
    this.#release(kind)
    this.stream.addTrack(track)
    this.trouble[kind] = null
    track.addEventListener("ended", () => {
      if (!this.stream.getTracks().includes(track)) return
      this.trouble[kind] = "busy"
      this.#tell(kind)
    })
    this.#tell(kind)
  }

  /** @param {Kind} kind */
  #release(kind) {
    for (const track of this.stream.getTracks().filter((one) => one.kind === kind)) {
      this.stream.removeTrack(track)
      track.stop()
    }
  }

  /** @param {Kind} kind */
  #tell(kind) {
    for (const listener of [...this.#listeners]) listener(kind)
  }
}

/**
 * How loud the microphone is, 0..1, for as long as it is asked.
 * @param {MediaStream} stream
 * @returns {{level: () => number, close: () => void}}
 */
export function loudness(stream) {
  const context = new AudioContext()
  const analyser = new AnalyserNode(context, { fftSize: 1024 })
  context.createMediaStreamSource(stream).connect(analyser)
  const samples = new Float32Array(analyser.fftSize)
  return {
    level() {
      if (context.state === "suspended") context.resume()
      analyser.getFloatTimeDomainData(samples)
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length
      // −60 dB … −10 dB is from a quiet room to a raised voice.
      return Math.min(1, Math.max(0, (10 * Math.log10(power + 1e-9) + 60) / 50))
    },
    close() {
      context.close()
    },
  }
}

/** Three soft rising notes: to try the speaker, and to say "it is your turn". */
export async function chime() {
  const context = new AudioContext()
  const notes = [523.25, 659.25, 783.99] // Hz: C5 E5 G5
  const start = context.currentTime + 0.05
  notes.forEach((frequency, index) => {
    const at = start + index * 0.22
    const gain = new GainNode(context, { gain: 0 })
    gain.gain.setValueAtTime(0, at)
    gain.gain.linearRampToValueAtTime(0.25, at + 0.03)
    gain.gain.exponentialRampToValueAtTime(0.001, at + 0.6)
    const tone = new OscillatorNode(context, { frequency })
    tone.connect(gain).connect(context.destination)
    tone.start(at)
    tone.stop(at + 0.65)
  })
  await new Promise((done) => setTimeout(done, 1400))
  context.close() // not waited for: without a sound card Firefox never starts nor closes it
}
