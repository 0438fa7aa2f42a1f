// One person's place in a room: their own tracks go out, everybody else's come in. No DOM here.

const PATIENCE = 12 * 1000 // ms for a connection to come up before a new one is tried
const GRACE = 3 * 1000 // ms a broken connection may take to heal by itself
const REPORT = 2 * 1000 // ms between statistics

/**
 * @typedef {import("./socket.js").Socket} Socket
 * @typedef {object} Person somebody else in the room
 * @property {string} id
 * @property {string} role
 * @property {string} name
 * @property {boolean} camera whether they send pictures just now
 * @property {boolean} microphone
 * @property {boolean} connected
 * @property {string|null} audio_mid the m-line of our connection that carries their voice
 * @property {string|null} video_mid
 * @property {MediaStream} stream the same object for as long as the tracks are the same
 *
 * @typedef {"idle"|"joining"|"connecting"|"connected"|"lost"|"left"} Condition
 * @typedef {{rtt_ms: number, loss: number, kbps: number, width: number, height: number,
 *            fps: number, freezes: number}} Report
 */

/**
 * The server's side cannot restart ICE, so every drop is answered by a new RTCPeerConnection with
 * a higher `call` number in the same room.
 *
 * Listen with `on`: "condition" (Condition), "people" (Person[]), "joined" (the message),
 * "quality" ({participant, level 0..4, …}), "silence" and "resumed" ({participant, …}),
 * "ended" ("audio"|"video": own device lost), "report" (Report).
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
  /** @type {{audio: MediaStreamTrack|null, video: MediaStreamTrack|null}} */
  #tracks = { audio: null, video: null }
  #sending = { microphone: true, camera: true }
  /** @type {RTCPeerConnection|null} */
  #connection = null
  #number = 0
  /** @type {RTCIceServer[]} */
  #iceServers = []
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
  #before = { bytes: 0, packets: 0, lost: 0, at: 0 }

  /**
   * @param {object} wish
   * @param {Socket} wish.socket
   * @param {string} wish.room the session's id
   * @param {MediaStream|null} [wish.media] own camera and microphone, as far as there are any
   * @param {number} [wish.places] how many other people may be seen at once
   */
  constructor({ socket, room, media = null, places = 1 }) {
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
    const sender = this.#sender(kind)
    if (sender) await sender.replaceTrack(track)
    this.#tell()
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

  #enter() {
    this.#become("joining")
    this.#socket.send({ type: "join", room: this.#room })
  }

  /** @param {any} message */
  #joined(message) {
    this.me = message.you
    this.#iceServers = message.ice_servers ?? []
    this.#see(message.participants ?? [])
    this.#emit("joined", message)
    this.#connect()
  }

  async #connect() {
    this.#hangUp()
    this.#become("connecting")
    const connection = new RTCPeerConnection({
      iceServers: this.#iceServers,
      bundlePolicy: "max-bundle",
    })
    const call = ++this.#number
    this.#connection = connection
    this.#expect(PATIENCE)
    connection.onicecandidate = ({ candidate }) => this.#offerCandidate(call, candidate)
    connection.onconnectionstatechange = () => this.#changed(connection)
    // Every m-line is there from the start: adding video later from the far side crashes browsers.
    for (const kind of /** @type {const} */ (["audio", "video"])) {
      connection.addTransceiver(this.#tracks[kind] ?? kind, { direction: "sendrecv" })
    }
    for (let place = 1; place < this.#places; place++) {
      connection.addTransceiver("audio", { direction: "recvonly" })
      connection.addTransceiver("video", { direction: "recvonly" })
    }
    await connection.setLocalDescription()
    if (connection !== this.#connection) return
    this.#socket.send({ type: "offer", call, sdp: connection.localDescription?.sdp })
    this.#tell()
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
      await this.#keepPixels(connection)
    } catch {
      this.#expect(GRACE) // an answer we cannot use: a new offer is the only way on
      return
    }
    this.#see(this.#roster)
  }

  /**
   * Checks read small print from this picture: on a poor line lose frames, not pixels.
   * @param {RTCPeerConnection} connection
   */
  async #keepPixels(connection) {
    const sender = this.#sender("video", connection)
    if (!sender) return
    const parameters = sender.getParameters()
    parameters.degradationPreference = "maintain-resolution"
    await sender.setParameters(parameters).catch(() => {}) // a preference, not a need
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
      if (this.#socket.condition === "open" && this.condition !== "left") this.#connect()
    }, wait)
  }

  #hangUp() {
    clearTimeout(this.#alarm)
    clearInterval(this.#reporting)
    const connection = this.#connection
    this.#connection = null
    this.#streams.clear()
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
      .map((person) => ({ ...person, stream: this.#stream(person) }))
    this.#emit("people", this.people)
  }

  /**
   * @param {any} person
   * @returns {MediaStream}
   */
  #stream(person) {
    const mids = [person.audio_mid, person.video_mid].filter((mid) => mid != null).map(String)
    const tracks = (this.#connection?.getTransceivers() ?? [])
      .filter(({ mid }) => mid !== null && mids.includes(mid))
      .map(({ receiver }) => receiver.track)
    const key = tracks.map(({ id }) => id).join(" ")
    const stream = this.#streams.get(key) ?? new MediaStream(tracks)
    this.#streams.set(key, stream)
    return stream
  }

  /**
   * @param {"audio"|"video"} kind
   * @returns {RTCRtpSender|undefined}
   */
  #sender(kind, connection = this.#connection) {
    // The first pair of m-lines is ours; they keep their kind when the track is gone.
    return connection?.getTransceivers().find(({ receiver }) => receiver.track.kind === kind)
      ?.sender
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
    this.#before = { bytes: 0, packets: 0, lost: 0, at: 0 }
    this.#reporting = setInterval(async () => {
      const connection = this.#connection
      if (connection?.connectionState !== "connected") return
      const report = this.#measure(await connection.getStats())
      this.#socket.send({ type: "stats", ...report })
      this.#emit("report", report)
    }, REPORT)
  }

  /**
   * Of what we receive: the server knows itself what it gets from us.
   * @param {RTCStatsReport} stats
   * @returns {Report}
   */
  #measure(stats) {
    const report = { rtt_ms: 0, loss: 0, kbps: 0, width: 0, height: 0, fps: 0, freezes: 0 }
    const now = { bytes: 0, packets: 0, lost: 0, at: performance.now() }
    for (const entry of /** @type {Iterable<any>} */ (stats.values())) {
      if (entry.type === "inbound-rtp") {
        now.bytes += entry.bytesReceived ?? 0
        now.packets += entry.packetsReceived ?? 0
        now.lost += Math.max(0, entry.packetsLost ?? 0)
      }
      if (entry.type === "inbound-rtp" && entry.kind === "video") {
        report.width = entry.frameWidth ?? 0
        report.height = entry.frameHeight ?? 0
        report.fps = Math.round(entry.framesPerSecond ?? 0)
        report.freezes += entry.freezeCount ?? 0
      }
      if (entry.type === "candidate-pair" && entry.nominated) {
        report.rtt_ms = Math.round((entry.currentRoundTripTime ?? 0) * 1000)
      }
    }
    const before = this.#before
    this.#before = now
    if (!before.at) return report
    const lost = Math.max(0, now.lost - before.lost)
    const expected = now.packets - before.packets + lost
    report.kbps = Math.round(((now.bytes - before.bytes) * 8) / (now.at - before.at))
    report.loss = expected > 0 ? Math.min(1, lost / expected) : 0
    return report
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
