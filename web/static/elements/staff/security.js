// <own-security>: a staff member's own password, second factor and sign-ins.

import "../page.js"
import { get, post } from "../../lib/api.js"
import { el, find } from "../../lib/html.js"
import { explain, t } from "../../lib/i18n.js"
import { Live } from "../live.js"
import { copyable } from "./copyable.js"
import { confirmed, open } from "./dialog.js"
import { mark } from "./marks.js"
import { leave } from "./signed_in.js"
import { attempt, tell } from "./tell.js"

const SVG = "http://www.w3.org/2000/svg"

class OwnSecurity extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    const acts = { enrol: () => this.#enrol(), password: changePassword, everywhere: signOutEverywhere }
    for (const [name, act] of Object.entries(acts))
      find(`[data-act=${name}]`, this).addEventListener("click", act, { signal })
    this.#state()
  }

  async #state() {
    const me = await attempt(get("/api/me"))
    if (!me || me.totp === undefined) return
    const words = me.totp ? mark("good", t("security.totp_on")) : mark("look", t("security.totp_off"))
    find("[data-part=totp-state]", this).replaceChildren(words)
    // Replacing one that is in force takes an administrator: a stolen login must not be able to.
    find("[data-act=enrol]", this).hidden = me.totp
  }

  async #enrol() {
    const secret = await attempt(post("/api/totp/enrol"))
    if (!secret) return
    const form = enrolForm(secret)
    const dialog = open({ title: t("security.enrol_title") }, form)
    find("[name=code]", form).focus()
    form.addEventListener("submit", async (event) => {
      event.preventDefault()
      if (!(await send(form, "/api/totp/confirm", { code: String(new FormData(form).get("code")) }))) return
      dialog.close()
      tell(t("security.enrolled"))
      this.#state()
    })
  }
}

/** @param {{secret: string, qr_svg: string}} secret */
function enrolForm({ secret, qr_svg }) {
  // As a picture, not as markup: nothing in it can run, whatever the server sent.
  const drawing = qr_svg.includes("xmlns") ? qr_svg : qr_svg.replace("<svg", `<svg xmlns="${SVG}"`)
  const url = URL.createObjectURL(new Blob([drawing], { type: "image/svg+xml" }))
  const code = el("img", { class: "qr", src: url, alt: t("security.qr"), width: 200, height: 200 })
  code.addEventListener("load", () => URL.revokeObjectURL(url), { once: true })
  return el(
    "form",
    { class: "stack" },
    el("p", {}, t("security.enrol_how")),
    code,
    copyable(t("security.secret"), secret),
    field("code", t("sign_in.totp"), {
      inputmode: "numeric",
      autocomplete: "one-time-code",
      pattern: "[0-9]{6}",
      maxlength: 6,
      class: "input code",
    }),
    problem(),
    actions(t("security.confirm_code")),
  )
}

function changePassword() {
  const rule = { type: "password", autocomplete: "new-password", minlength: 12, maxlength: 128 }
  const form = el(
    "form",
    { class: "stack" },
    field("old", t("security.old_password"), { type: "password", autocomplete: "current-password" }),
    field("new", t("sign_in.new_password"), rule),
    el("p", { class: "small quiet" }, t("sign_in.password_rule")),
    field("again", t("sign_in.again"), rule),
    problem(),
    actions(t("security.change")),
  )
  const dialog = open({ title: t("security.password") }, form)
  form.addEventListener("submit", async (event) => {
    event.preventDefault()
    const said = new FormData(form)
    if (said.get("new") !== said.get("again")) return complain(form, t("sign_in.not_the_same"))
    if (!(await send(form, "/api/password", { old: said.get("old"), new: said.get("new") }))) return
    dialog.close()
    tell(t("security.changed"))
    // The old login has ended with its token and its socket; the page begins anew with the new one.
    setTimeout(() => location.reload(), 1500)
  })
}

async function signOutEverywhere() {
  const sure = await confirmed({
    title: t("security.everywhere"),
    text: t("security.everywhere_sure"),
    confirm: t("security.sign_out_everywhere"),
    tone: "danger",
  })
  if (!sure) return
  await attempt(post("/api/logout-everywhere").then(leave))
}

/**
 * @param {HTMLFormElement} form
 * @param {string} path
 * @param {object} body
 * @returns {Promise<boolean>}
 */
async function send(form, path, body) {
  try {
    await post(path, body)
    return true
  } catch (error) {
    complain(form, explain(error))
    return false
  }
}

/**
 * @param {string} name
 * @param {string} label
 * @param {Record<string, any>} attributes
 */
function field(name, label, attributes) {
  const id = `own-${name}`
  return el(
    "div",
    { class: "field" },
    el("label", { for: id }, label),
    el("input", { class: "input", id, name, required: true, ...attributes }),
  )
}

const problem = () => el("p", { class: "notice stop", role: "alert", data: { part: "problem" }, hidden: true })

/**
 * @param {HTMLFormElement} form
 * @param {string} words
 */
function complain(form, words) {
  const place = find("[data-part=problem]", form)
  place.hidden = false
  place.replaceChildren(el("span", {}, words))
}

/** @param {string} confirm */
function actions(confirm) {
  const back = el("button", { type: "button", class: "button" }, t("staff.back"))
  back.addEventListener("click", () => back.closest("dialog")?.close())
  return el("div", { class: "actions" }, back, el("button", { class: "button primary" }, confirm))
}

customElements.define("own-security", OwnSecurity)
