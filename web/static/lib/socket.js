// The WebSocket at /ws: stays connected, hands out messages and notices. No DOM here.

const FIRST_WAIT = 500 // ms before the first new try
const LONGEST_WAIT = 10 * 1000 // ms between tries
const HEARTBEAT = 10 * 1000 // ms between pings
const SILENCE = 25 * 1000 // ms without a word from the server: the line is dead
const FINAL = ["elsewhere", "signed_out"] // goodbyes after which coming back would be wrong

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
  #hurry = () => this.#connectNow()

  /** @param {string} [path] */
  constructor(path = "/ws") {
    const url = new URL(path, globalThis.location.href)
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
    this.#url = url
  }

  open() {
    if (this.condition === "connecting" || this.condition === "open") return
    globalThis.addEventListener("online", this.#hurry)
    this.#connect()
  }

  /** @param {string} [reason] */
  close(reason = "") {
    if (this.condition === "closed") return
    globalThis.removeEventListener("online", this.#hurry)
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

  #connectNow() {
    if (this.condition === "lost") this.#connect()
  }

  #connect() {
    clearTimeout(this.#retry)
    this.#become("connecting")
    const socket = new WebSocket(this.#url)
    this.#socket = socket
    socket.onmessage = (event) => this.#socket === socket && this.#receive(event.data)
    socket.onclose = () => this.#socket === socket && this.#lose()
    this.#heard = Date.now()
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT)
  }

  #beat() {
    if (Date.now() - this.#heard > SILENCE) this.#lose()
    else this.send({ type: "ping", t: Math.round(performance.now()) })
  }

  #lose() {
    this.#drop()
    this.#become("lost")
    // Full jitter, so that a restarted server is not met by everybody at once.
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#tries++)
    this.#retry = setTimeout(() => this.#connect(), wait * (0.5 + Math.random() / 2))
  }

  #drop() {
    clearTimeout(this.#retry)
    clearInterval(this.#heartbeat)
    const socket = this.#socket
    this.#socket = null
    socket?.close()
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heard = Date.now()
    const message = typeof data === "string" ? JSON.parse(data) : null
    if (!message) return
    if (message.type === "welcome") this.#welcomed()
    this.#emit(message.type, message)
    if (message.type === "notice") this.#emit(`notice:${message.topic}`, message.data)
    if (message.type === "bye" && FINAL.includes(message.reason)) this.close(message.reason)
  }

  #welcomed() {
    this.#tries = 0
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
