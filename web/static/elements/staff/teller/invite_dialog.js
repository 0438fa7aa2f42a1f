// Bringing somebody into the call: a colleague whose page rings, or a second borrower by link.

import { post } from "../../../lib/api.js"
import { el, fill, icon } from "../../../lib/html.js"
import { t, when } from "../../../lib/i18n.js"
import { colleagueLine, colleagues, isFree } from "../colleagues.js"
import { copyable } from "../copyable.js"
import { open } from "../dialog.js"
import { attempt, tell } from "../tell.js"

/** @param {string} session */
export async function openInvite(session) {
  const list = el("ul", { class: "colleagues", role: "list" }, el("li", { class: "skeleton" }))
  const close = el("button", { type: "button", class: "button" }, t("common.close"))
  const dialog = open(
    { title: t("join.title"), kind: "people-dialog" },
    el("h3", {}, t("join.colleague")),
    el("p", { class: "quiet small" }, t("join.colleague_about")),
    list,
    el("h3", {}, t("join.guest")),
    el("p", { class: "quiet small" }, t("join.guest_about")),
    guestForm(session),
    el("div", { class: "actions" }, close),
  )
  close.addEventListener("click", () => dialog.close())
  const found = (await attempt(colleagues())) ?? []
  const invite = (/** @type {import("../colleagues.js").Colleague} */ one) => () => ring(session, one, dialog)
  const lines = found.map((one) => {
    const button = el("button", { type: "button", class: "button small", onclick: invite(one) }, t("join.ring"))
    button.setAttribute("aria-label", t("join.ring_one", { name: one.name }))
    button.disabled = !isFree(one)
    return el("li", {}, el("span", { class: "choice-line" }, ...colleagueLine(one)), button)
  })
  fill(list, ...(lines.length ? lines : [el("li", { class: "quiet small" }, t("transfer.nobody"))]))
}

/**
 * @param {string} session
 * @param {{id: string, name: string}} colleague
 * @param {HTMLDialogElement} dialog
 */
async function ring(session, { id, name }, dialog) {
  const done = await attempt(post(`/api/sessions/${session}/invite`, { staff: id }).then(() => true))
  if (!done) return
  dialog.close()
  tell(t("join.rung", { name }))
}

/** @param {string} session */
function guestForm(session) {
  const name = el("input", { class: "input", name: "name", maxlength: 64, required: true, autocomplete: "off" })
  const phone = el("input", { class: "input", name: "phone", inputmode: "tel", maxlength: 20, autocomplete: "off", pattern: "[+0-9 \\-]{6,20}" })
  const made = el("div", { role: "status", class: "stack close" })
  const form = el(
    "form",
    { class: "guest-form" },
    el("label", { class: "field" }, el("span", { class: "label" }, t("join.guest_name")), name),
    el("label", { class: "field" }, el("span", { class: "label" }, t("join.guest_phone")), phone),
    el("button", { class: "button" }, icon("link"), t("invite.create")),
  )
  form.addEventListener("submit", async (event) => {
    event.preventDefault()
    const body = { name: name.value.trim(), phone: phone.value.trim() || null }
    const link = await attempt(post(`/api/sessions/${session}/guests`, body))
    if (!link) return
    form.reset()
    const until = when(link.expires_at, { timeStyle: "short" })
    fill(made, copyable(t("invite.link"), link.url), el("p", { class: "small quiet" }, t("invite.once", { until })))
  })
  return el("div", { class: "stack close" }, form, made)
}
