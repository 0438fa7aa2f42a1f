// <replay-room>: one session replayed on a page of its own, such as a call that still goes on.

import "../../page.js"
import { get } from "../../../lib/api.js"
import { el, fill, make } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { learn } from "../businesses.js"
import { attempt } from "../tell.js"
import { openViewing } from "./opening.js"
import { SessionReplay } from "./replay.js"

class ReplayRoom extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    this.addEventListener("leave", () => location.assign(this.dataset.back ?? "/staff"), { signal })
    this.#open()
  }

  async #open() {
    const session = new URLSearchParams(location.search).get("session") ?? ""
    const viewing = session && (await openViewing(session))
    if (!viewing) return fill(this, this.#nothing())
    learn(await attempt(get("/api/reviews/businesses")))
    const replay = make(SessionReplay)
    replay.viewing = viewing
    document.body.dataset.view = "replay"
    return fill(this, replay)
  }

  #nothing() {
    const again = el("button", { type: "button", class: "button primary", onclick: () => this.#open() }, t("replay.open_again"))
    const back = el("a", { class: "button", href: this.dataset.back ?? "/staff" }, t("replay.leave"))
    return el("div", { class: "desk stack" }, el("h1", {}, t("replay.not_open")), el("p", { class: "quiet" }, t("replay.not_open_about")), el("div", { class: "row" }, again, back))
  }
}

customElements.define("replay-room", ReplayRoom)
