// The WebSocket at /ws: stays connected, hands out messages and notices. No DOM here.

const PATIENCE = 1500 // ms for a connection to open: a first packet that was lost comes again late
const LONG_PATIENCE = 6 * 1000 // ms, each fourth try: for a very slow line
const WAIT = 600 // ms before a new try, at most: people wait for this when the network is back
const LONG_WAIT = 10 * 1000 // ms, once it has been gone for long
const LONG = 40 // tries
const HEARTBEAT = 5 * 1000 // ms between pings
const SILENCE = 4 * 1000 // ms without an answer to a ping: the line is dead
const DOUBT = 1500 // ms for the answer when there is reason to doubt the line
const MOVED = 700 // ms for it when the network has changed: the old line is most likely dead
const FINAL = ["elsewhere", "signed_out"] // goodbyes after which coming back would be wrong

// Wi-Fi to mobile: phones tell.
const { connection: network } = /** @type {{connection?: EventTarget & {type?: string}}} */ (navigator)

/**
 * @typedef {{type: string, [key: string]: any}} Message
 * @typedef {"idle"|"connecting"|"open"|"lost"|"closed"} Condition
 */

/**
 * Listen with `on(type, fn)` for messages of PROTOCOL.md, `on("condition", fn)` for the line
 * itself and `onNotice(topic, fn)` for what the bank says; each returns the function that stops it.
 */
export class Socket {
  /** @type {Condition} */
  condition = "idle"
  /** Once `condition` is "closed": why; "elsewhere" and "signed_out" come from the server. */
  reason = ""
  /** @type {Map<string, Set<(data: any) => void>>} */
  #listeners = new Map()
  /** @type {WebSocket|null} */
  #socket = null
  #url
  #tries = 0
  #heard = 0
  #retry = 0
  #heartbeat = 0
  #doubt = 0
  #doubted = 0 // until when an answer is waited for
  #hurry = () => this.check(MOVED)
  #network = network?.type
  #moved = () => {
    if (network?.type === this.#network) return // only an estimate of its speed has changed
    this.#network = network?.type
    this.check(MOVED)
  }

  /** @param {string} [path] */
  constructor(path = "/ws") {
    const url = new URL(path, globalThis.location.href)
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
    this.#url = url
  }

  open() {
    if (this.condition === "connecting" || this.condition === "open") return
    globalThis.addEventListener("online", this.#hurry)
    network?.addEventListener("change", this.#moved)
    this.#connect()
  }

  /** @param {string} [reason] */
  close(reason = "") {
    if (this.condition === "closed") return
    globalThis.removeEventListener("online", this.#hurry)
    network?.removeEventListener("change", this.#moved)
    this.reason ||= reason
    this.#drop()
    this.#become("closed")
  }

  /**
   * Nothing is kept for later: what was said on a dead line is stale on the next one.
   * @param {Message} message
   * @returns {boolean} whether it could be sent
   */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false
    this.#socket.send(JSON.stringify(message))
    return true
  }

  /**
   * @param {string} type
   * @param {(data: any) => void} listener
   * @returns {() => void}
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set()
    this.#listeners.set(type, listeners.add(listener))
    return () => listeners.delete(listener)
  }

  /**
   * @param {string} topic
   * @param {(data: any) => void} listener
   * @returns {() => void}
   */
  onNotice(topic, listener) {
    return this.on(`notice:${topic}`, listener)
  }

  /**
   * The network has changed, or media stopped: make sure of the line, or get a new one at once.
   * @param {number} [patience] ms for the line to answer
   */
  check(patience = DOUBT) {
    if (this.condition === "open") this.#ask(patience)
    else if (this.condition === "lost" || this.condition === "connecting") this.#connect()
  }

  #connect() {
    this.#drop()
    this.#become("connecting")
    const socket = new WebSocket(this.#url)
    this.#socket = socket
    socket.onmessage = (event) => this.#socket === socket && this.#receive(event.data)
    socket.onclose = () => this.#socket === socket && this.#lose()
    const patience = ++this.#tries % 4 ? PATIENCE : LONG_PATIENCE
    this.#retry = setTimeout(() => this.#lose(), patience)
  }

  /**
   * Ping, and take a new line unless something comes in time.
   * @param {number} patience ms
   */
  #ask(patience) {
    const asked = performance.now()
    // The heartbeat must not give a line more time that was doubted a moment ago.
    if (this.#doubted < asked || this.#doubted > asked + patience) {
      clearTimeout(this.#doubt)
      this.#doubted = asked + patience
      this.#doubt = setTimeout(() => this.#heard < asked && this.#connect(), patience)
    }
    this.send({ type: "ping", t: Math.round(asked) })
  }

  #lose() {
    this.#drop()
    this.#become("lost")
    const wait = this.#tries < LONG ? WAIT : LONG_WAIT
    // Jitter, so that a restarted server is not met by everybody at once.
    this.#retry = setTimeout(() => this.#connect(), wait * (0.4 + Math.random() * 0.6))
  }

  #drop() {
    clearTimeout(this.#retry)
    clearTimeout(this.#doubt)
    this.#doubted = 0
    clearInterval(this.#heartbeat)
    const socket = this.#socket
    this.#socket = null
    socket?.close()
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heard = performance.now()
    this.#doubted = 0
    const message = typeof data === "string" ? JSON.parse(data) : null
    if (!message) return
    if (message.type === "welcome") this.#welcomed()
    this.#emit(message.type, message)
    if (message.type === "notice") this.#emit(`notice:${message.topic}`, message.data)
    if (message.type === "bye" && FINAL.includes(message.reason)) this.close(message.reason)
  }

  #welcomed() {
    this.#tries = 0
    clearTimeout(this.#retry)
    this.#heartbeat = setInterval(() => this.#ask(SILENCE), HEARTBEAT)
    this.#become("open")
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
