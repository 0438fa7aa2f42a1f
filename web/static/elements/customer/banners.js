// Which of the things that can go wrong in a call are said, worst first. Pure: facts in, keys out.

const PATIENCE = 12 * 1000 // ms after which coming back by itself is no longer all we say

/**
 * @typedef {object} Banner
 * @property {string} key its words are customer.banner.<key>
 * @property {string} picture name of an icon; "" for a turning ring
 * @property {"reconnect"|"devices"|"listen"} [action] the next step, on a button
 *
 * @typedef {object} Facts
 * @property {string} line the socket's condition
 * @property {string} call the call's condition
 * @property {boolean} connectedOnce
 * @property {number} lostSince performance.now(), 0 while all is well
 * @property {{connected: boolean}|undefined} person the teller, once in the room
 * @property {boolean} silent nothing comes from the teller
 * @property {boolean} blocked the browser plays no sound before a tap
 * @property {number} level 0..4, how well our own picture arrives
 * @property {string|null} camera our camera's trouble
 * @property {string|null} microphone
 * @property {string} alarm
 */

/**
 * @param {Facts} facts
 * @param {number} [now] performance.now()
 * @returns {Banner[]} at most two: more would hide the picture
 */
export function banners(facts, now = performance.now()) {
  /** @type {Banner[]} */
  const found = []
  const down = facts.line !== "open" || facts.call !== "connected"
  if (down && facts.lostSince && now - facts.lostSince > PATIENCE) {
    found.push({ key: "still_lost", picture: "network", action: "reconnect" })
  } else if (down) {
    found.push({ key: facts.connectedOnce ? "lost" : "connecting", picture: "" })
  }
  if (facts.camera) found.push({ key: "camera", picture: "camera-off", action: "devices" })
  else if (facts.microphone)
    found.push({ key: "microphone", picture: "microphone-off", action: "devices" })
  if (facts.blocked) found.push({ key: "blocked", picture: "speaker", action: "listen" })
  if (!down && facts.person && !facts.person.connected)
    found.push({ key: "teller_gone", picture: "" })
  else if (!down && facts.silent) found.push({ key: "teller_silent", picture: "network" })
  if (!down && facts.level <= 1) found.push({ key: "weak", picture: "network" })
  return found.slice(0, 2)
}
