// <recording-spool>: recordings that are on their way to the bucket, and what keeps them.

import "../../page.js"
import { get } from "../../../lib/api.js"
import { el, fill, find } from "../../../lib/html.js"
import { known, t, when } from "../../../lib/i18n.js"
import { every, Live } from "../../live.js"
import { mark } from "../marks.js"
import { attempt } from "../tell.js"

const LOOK_MS = 15_000

class RecordingSpool extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#look()
    every(signal, LOOK_MS, () => this.#look())
  }

  async #look() {
    const { storage, spool } = (await attempt(get("/api/storage"))) ?? {}
    if (!storage) return
    const facts = spool ? waiting(spool) : [[t("spool.kept"), t("spool.local")]]
    fill(find("[data-part=facts]", this), ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]))
  }
}

/** @param {{parts: number, bytes: number, since: number | null, limit_bytes: number, full: boolean, failure: {reason: string, at: number} | null}} spool */
function waiting({ parts, bytes, since, limit_bytes, full, failure }) {
  const limit = t(full ? "spool.over" : "spool.limit", { limit: size(limit_bytes) })
  const facts = [
    [t("spool.parts"), since ? t("spool.since", { parts, at: when(since) }) : String(parts)],
    [t("spool.bytes"), el("span", {}, `${size(bytes)} `, full ? mark("bad", t("spool.full")) : mark("good", t("spool.room")), ` ${limit}`)],
  ]
  const reason = failure && (known(`spool.reason.${failure.reason}`) ? failure.reason : "failed")
  facts.push([t("spool.bucket"), failure ? el("span", {}, mark("bad", t("spool.fails")), ` ${when(failure.at)}: `, t(`spool.reason.${reason}`)) : mark("good", t("spool.fine"))])
  return facts
}

/** @param {number} bytes */
function size(bytes) {
  const [unit, of] = bytes >= 1e9 ? ["GB", 1e9] : ["MB", 1e6]
  return `${(bytes / /** @type {number} */ (of)).toFixed(1)} ${unit}`
}

customElements.define("recording-spool", RecordingSpool)
