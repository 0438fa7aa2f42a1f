// Passing the customer to a colleague: to whom, and what they should know.

import { post } from "../../../lib/api.js"
import { el, fill } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { colleagueLine, colleagues, isFree } from "../colleagues.js"
import { open } from "../dialog.js"
import { attempt } from "../tell.js"

const AGAIN = 4 * 1000 // ms between two looks at who is free
const LONGEST = 500 // characters

/** @param {string} session */
export async function openTransfer(session) {
  const note = el("textarea", { class: "input", name: "note", rows: 2, maxlength: LONGEST, placeholder: t("transfer.note_hint") })
  const list = el("fieldset", { class: "people-choices" })
  const back = el("button", { type: "button", class: "button" }, t("staff.back"))
  const form = el(
    "form",
    { method: "dialog", class: "stack" },
    el("p", { class: "quiet" }, t("transfer.about")),
    list,
    el("label", { class: "field" }, el("span", { class: "label" }, t("transfer.note")), note),
    el("div", { class: "actions" }, back, el("button", { class: "button primary" }, t("transfer.ring"))),
  )
  const dialog = open({ title: t("transfer.title"), kind: "people-dialog" }, form)
  back.addEventListener("click", () => dialog.close())
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    const to = new FormData(form).get("to")
    dialog.close()
    void attempt(post(`/api/sessions/${session}/transfer`, { to: to || null, note: note.value.trim() }))
  })
  await choices(list)
  const timer = setInterval(() => choices(list), AGAIN)
  dialog.addEventListener("close", () => clearInterval(timer), { once: true })
}

/** @param {HTMLElement} list */
async function choices(list) {
  const found = (await attempt(colleagues())) ?? []
  const chosen = list.querySelector("input:checked")?.getAttribute("value") ?? ""
  const focused = list.contains(document.activeElement)
  const option = (/** @type {string} */ id, /** @type {boolean} */ free, /** @type {Node[]} */ words) =>
    el("label", { class: "choice" }, el("input", { type: "radio", name: "to", value: id, disabled: !free, checked: free && id === chosen }), el("span", { class: "choice-line" }, ...words))
  fill(
    list,
    el("legend", { class: "unseen" }, t("transfer.to")),
    option("", true, [el("span", { class: "name" }, t("transfer.next")), el("span", { class: "quiet small" }, t("transfer.next_about"))]),
    ...found.map((one) => option(one.id, isFree(one), colleagueLine(one))),
    found.length === 0 && el("p", { class: "quiet small" }, t("transfer.nobody")),
  )
  if (!list.querySelector("input:checked")) list.querySelector("input")?.setAttribute("checked", "")
  if (focused) /** @type {HTMLElement|null} */ (list.querySelector("input:checked"))?.focus()
}
