// <invitation-desk>: makes personal links and lists the ones made.

import { page } from "../page.js"
import { get, post } from "../../lib/api.js"
import { el, fill, find } from "../../lib/html.js"
import { instant, t, when } from "../../lib/i18n.js"
import { Live } from "../live.js"
import { businessName, businessOptions, learn } from "./businesses.js"
import { copyable } from "./copyable.js"
import { mark } from "./marks.js"
import { attempt } from "./tell.js"

const COLUMNS = ["invite.name", "invite.business", "invite.until", "invite.state"]

class InvitationDesk extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    const form = /** @type {HTMLFormElement} */ (find("form", this))
    form.addEventListener("submit", (event) => this.#create(event), { signal })
    this.#begin()
  }

  async #begin() {
    // A supervisor has no desk, but the floor.
    const { businesses } = (await attempt(get(page.role === "supervisor" ? "/api/supervision" : "/api/teller"))) ?? {}
    learn(businesses)
    const choice = find("[name=business]", this)
    choice.append(...businessOptions().map(({ value, words }) => el("option", { value }, words)))
    await this.#list()
  }

  /** @param {SubmitEvent} event */
  async #create(event) {
    event.preventDefault()
    const form = /** @type {HTMLFormElement} */ (event.currentTarget)
    const said = new FormData(form)
    const made = await attempt(
      post("/api/invitations", {
        name: String(said.get("name")).trim(),
        phone: String(said.get("phone")).trim() || null,
        business: String(said.get("business")) || null,
        hours: Number(said.get("hours")),
      }),
    )
    if (!made) return
    form.reset()
    this.#hand(made)
    await this.#list()
  }

  /** @param {{url: string, expires_at: string}} made */
  #hand({ url, expires_at }) {
    const place = find("[data-part=made]", this)
    place.hidden = false
    fill(
      place,
      el("h3", {}, t("invite.made")),
      copyable(t("invite.link"), url),
      el("p", { class: "small quiet" }, t("invite.once", { until: when(expires_at) })),
    )
  }

  async #list() {
    const invitations = (await attempt(get("/api/invitations"))) ?? []
    if (invitations.length === 0) return
    fill(
      find("[data-part=list]", this),
      el(
        "table",
        { class: "table" },
        el("caption", {}, t("invite.sent")),
        el("thead", {}, el("tr", {}, ...COLUMNS.map((key) => el("th", { scope: "col" }, t(key))))),
        el("tbody", {}, ...invitations.map(row)),
      ),
    )
  }
}

/** @param {any} invitation */
function row({ customer_masked, business, expires_at, used_at }) {
  const state = used_at
    ? mark("good", t("invite.used"))
    : instant(expires_at) < Date.now()
      ? mark("none", t("invite.expired"))
      : mark("busy", t("invite.waiting"))
  const cells = [customer_masked, businessName(business), when(expires_at), state]
  return el("tr", {}, ...cells.map((cell, at) => el("td", { data: { label: t(COLUMNS[at]) } }, cell)))
}

customElements.define("invitation-desk", InvitationDesk)
