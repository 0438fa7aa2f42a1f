// How good the way to the bank is, measured on the way to the bank. No DOM here.

const PROBES = 5
const BYTES = 750_000
const ENOUGH_KBPS = 2500 // one 720p picture each way with room to spare
const JUST_ENOUGH_KBPS = 800
const QUICK_MS = 250
const SLOW_MS = 600

/**
 * @typedef {{grade: "good"|"fair"|"poor"|"none", rtt_ms: number, kbps: number}} Way
 * @returns {Promise<Way>}
 */
export async function measure() {
  try {
    await load(1) // opens the connection; its cost is not the way's
    const times = []
    for (let probe = 0; probe < PROBES; probe++) times.push(await load(1))
    const rtt_ms = Math.round(times.sort((a, b) => a - b)[Math.floor(PROBES / 2)])
    const kbps = Math.round((BYTES * 8) / Math.max(1, (await load(BYTES)) - rtt_ms / 2))
    return { grade: grade(rtt_ms, kbps), rtt_ms, kbps }
  } catch {
    return { grade: "none", rtt_ms: 0, kbps: 0 }
  }
}

/**
 * @param {number} rtt_ms
 * @param {number} kbps
 */
function grade(rtt_ms, kbps) {
  if (kbps >= ENOUGH_KBPS && rtt_ms <= QUICK_MS) return "good"
  if (kbps >= JUST_ENOUGH_KBPS && rtt_ms <= SLOW_MS) return "fair"
  return "poor"
}

/**
 * @param {number} bytes
 * @returns {Promise<number>} ms
 */
async function load(bytes) {
  const begun = performance.now()
  const signal = AbortSignal.timeout(15 * 1000)
  const response = await fetch(`/api/network-test?bytes=${bytes}`, { cache: "no-store", signal })
  if (!response.ok) throw new Error(String(response.status))
  await response.arrayBuffer()
  return performance.now() - begun
}
