// Put into a page before its own scripts: notes when picture and sound come, and what it is told.

{
  const MOMENT = 50 // ms between looks
  const MOST = 4000 // notes kept of each
  const TROUBLE = [
    ...["lost", "still_lost", "teller_gone", "teller_silent"].map((name) => `.banner[data-name=${name}]`),
    "call-stage [data-part=message]:not([hidden])",
  ].join()
  const made = []
  const seen = { picture: [], sound: [], told: [] }

  const note = (list) => {
    list.push(Date.now())
    if (list.length > MOST) list.shift()
  }

  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args)
      made.push(this)
    }
  }

  const total = (stats, kind, figure) => {
    let sum = 0
    for (const entry of stats.values()) {
      if (entry.type === "inbound-rtp" && entry.kind === kind) sum += entry[figure] ?? 0
    }
    return sum
  }

  const watch = async () => {
    let before = { connection: null, picture: 0, sound: 0 }
    for (;;) {
      await new Promise((go) => setTimeout(go, MOMENT))
      if (document.querySelector(TROUBLE)) note(seen.told)
      const connection = made.at(-1)
      if (!connection || connection.connectionState === "closed") continue
      const stats = await connection.getStats()
      const now = {
        connection,
        picture: total(stats, "video", "framesDecoded"),
        sound: total(stats, "audio", "packetsReceived"),
      }
      const fresh = before.connection !== connection
      if (now.picture > (fresh ? 0 : before.picture)) note(seen.picture)
      if (now.sound > (fresh ? 0 : before.sound)) note(seen.sound)
      before = now
    }
  }
  watch()

  /** The first note after `since`, ms since 1970; null while there is none. */
  globalThis.firstSeen = (what, since) => seen[what].find((at) => at > since) ?? null

  /** What the newest connection runs over: types and protocol of its selected pair. */
  globalThis.wayOut = async () => {
    const stats = await made.at(-1).getStats()
    const pair = [...stats.values()].find(
      (entry) => entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded",
    )
    if (!pair) return null
    const { candidateType, relayProtocol, address } = stats.get(pair.localCandidateId)
    return { candidateType, relayProtocol, address, made: made.length }
  }
}
