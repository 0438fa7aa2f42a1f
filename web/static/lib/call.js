// One person's place in a room: their own tracks go out, everybody else's come in. No DOM here.

import { Reception } from "./reception.js"

const PATIENCE = 12 * 1000 // ms for a connection to come up before a new one is tried
const GRACE = 2 * 1000 // ms a broken connection may take to heal by itself
const LOOK = 1000 // ms between looks at the statistics
const REPORT = 2 // looks
const HUSH = 2 // looks without a single packet after which the line is doubted
const PLACES = 6 // a room has six people, and perhaps a supervisor
const LOW = 1 // the small layer's place among the encodings
const LAYERS = [
  { rid: "h", scaleResolutionDownBy: 1 },
  { rid: "l", scaleResolutionDownBy: 4, maxBitrate: 150_000, active: false },
]
// What the server forwards; anything more would only make offers long.
const CODECS = [/opus/i, /vp8/i, /h264.*packetization-mode=1.*profile-level-id=42e0/i]

/**
 * @typedef {import("./socket.js").Socket} Socket
 * @typedef {object} Person somebody else in the room
 * @property {string} id
 * @property {string} role
 * @property {string} name
 * @property {"joined"|"listening"|"whispering"} presence
 * @property {boolean} camera whether they send pictures just now
 * @property {boolean} microphone
 * @property {("audio"|"video")[]} muted by the server
 * @property {boolean} connected
 * @property {string|null} audio_mid the m-line of our connection that carries their voice
 * @property {string|null} video_mid
 * @property {boolean} screen whether they share their screen
 * @property {string|null} screen_mid
 * @property {MediaStream} stream the same object for as long as the tracks are the same
 * @property {MediaStream|null} screen_stream while they share and we can see it
 *
 * @typedef {"audio"|"video"|"screen"} Track
 * @typedef {"idle"|"joining"|"connecting"|"connected"|"lost"|"left"} Condition
 */

/**
 * The server's side cannot restart ICE, so every drop is answered by a new RTCPeerConnection with
 * a higher `call` number in the same room.
 *
 * Listen with `on`: "condition" (Condition), "people" (Person[]), "joined" (the message),
 * "quality" ({participant, level 0..4, …}), "silence" and "resumed" ({participant, …}),
 * "screen" (id of who shares a screen now, oneself too, or null), "ended" ("audio"|"video": own
 * device lost), "error" ({code, …}: the server refused something), "report" (as
 * in lib/reception.js).
 */
export class Call {
  /** @type {Condition} */
  condition = "idle"
  /** @type {Person[]} */
  people = []
  /** Own participant id, once joined. */
  me = ""
  #socket
  #room
  #places
  /** @type {Record<Track, MediaStreamTrack|null>} */
  #tracks = { audio: null, video: null, screen: null }
  /** @type {Map<Track, RTCRtpTransceiver>} the sections that carry our own media */
  #sections = new Map()
  #sending = { microphone: true, camera: true }
  /** @type {RTCPeerConnection|null} */
  #connection = null
  #number = 0
  /** @type {RTCIceServer[]} */
  #iceServers = []
  /** @type {RTCIceTransportPolicy} */
  #icePolicy = "all"
  /** @type {any[]} the last `participants` message */
  #roster = []
  /** @type {Map<string, MediaStream>} */
  #streams = new Map()
  /** @type {Map<string, Set<(data: any) => void>>} */
  #listeners = new Map()
  /** @type {Array<() => void>} */
  #stops = []
  #alarm = 0
  #reporting = 0
  #reception = new Reception()
  /** @type {string|null} who shares a screen */
  #sharer = null

  /**
   * @param {object} wish
   * @param {Socket} wish.socket
   * @param {string} wish.room the session's id
   * @param {MediaStream|null} [wish.media] own camera and microphone, as far as there are any
   * @param {number} [wish.places] how many other people may be seen at once
   */
  constructor({ socket, room, media = null, places = PLACES }) {
    this.#socket = socket
    this.#room = room
    this.#places = places
    this.#tracks.audio = media?.getAudioTracks()[0] ?? null
    this.#tracks.video = media?.getVideoTracks()[0] ?? null
    this.#watch(this.#tracks.audio)
    this.#watch(this.#tracks.video)
  }

  /** Enter the room now, and again whenever the line comes back. */
  join() {
    if (this.#stops.length) return
    const socket = this.#socket
    this.#stops = [
      socket.on("welcome", () => this.#enter()),
      socket.on("condition", (condition) => condition !== "open" && this.#become("lost")),
      socket.on("joined", (message) => this.#joined(message)),
      socket.on("answer", (message) => this.#answered(message)),
      socket.on("participants", ({ participants }) => this.#see(participants)),
      socket.on("quality", (message) => this.#emit("quality", message)),
      socket.on("silence", (message) => this.#emit("silence", message)),
      socket.on("resumed", (message) => this.#emit("resumed", message)),
      socket.on("renew", () => this.#enter()),
      socket.on("layers", ({ low }) => this.#setLow(low)),
      socket.on("error", (message) => this.#emit("error", message)),
    ]
    if (socket.condition === "open") this.#enter()
  }

  /** Leave the room for good. Own tracks are the caller's and stay alive. */
  leave() {
    if (this.condition === "left") return
    for (const stop of this.#stops) stop()
    this.#stops = []
    this.#socket.send({ type: "leave" })
    this.#hangUp()
    this.#become("left")
  }

  /** Give the connection up and make a new one: for a person who pressed "try again". */
  retry() {
    if (this.#socket.condition === "open") this.#enter()
  }

  /**
   * Another camera or microphone, or none, without a new offer.
   * @param {"audio"|"video"} kind
   * @param {MediaStreamTrack|null} track
   */
  async replaceTrack(kind, track) {
    this.#tracks[kind] = track
    this.#watch(track)
    this.#apply()
    await this.#sections.get(kind)?.sender.replaceTrack(track)
    this.#tell()
  }

  /**
   * Share a screen, or stop. Refused (while somebody else shares) comes as "error"; the track is
   * the caller's, who stops it then.
   * @param {MediaStreamTrack|null} track
   */
  async share(track) {
    if (track) track.contentHint = "detail" // text stays sharp, the rate may fall
    this.#tracks.screen = track
    this.#socket.send({ type: "screen", on: track !== null })
    await this.#sections.get("screen")?.sender.replaceTrack(track)
  }

  /**
   * Switch own microphone or camera; the others are told.
   * @param {{microphone?: boolean, camera?: boolean}} wish
   */
  send(wish) {
    this.#sending = { ...this.#sending, ...wish }
    this.#apply()
    this.#tell()
  }

  /** What of ours goes out just now. */
  get sending() {
    return { ...this.#sending }
  }

  /**
   * @param {string} type
   * @param {(data: any) => void} listener
   * @returns {() => void} stops listening
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set()
    this.#listeners.set(type, listeners.add(listener))
    return () => listeners.delete(listener)
  }

  /** Before each connection: what relays ask for is good for minutes only. */
  #enter() {
    this.#become("joining")
    this.#socket.send({ type: "join", room: this.#room })
  }

  /** @param {any} message */
  #joined(message) {
    this.me = message.you
    this.#iceServers = message.ice_servers ?? []
    this.#icePolicy = message.ice_policy ?? "all"
    this.#see(message.participants ?? [])
    this.#emit("joined", message)
    this.#connect()
  }

  async #connect() {
    this.#hangUp()
    this.#become("connecting")
    const connection = new RTCPeerConnection({
      iceServers: this.#iceServers,
      iceTransportPolicy: this.#icePolicy,
      bundlePolicy: "max-bundle",
    })
    const call = ++this.#number
    this.#connection = connection
    this.#expect(PATIENCE)
    connection.onicecandidate = ({ candidate }) => this.#offerCandidate(call, candidate)
    connection.onconnectionstatechange = () => this.#changed(connection)
    this.#layOut(connection)
    await connection.setLocalDescription()
    if (connection !== this.#connection) return
    const screen_mid = this.#sections.get("screen")?.mid ?? null
    this.#socket.send({ type: "offer", call, sdp: connection.localDescription?.sdp, screen_mid })
    this.#tell()
    if (this.#tracks.screen) this.#socket.send({ type: "screen", on: true })
  }

  /**
   * Every m-line is there from the start: adding video later from the far side crashes browsers.
   * @param {RTCPeerConnection} connection
   */
  #layOut(connection) {
    const { audio, video, screen } = this.#tracks
    this.#sections = new Map([
      ["audio", connection.addTransceiver(audio ?? "audio")],
      ["video", connection.addTransceiver(video ?? "video", { sendEncodings: LAYERS })],
    ])
    for (let place = 1; place < this.#places; place++) {
      connection.addTransceiver("audio", { direction: "recvonly" })
      connection.addTransceiver("video", { direction: "recvonly" })
    }
    this.#sections.set("screen", connection.addTransceiver(screen ?? "video"))
    for (const transceiver of connection.getTransceivers()) narrow(transceiver)
  }

  /**
   * @param {number} call
   * @param {RTCIceCandidate|null} candidate
   */
  #offerCandidate(call, candidate) {
    if (!candidate?.candidate || call !== this.#number) return
    this.#socket.send({
      type: "candidate",
      call,
      candidate: candidate.candidate,
      sdp_mid: candidate.sdpMid,
      sdp_m_line_index: candidate.sdpMLineIndex,
    })
  }

  /** @param {{call: number, sdp: string}} message */
  async #answered({ call, sdp }) {
    const connection = this.#connection
    if (call !== this.#number || connection?.signalingState !== "have-local-offer") return
    try {
      await connection.setRemoteDescription({ type: "answer", sdp })
      await this.#tune()
    } catch {
      this.#expect(GRACE) // an answer we cannot use: a new offer is the only way on
      return
    }
    this.#see(this.#roster)
  }

  /** Checks read small print from these pictures: on a poor line lose frames, not pixels. */
  async #tune() {
    for (const track of /** @type {const} */ (["video", "screen"])) {
      const sender = this.#sections.get(track)?.sender
      if (!sender) continue
      const parameters = sender.getParameters()
      parameters.degradationPreference = "maintain-resolution"
      const low = parameters.encodings[LOW]
      if (low) low.active = false // the answer has switched it on
      await sender.setParameters(parameters).catch(() => {}) // a preference, not a need
    }
  }

  /** @param {boolean} low whether somebody's line needs the small layer */
  async #setLow(low) {
    const sender = this.#sections.get("video")?.sender
    const parameters = sender?.getParameters()
    const layer = parameters?.encodings[LOW]
    if (!sender || !parameters || !layer) return
    layer.active = low
    await sender.setParameters(parameters).catch(() => {}) // a connection that is just closing
  }

  /** @param {RTCPeerConnection} connection */
  #changed(connection) {
    if (connection !== this.#connection) return
    const state = connection.connectionState
    if (state === "connected") {
      clearTimeout(this.#alarm)
      this.#become("connected")
      this.#report()
    } else if (state === "disconnected") {
      this.#become("lost")
      this.#socket.check()
      this.#expect(GRACE)
    } else if (state === "failed") {
      this.#become("lost")
      this.#expect(0)
    }
  }

  /**
   * Unless connected by then, start over.
   * @param {number} wait ms
   */
  #expect(wait) {
    clearTimeout(this.#alarm)
    this.#alarm = setTimeout(() => {
      if (this.#socket.condition === "open" && this.condition !== "left") this.#enter()
    }, wait)
  }

  #hangUp() {
    clearTimeout(this.#alarm)
    clearInterval(this.#reporting)
    const connection = this.#connection
    this.#connection = null
    this.#streams.clear()
    this.#sections.clear()
    if (!connection) return
    connection.onicecandidate = null
    connection.onconnectionstatechange = null
    connection.close()
  }

  /** @param {any[]} roster */
  #see(roster) {
    this.#roster = roster
    this.people = roster
      .filter((person) => person.id !== this.me)
      .map((person) => ({
        ...person,
        stream: this.#stream(person.audio_mid, person.video_mid),
        screen_stream: person.screen_mid == null ? null : this.#stream(person.screen_mid),
      }))
    this.#emit("people", this.people)
    const sharer = roster.find(({ screen }) => screen)?.id ?? null
    if (sharer === this.#sharer) return
    this.#sharer = sharer
    this.#emit("screen", sharer)
  }

  /**
   * @param {(string|null)[]} mids
   * @returns {MediaStream}
   */
  #stream(...mids) {
    const tracks = (this.#connection?.getTransceivers() ?? [])
      .filter(({ mid }) => mid !== null && mids.includes(mid))
      .map(({ receiver }) => receiver.track)
    const key = tracks.map(({ id }) => id).join(" ")
    const stream = this.#streams.get(key) ?? new MediaStream(tracks)
    this.#streams.set(key, stream)
    return stream
  }

  #apply() {
    if (this.#tracks.audio) this.#tracks.audio.enabled = this.#sending.microphone
    if (this.#tracks.video) this.#tracks.video.enabled = this.#sending.camera
  }

  #tell() {
    this.#socket.send({
      type: "media",
      microphone: this.#sending.microphone && this.#tracks.audio?.readyState === "live",
      camera: this.#sending.camera && this.#tracks.video?.readyState === "live",
    })
  }

  /** @param {MediaStreamTrack|null} track */
  #watch(track) {
    track?.addEventListener("ended", () => {
      if (this.#tracks.audio !== track && this.#tracks.video !== track) return
      this.#emit("ended", track.kind)
      this.#tell()
    })
  }

  #report() {
    clearInterval(this.#reporting)
    this.#reception = new Reception()
    let looks = 0
    this.#reporting = setInterval(async () => {
      const connection = this.#connection
      if (connection?.connectionState !== "connected") return
      const stats = await connection.getStats()
      this.#doubt(this.#reception.hush(stats))
      if (++looks % REPORT) return
      const report = this.#reception.report(stats)
      this.#socket.send({ type: "stats", ...report })
      this.#emit("report", report)
    }, LOOK)
  }

  /**
   * A network that is gone is noticed here seconds before ICE says so.
   * @param {number} hush looks in a row at which nothing had come
   */
  #doubt(hush) {
    if (hush === HUSH) this.#socket.check()
    else if (hush > HUSH) this.#become("lost")
    else if (hush === 0 && this.condition === "lost") this.#become("connected")
  }

  /** @param {Condition} condition */
  #become(condition) {
    if (this.condition === condition) return
    this.condition = condition
    this.#emit("condition", condition)
  }

  /**
   * @param {string} type
   * @param {any} data
   */
  #emit(type, data) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) listener(data)
  }
}

/**
 * Offer only codecs the server forwards, VP8 before H264.
 * @param {RTCRtpTransceiver} transceiver
 */
function narrow(transceiver) {
  try {
    const codecs = RTCRtpReceiver.getCapabilities(transceiver.receiver.track.kind)?.codecs ?? []
    const wanted = CODECS.flatMap((wish) =>
      codecs.filter(({ mimeType, sdpFmtpLine }) => wish.test(`${mimeType} ${normal(sdpFmtpLine)}`)),
    )
    transceiver.setCodecPreferences(wanted)
  } catch {
    // an older browser offers all it has; the server chooses
  }
}

/**
 * A codec's parameters in one order.
 * @param {string} [parameters] as in an SDP fmtp line
 */
function normal(parameters = "") {
  return parameters.split(";").sort().join(";")
}
