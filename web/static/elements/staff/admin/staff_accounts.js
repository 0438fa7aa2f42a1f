// <staff-accounts>: who works here. A one-time password is shown once and kept nowhere.

import "../../page.js"
import { get, post } from "../../../lib/api.js"
import { el, fill, find } from "../../../lib/html.js"
import { t, when } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { copyable } from "../copyable.js"
import { confirmed, open } from "../dialog.js"
import { mark } from "../marks.js"
import { attempt } from "../tell.js"

const COLUMNS = ["display_name", "name", "role", "totp", "last_seen", "state", "acts"]

class StaffAccounts extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    const form = /** @type {HTMLFormElement} */ (find("form", this))
    form.addEventListener("submit", (event) => this.#create(event, form), { signal })
    this.#list()
  }

  async #list() {
    const staff = await attempt(get("/api/staff"))
    if (staff) fill(find("[data-part=rows]", this), ...staff.map((/** @type {any} */ one) => this.#row(one)))
  }

  /**
   * @param {Event} event
   * @param {HTMLFormElement} form
   */
  async #create(event, form) {
    event.preventDefault()
    const said = new FormData(form)
    const account = { name: text(said, "name"), display_name: text(said, "display_name"), role: text(said, "role") }
    const made = await attempt(post("/api/staff", account))
    if (!made) return
    form.reset()
    showPassword(account.display_name, made.one_time_password)
    await this.#list()
  }

  /** @param {any} one */
  #row(one) {
    const cells = [
      el("strong", {}, one.display_name),
      el("code", {}, one.name),
      t(`role.${one.role}`),
      one.totp ? mark("good", t("admin.totp_on")) : mark("look", t("admin.totp_off")),
      one.last_seen ? el("time", { class: "number" }, when(one.last_seen)) : el("span", { class: "quiet" }, t("admin.never")),
      one.disabled ? mark("none", t("admin.disabled")) : mark("good", t("admin.active")),
      this.#acts(one),
    ]
    const label = (/** @type {number} */ at) => t(`admin.column.${COLUMNS[at]}`)
    return el("tr", { data: { account: one.name } }, ...cells.map((cell, at) => el("td", { data: { label: label(at) } }, cell)))
  }

  /** @param {any} one */
  #acts(one) {
    const act = (/** @type {string} */ name) =>
      el(
        "button",
        { type: "button", class: `button small ${name === "disable" ? "danger" : ""}`, "aria-label": `${t(`admin.${name}`)}: ${one.display_name}`, onclick: () => this.#act(one, name) },
        t(`admin.${name}`),
      )
    return el("span", { class: "row" }, act(one.disabled ? "enable" : "disable"), act("reset"))
  }

  /**
   * @param {any} one
   * @param {string} name
   */
  async #act(one, name) {
    const sure =
      name === "enable" ||
      (await confirmed({
        title: `${t(`admin.${name}`)}${t("staff.colon")}${one.display_name}`,
        text: t(`admin.${name}_sure`),
        confirm: t(`admin.${name}`),
        tone: name === "disable" ? "danger" : "",
      }))
    if (!sure) return
    const answer = await attempt(post(`/api/staff/${one.id}/${name}`))
    if (answer?.one_time_password) showPassword(one.display_name, answer.one_time_password)
    await this.#list()
  }
}

/**
 * @param {string} person
 * @param {string} password
 */
function showPassword(person, password) {
  const close = el("button", { type: "button", class: "button primary" }, t("admin.password_taken"))
  const dialog = open(
    { title: t("admin.password_title", { person }) },
    el("div", { class: "stack" }, el("p", {}, t("admin.password_once")), copyable(t("admin.password"), password)),
    el("div", { class: "actions" }, close),
  )
  close.addEventListener("click", () => dialog.close())
}

/**
 * @param {FormData} form
 * @param {string} name
 */
function text(form, name) {
  return String(form.get(name)).trim()
}

customElements.define("staff-accounts", StaffAccounts)
