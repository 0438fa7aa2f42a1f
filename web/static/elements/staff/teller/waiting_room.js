// <waiting-room>: the console between two customers: own picture, the line, what to do next.

import { el, fill, find } from "../../../lib/html.js"
import { clock, t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { businessName } from "../businesses.js"

class WaitingRoom extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    for (const state of ["ready", "away"])
      find(`[data-act=${state}]`, this).addEventListener("click", (event) => wish(event, state), { signal })
  }

  disconnect() {
    this.mirror(null, "")
  }

  /** @param {any} desk */
  show({ state, queue }) {
    const ready = state === "ready" || state === "ringing"
    find("[data-part=headline]", this).textContent = t(ready ? "teller.idle_ready" : "teller.idle_away")
    find("[data-part=advice]", this).textContent = t(ready ? "teller.idle_ready_about" : "teller.idle_away_about")
    find("[data-act=ready]", this).hidden = ready
    find("[data-act=away]", this).hidden = !ready
    this.queue(queue)
  }

  /** @param {any} queue */
  queue({ waiting, by_business = [] }) {
    const place = find("[data-part=line-list]", this)
    const nobody = el("p", { class: "quiet" }, t("teller.line_empty"))
    const list = el("ul", { class: "line-list", role: "list" }, ...by_business.map(group))
    fill(place, waiting === 0 ? nobody : list)
  }

  /**
   * @param {MediaStream|null} media
   * @param {string} problem
   */
  mirror(media, problem) {
    const video = /** @type {HTMLVideoElement} */ (find("[data-part=mirror]", this))
    const seen = media !== null && media.getVideoTracks().length > 0
    video.srcObject = seen ? media : null
    const words = find("[data-part=mirror-words]", this)
    words.hidden = seen
    words.textContent = problem || t("teller.camera_off")
  }
}

/** @param {{business: string, waiting: number, longest_s: number}} group */
function group({ business, waiting, longest_s }) {
  return el(
    "li",
    {},
    el("span", {}, businessName(business)),
    el("span", { class: "number" }, t("teller.people", { count: waiting })),
    el("span", { class: "number quiet" }, clock(longest_s)),
  )
}

/**
 * @param {Event} event
 * @param {string} state
 */
function wish({ currentTarget }, state) {
  currentTarget?.dispatchEvent(new CustomEvent("presence", { bubbles: true, detail: state }))
}

customElements.define("waiting-room", WaitingRoom)
