// A customer's visit as the server knows it, and what the customer has chosen so far. No DOM here.

import { get, post } from "./api.js"
import { Socket } from "./socket.js"

/**
 * @typedef {{zh: string, en?: string}} Words
 * @typedef {{id: string, name: Words, minutes: number, need: (string|Words)[]}} Business
 * @typedef {{check: string, verdict: string|null, reason: string|null}} CheckView
 * @typedef {{from: string, role: string, text: string, at: string}} Said
 * @typedef {{session: string, business: string, by: string}} Invited into a call that goes on
 * @typedef {object} Session
 * @property {string} id
 * @property {"waiting"|"offered"|"talking"|"wrap_up"|"closed"|"abandoned"|"interrupted"} state
 * @property {string} business
 * @property {number|null} place
 * @property {number|null} estimate_s
 * @property {{name: string, id?: string}|null} teller
 * @property {{id: string, role: string, presence: string}} [you]
 * @property {boolean} on_hold
 * @property {boolean} recording whether it is being recorded just now
 * @property {number|null} media_time_us since the call began
 * @property {Guide|null} guide
 * @property {Said[]} chat
 * @property {CheckView[]} checks
 * @property {{verdict: string, reason_for_customer?: string}|null} decision
 * @property {boolean} rated
 * @property {string} end_reason
 *
 * @typedef {object} Guide what to show over the own picture
 * @property {string} check
 * @property {string} mode `face`, `none`, or the paper to hold up: `card_front`, `passport`, …
 * @property {string|null} hint
 * @property {string|null} prompt
 * @property {number} progress 0..1
 * @property {number|null} deadline_s seconds left when it was sent
 * @property {number[][]|null} quad corners of the face or card, 0..1, as the camera sees them
 *
 * @typedef {"loading"|"unreachable"|"consents"|"business"|"devices"|"waiting"|"call"|"result"
 *           |"elsewhere"|"signed_out"} Step
 * @typedef {"visit"|"session"|"queue"|"guide"|"finding"|"chat"|"line"|"alarm"} Change
 */

const DONE = "visit-done" // localStorage: the session whose result was read and put away

export class Visit {
  socket = new Socket()
  /** @type {{name: string}} */
  customer = { name: "" }
  /** @type {Business[]} */
  businesses = []
  /** @type {{version: string, recording: Words, face: Words, face_kept: Words}|null} */
  consents = null
  /** The newest answer to each. @type {Record<string, {answer: string, at: number}>} */
  agreed = {}
  open = true
  /** @type {number|null} */
  estimate_s = null
  /** Set for a second borrower who came by a link. @type {Invited|null} */
  invited = null
  /** @type {Session|null} */
  session = null
  /** @type {Guide|null} */
  guide = null
  /** @type {CheckView|null} the newest finding */
  finding = null
  alarm = ""
  /** @type {number|null} performance.now() when the call's media time was zero */
  origin = null
  choices = {
    /** @type {boolean|null} */ recording: null,
    /** @type {boolean|null} */ face: null,
    /** @type {boolean|null} null: an earlier yes stands */ face_kept: null,
    business: "",
  }
  /** @type {"consents"|"business"|"devices"} where the customer stands before there is a session */
  stage = "consents"
  #loaded = false
  #failed = false
  /** @type {""|"elsewhere"|"signed_out"} */
  #over = ""
  /** @type {Set<(change: Change) => void>} */
  #listeners = new Set()

  constructor() {
    const { socket } = this
    socket.on("condition", (condition) => this.#line(condition))
    socket.onNotice("session", (data) => this.#changed(data))
    socket.onNotice("people", ({ session }) => session === this.session?.id && this.#refresh())
    socket.onNotice("queue", (data) => this.#moved(data))
    socket.onNotice("hold", ({ on }) => this.#patch({ on_hold: on }, "session"))
    socket.onNotice("guide", (data) => this.#guided(data))
    socket.onNotice("finding", (data) => this.#found(data))
    socket.onNotice("chat", (data) => this.#heard(data))
    socket.onNotice("alarm", ({ code }) => this.#alarmed(code))
    socket.onNotice("elsewhere", () => this.#end("elsewhere"))
    socket.onNotice("signed_out", () => this.#end("signed_out"))
  }

  /** @returns {Step} */
  get step() {
    if (this.#over) return this.#over
    if (!this.#loaded) return this.#failed ? "unreachable" : "loading"
    switch (this.session?.state) {
      case undefined:
        return this.stage
      case "waiting":
      case "offered":
        return "waiting"
      case "talking":
        return "call"
      default:
        return "result"
    }
  }

  /** @returns {Business|undefined} the one chosen, or the one of the running session */
  get business() {
    const id = this.session?.business ?? this.invited?.business ?? this.choices.business
    return this.businesses.find((business) => business.id === id)
  }

  /**
   * @param {(change: Change) => void} listener
   * @returns {() => void}
   */
  on(listener) {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Whether this person came by a link into somebody else's call. */
  get guest() {
    return this.session ? this.session.you?.role === "co_customer" : this.invited !== null
  }

  /** The steps before there is a session. */
  get stages() {
    const guest = /** @type {const} */ (["consents", "devices"])
    return this.guest ? guest : /** @type {const} */ (["consents", "business", "devices"])
  }

  /** Fetch everything; then stay in touch. */
  async load() {
    this.#failed = false
    try {
      const { session, ...rest } = await get("/api/visit")
      Object.assign(this, rest)
      this.session = session && session.id !== read(DONE) ? session : null
      this.guide = shown(this.session?.guide)
      this.#setClock()
      this.#loaded = true
    } catch (error) {
      const { status } = /** @type {{status?: number}} */ (error)
      if (status === 401 || status === 403) return this.#end("signed_out")
      this.#failed = true
    }
    this.#tell("visit")
    this.socket.open()
  }

  /** @param {"consents"|"business"|"devices"} stage */
  go(stage) {
    this.stage = stage
    this.#tell("visit")
  }

  /**
   * Join the line, or the call one is invited to. Throws ApiError.
   * @param {string} language
   */
  async begin(language) {
    const consents = {
      consent_recording: this.choices.recording === true,
      consent_face: this.choices.face === true,
      consent_version: this.consents?.version,
    }
    if (this.invited) {
      const { session } = this.invited
      await post(`/api/sessions/${session}/join`, consents)
      this.session = await get(`/api/sessions/${session}`)
      this.#setClock()
    } else {
      const { business, face_kept } = this.choices
      const wish = { business, language, ...consents, consent_face_kept: face_kept }
      const { session } = await post("/api/sessions", wish)
      this.session = session
    }
    this.#tell("session")
  }

  /** Leave the line or the call. Throws ApiError. */
  async leave() {
    if (!this.session) return
    await post(`/api/sessions/${this.session.id}/leave`)
    if (this.guest) this.#out()
    else await this.#refresh()
  }

  /** @param {string} text */
  async say(text) {
    await post(`/api/sessions/${this.session?.id}/chat`, { text })
  }

  /** Another way than the check that runs. @param {string} check */
  async skip(check) {
    await post(`/api/sessions/${this.session?.id}/checks/${check}/skip`)
  }

  /**
   * @param {number} stars 1..5
   * @param {string} comment
   */
  async rate(stars, comment) {
    await post(`/api/sessions/${this.session?.id}/rating`, { stars, comment })
    this.#patch({ rated: true }, "session")
  }

  /** Put the finished session away and stand at the beginning again. */
  restart() {
    if (this.session) write(DONE, this.session.id)
    this.session = null
    this.guide = null
    this.finding = null
    this.invited = null
    this.choices = { recording: null, face: null, face_kept: null, business: "" }
    this.go("consents")
  }

  async #refresh() {
    const { session } = this
    if (!session) return
    try {
      const fresh = await get(`/api/sessions/${session.id}`)
      if (this.session?.id !== session.id) return
      this.session = fresh
      this.guide = shown(fresh.guide)
      this.#setClock()
    } catch (error) {
      // Signed out, or the line is down: then the next welcome fetches everything again.
      const { status } = /** @type {{status?: number}} */ (error)
      if (status === 401) this.#end("signed_out")
      else if (status === 404 && this.guest) this.#out()
      return
    }
    this.#tell("session")
    this.#tell("guide")
  }

  /** A guest has left, or was asked to: the call of the others goes on. */
  #out() {
    this.invited = null
    this.#patch({ state: "closed", end_reason: "stepped_out" }, "session")
  }

  /** @param {string} condition */
  #line(condition) {
    const { reason } = this.socket
    if (condition === "closed" && !this.#over) {
      this.#end(reason === "elsewhere" ? "elsewhere" : "signed_out")
    }
    // Whatever was said while the line was down is asked for; and when it keeps breaking, whether
    // this login still holds.
    if (condition === "open" || condition === "lost") this.#catchUp()
    this.#tell("line")
  }

  #catchUp() {
    if (!this.#loaded) this.load()
    else this.#refresh()
  }

  /** @param {{id: string, state: Session["state"]}} data */
  #changed({ id, state }) {
    if (!this.session || this.session.id !== id) return
    this.#patch({ state }, "session") // at once; the rest follows
    this.#refresh()
  }

  /** @param {{place?: number|null, estimate_s?: number|null, open?: boolean}} data */
  #moved({ open, ...queue }) {
    if (open !== undefined) this.open = open
    this.#patch(queue, "queue")
  }

  /** @param {Guide & {session: string}} data */
  #guided(data) {
    if (data.session !== this.session?.id) return
    this.guide = shown(data)
    this.#tell("guide")
  }

  /** @param {CheckView & {session: string}} data */
  #found({ session, check, verdict, reason }) {
    if (session !== this.session?.id) return
    this.finding = { check, verdict, reason }
    const others = this.session.checks.filter((one) => one.check !== check)
    this.#patch({ checks: [...others, this.finding] }, "finding")
  }

  /** @param {Said & {session: string}} data */
  #heard({ session, ...said }) {
    if (session !== this.session?.id) return
    this.#patch({ chat: [...this.session.chat, said] }, "chat")
  }

  #setClock() {
    const time = this.session?.media_time_us
    this.origin = time == null ? null : performance.now() - time / 1000
  }

  /** @param {string} code */
  #alarmed(code) {
    this.alarm = code
    this.#tell("alarm")
  }

  /** @param {"elsewhere"|"signed_out"} why */
  #end(why) {
    this.#over = why
    this.socket.close(why)
    this.#tell("visit")
  }

  /**
   * @param {Partial<Session>} change
   * @param {Change} what
   */
  #patch(change, what) {
    if (this.session) this.session = { ...this.session, ...change }
    this.#tell(what)
  }

  /** @param {Change} change */
  #tell(change) {
    for (const listener of [...this.#listeners]) listener(change)
  }
}

/**
 * @param {Guide|null|undefined} guide
 * @returns {Guide|null} nothing for the guide that says "none"
 */
function shown(guide) {
  return !guide || guide.mode === "none" ? null : guide
}

/** @param {string} key */
function read(key) {
  try {
    return localStorage.getItem(key)
  } catch {
    return null // storage switched off: the result is shown once more after a reload
  }
}

/**
 * @param {string} key
 * @param {string} value
 */
function write(key, value) {
  try {
    localStorage.setItem(key, value)
  } catch {
    // see read()
  }
}
