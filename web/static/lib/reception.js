// How well a browser receives what the others send. No DOM here.

/**
 * @typedef {object} Report
 * @property {number} rtt_ms
 * @property {number} loss share of packets, 0..1
 * @property {number} kbps
 * @property {number} width of the largest picture
 * @property {number} height
 * @property {number} fps
 * @property {number} freezes since the connection was made
 * @property {number} frozen_s seconds the pictures stood still since the last report
 */

const NOTHING = { bytes: 0, packets: 0, lost: 0, frozen: 0, at: 0 }

/** One connection's statistics: the server knows itself what it gets from us. */
export class Reception {
  #before = NOTHING
  #hush = { heard: 0, looks: 0 }

  /**
   * @param {RTCStatsReport} stats
   * @returns {number} looks in a row at which nothing had come since the one before, not even answers
   *   to the connection's own checks, which come when nobody speaks, too
   */
  hush(stats) {
    let heard = 0
    for (const entry of /** @type {Iterable<any>} */ (stats.values())) {
      if (entry.type !== "candidate-pair") continue
      heard += (entry.bytesReceived ?? 0) + (entry.responsesReceived ?? 0)
    }
    const looks = heard > this.#hush.heard ? 0 : this.#hush.looks + 1
    this.#hush = { heard, looks }
    return looks
  }

  /**
   * @param {RTCStatsReport} stats
   * @returns {Report} since the last one
   */
  report(stats) {
    const report = { rtt_ms: 0, loss: 0, kbps: 0, width: 0, height: 0, fps: 0, freezes: 0, frozen_s: 0 }
    const now = { ...NOTHING, at: performance.now() }
    for (const entry of /** @type {Iterable<any>} */ (stats.values())) {
      if (entry.type === "inbound-rtp") {
        now.bytes += entry.bytesReceived ?? 0
        now.packets += entry.packetsReceived ?? 0
        now.lost += Math.max(0, entry.packetsLost ?? 0)
        now.frozen += entry.totalFreezesDuration ?? 0
        report.freezes += entry.freezeCount ?? 0
      }
      if (entry.type === "inbound-rtp" && (entry.frameWidth ?? 0) > report.width) {
        report.width = entry.frameWidth
        report.height = entry.frameHeight
        report.fps = Math.round(entry.framesPerSecond ?? 0)
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
    report.frozen_s = Math.max(0, now.frozen - before.frozen)
    return report
  }
}
