// Which ways lead to the bank's server, tried one beside the other. No DOM here.

import { get, post } from "./api.js"

const PATIENCE = 6 * 1000 // ms for a way to come up: a dozen round trips of a very slow line
const ECHOES = 3
const LOOKS = 8 // at the statistics, which learn of the round trip a little later
const MOMENT = 100 // ms between them

/**
 * "good": it works. "look": it works or may work, but something should be known. "stop": it does
 * not. "absent": it is not offered here. `code` says why, in words of the page.
 * @typedef {{state: "good"|"look"|"stop"|"absent", code: string, rtt_ms: number|null}} Finding
 * @typedef {"socket"|"direct"|"udp"|"tcp"|"tls"|"camera"|"microphone"} Way
 */

/** @type {readonly Way[]} */
export const WAYS = ["socket", "direct", "udp", "tcp", "tls", "camera", "microphone"]

/**
 * @param {Finding["state"]} state
 * @param {string} code
 * @param {number|null} [rtt_ms]
 * @returns {Finding}
 */
function finding(state, code, rtt_ms = null) {
  return { state, code, rtt_ms }
}

/**
 * Try everything at once; `tell` hears of each way as soon as it is known.
 * @param {(way: Way, finding: Finding) => void} tell
 * @returns {Promise<Record<Way, Finding> & {servers: Record<string, string[]>}>} what was found,
 *   and the addresses of the relays by way
 */
export async function tryAll(tell) {
  const offer = get("/api/connection-test").catch((/** @type {any} */ { code }) => ({ code }))
  const relayed = async (/** @type {"udp"|"tcp"|"tls"} */ way) => relay(await offer, way)
  /** @type {Record<Way, () => Promise<Finding>>} */
  const tries = {
    socket,
    direct: async () => direct(await offer),
    udp: () => relayed("udp"),
    tcp: () => relayed("tcp"),
    tls: () => relayed("tls"),
    camera: () => device("camera", "videoinput"),
    microphone: () => device("microphone", "audioinput"),
  }
  const pairs = await Promise.all(
    WAYS.map(async (way) => {
      const found = await tries[way]()
      tell(way, found)
      return [way, found]
    }),
  )
  const servers = byWay((await offer).ice_servers ?? [])
  return { ...Object.fromEntries(pairs), servers }
}

/**
 * The relays' addresses by the way that leads to them.
 * @param {RTCIceServer[]} servers
 * @returns {Record<string, string[]>}
 */
function byWay(servers) {
  /** @type {Record<string, string[]>} */
  const found = { udp: [], tcp: [], tls: [] }
  for (const url of servers.flatMap(({ urls }) => urls)) {
    if (url.startsWith("turns:")) found.tls.push(url)
    else if (url.endsWith("?transport=tcp")) found.tcp.push(url)
    else found.udp.push(url)
  }
  return found
}

/** @param {any} offer */
async function direct(offer) {
  if (offer.code) return finding("stop", offer.code === "too_many" ? "too_many" : "offline")
  if (offer.ice_policy === "relay") return finding("absent", "not_used")
  return connect({ iceServers: [] })
}

/**
 * @param {any} offer
 * @param {"udp"|"tcp"|"tls"} way
 */
async function relay(offer, way) {
  if (offer.code) return finding("stop", offer.code === "too_many" ? "too_many" : "offline")
  const urls = byWay(offer.ice_servers)[way]
  if (!urls.length) return finding("absent", "not_set_up")
  const [{ username, credential }] = offer.ice_servers
  const iceServers = [{ urls, username, credential }]
  return connect({ iceServers, iceTransportPolicy: "relay" })
}

/**
 * A connection to a peer of the server that belongs to nobody.
 * @param {RTCConfiguration} configuration
 */
async function connect(configuration) {
  const connection = new RTCPeerConnection(configuration)
  const seen = { relayed: false, refused: false }
  connection.onicecandidate = ({ candidate }) => {
    seen.relayed ||= candidate?.type === "relay"
  }
  connection.onicecandidateerror = ({ errorCode }) => {
    seen.refused ||= errorCode >= 400 && errorCode < 500
  }
  try {
    // Nothing need be sent: no camera is asked for.
    connection.addTransceiver("audio", { direction: "recvonly" })
    await connection.setLocalDescription()
    const sdp = connection.localDescription?.sdp
    const answer = await post("/api/connection-test", { sdp })
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp })
    const relays = configuration.iceTransportPolicy === "relay"
    if (await up(connection, () => relays && !seen.relayed)) {
      return finding("good", "works", await roundTrip(connection))
    }
    if (!relays) return finding("stop", "blocked")
    if (seen.relayed) return finding("stop", "relay_blind")
    return finding("stop", seen.refused ? "relay_refuses" : "blocked")
  } catch (error) {
    return finding("stop", /** @type {any} */ (error).code === "too_many" ? "too_many" : "offline")
  } finally {
    connection.close()
  }
}

/**
 * Whether the connection comes up in time.
 * @param {RTCPeerConnection} connection
 * @param {() => boolean} hopeless asked once all candidates are known
 * @returns {Promise<boolean>}
 */
function up(connection, hopeless) {
  return new Promise((decide) => {
    setTimeout(() => decide(false), PATIENCE)
    const look = () => {
      if (connection.connectionState === "connected") decide(true)
      if (connection.connectionState === "failed") decide(false)
      if (connection.iceGatheringState === "complete" && hopeless()) decide(false)
    }
    connection.onconnectionstatechange = connection.onicegatheringstatechange = look
    look()
  })
}

/**
 * There and back over the pair in use, in ms; null where the browser does not say.
 * @param {RTCPeerConnection} connection
 */
async function roundTrip(connection) {
  for (let look = 0; look < LOOKS; look++) {
    for (const entry of /** @type {Iterable<any>} */ ((await connection.getStats()).values())) {
      const used = entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded"
      const trip_s = used && entry.currentRoundTripTime
      if (trip_s) return Math.max(1, Math.round(trip_s * 1000))
    }
    await new Promise((decide) => setTimeout(decide, MOMENT))
  }
  return null
}

/** The WebSocket that calls need, which some proxies do not let through. */
async function socket() {
  const url = new URL("/ws/connection-test", globalThis.location.href)
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
  const line = new WebSocket(url)
  try {
    await heard(line, "open")
    const times = []
    for (let echo = 0; echo < ECHOES; echo++) {
      const begun = performance.now()
      line.send(String(echo))
      await heard(line, "message")
      times.push(performance.now() - begun)
    }
    return finding("good", "works", Math.round(Math.min(...times)))
  } catch {
    return finding("stop", "blocked")
  } finally {
    line.close()
  }
}

/**
 * @param {WebSocket} line
 * @param {"open"|"message"} type
 */
function heard(line, type) {
  return new Promise((decide, refuse) => {
    setTimeout(refuse, PATIENCE)
    line.addEventListener(type, decide, { once: true })
    line.addEventListener("close", refuse, { once: true })
  })
}

/**
 * Whether the page may use it, without asking for it.
 * @param {"camera"|"microphone"} name
 * @param {"videoinput"|"audioinput"} kind
 */
async function device(name, kind) {
  const { mediaDevices, permissions } = navigator
  if (!mediaDevices) return finding("stop", "insecure")
  const devices = await mediaDevices.enumerateDevices().catch(() => [])
  if (!devices.some((one) => one.kind === kind)) return finding("stop", "missing")
  const wish = { name: /** @type {PermissionName} */ (name) }
  // Some browsers do not answer before they ask; then they will ask.
  const { state } = await permissions.query(wish).catch(() => ({ state: "prompt" }))
  if (state === "denied") return finding("stop", "denied")
  return state === "granted" ? finding("good", "allowed") : finding("look", "will_ask")
}

/**
 * What it means for a call: "good", "slow" (over TCP only), "silent" (no media gets through) or
 * "cut_off" (not even the WebSocket); "hurried" when the server wants us to wait.
 * @param {Record<Way, Finding>} found
 */
export function verdict(found) {
  const works = (/** @type {Way} */ way) => found[way].state === "good"
  if (WAYS.some((way) => found[way].code === "too_many")) return "hurried"
  if (!works("socket")) return "cut_off"
  if (works("direct") || works("udp")) return "good"
  return works("tcp") || works("tls") ? "slow" : "silent"
}
