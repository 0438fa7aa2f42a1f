// <people-coming>: whoever is called into the call, or to take it over, and has not answered yet.

import { post } from "../../../lib/api.js"
import { el, fill, icon } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { attempt } from "../tell.js"

class PeopleComing extends Live {
  #shown = ""

  connect() {
    this.setAttribute("role", "status")
    this.hidden = true
  }

  /** @param {any} view of the session */
  show({ id, state, mine, transfer, people = [] }) {
    const waiting = people.filter((/** @type {any} */ one) => !one.joined && one.role !== "customer")
    const wanted = state === "talking" && mine ? { transfer, waiting } : {}
    const key = JSON.stringify(wanted)
    if (key === this.#shown) return
    this.#shown = key
    this.hidden = !wanted.transfer && !wanted.waiting?.length
    fill(
      this,
      wanted.transfer && this.#transfer(id, wanted.transfer),
      ...(wanted.waiting ?? []).map((/** @type {any} */ one) => this.#invited(id, one)),
    )
  }

  /**
   * @param {string} session
   * @param {{to: string|null}} transfer
   */
  #transfer(session, { to }) {
    const words = to ? t("transfer.ringing", { name: to }) : t("transfer.ringing_next")
    return line("transfer", words, t("transfer.cancel"), () => post(`/api/sessions/${session}/transfer/cancel`))
  }

  /**
   * @param {string} session
   * @param {{id: string, name: string, role: string}} person
   */
  #invited(session, { id, name, role }) {
    const words = t("join.waiting", { name, role: t(`role.${role}`) })
    const guest = role === "co_customer"
    const cancel = () =>
      guest ? post(`/api/sessions/${session}/participants/${id}/remove`) : post(`/api/sessions/${session}/invite/cancel`, { staff: id })
    return line("person-add", words, t("join.cancel"), cancel)
  }
}

/**
 * @param {string} picture
 * @param {string} words
 * @param {string} cancel
 * @param {() => Promise<unknown>} act
 */
function line(picture, words, cancel, act) {
  const button = el("button", { type: "button", class: "button small", onclick: () => attempt(act()) }, cancel)
  return el("div", { class: "coming" }, icon(picture), el("span", {}, words), button)
}

customElements.define("people-coming", PeopleComing)
