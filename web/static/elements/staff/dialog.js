import { el } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"

let named = 0

/**
 * A modal dialog over the page; it leaves the document when it is closed.
 * @param {object} content
 * @param {string} content.title
 * @param {string} [content.kind] a class of its own
 * @param {...(Node|string)} children
 * @returns {HTMLDialogElement} already open
 */
export function open({ title, kind = "" }, ...children) {
  const id = `dialog-${++named}`
  const dialog = el(
    "dialog",
    { class: `dialog ${kind}`, "aria-labelledby": id },
    el("h2", { id }, title),
    ...children,
  )
  dialog.addEventListener("close", () => dialog.remove(), { once: true })
  document.body.append(dialog)
  dialog.showModal()
  return dialog
}

/**
 * Asks for a sentence (a reason) and answers with it, or with null when the person went back.
 * @param {object} question
 * @param {string} question.title
 * @param {string} [question.why] one sentence that says what happens with the answer
 * @param {string} question.label
 * @param {string} question.confirm
 * @param {Node} [question.before] shown above the field; its own inputs keep their values
 * @param {string} [question.tone] "danger" for what cannot be undone
 * @returns {Promise<string|null>}
 */
export function askReason({ title, why = "", label, confirm, before, tone = "" }) {
  const field = el("textarea", { class: "input", rows: 3, required: true, maxlength: 500, name: "reason" })
  const form = el(
    "form",
    { method: "dialog", class: "stack" },
    why && el("p", { class: "quiet" }, why),
    before ?? null,
    el("label", { class: "field" }, el("span", {}, label), field),
    buttons(confirm, tone),
  )
  const dialog = open({ title }, form)
  if (!before) field.focus()
  return answer(dialog, form, () => field.value.trim())
}

/**
 * @param {object} question
 * @param {string} question.title
 * @param {string} question.text
 * @param {string} question.confirm
 * @param {string} [question.tone]
 * @returns {Promise<boolean>}
 */
export async function confirmed({ title, text, confirm, tone = "" }) {
  const form = el("form", { method: "dialog", class: "stack" }, el("p", {}, text), buttons(confirm, tone))
  const said = await answer(open({ title }, form), form, () => "yes")
  return said !== null
}

/**
 * @param {string} confirm
 * @param {string} tone
 */
function buttons(confirm, tone) {
  const back = el("button", { type: "button", class: "button" }, t("staff.back"))
  back.addEventListener("click", () => back.closest("dialog")?.close())
  const go = el("button", { class: `button primary ${tone}`, value: "go" }, confirm)
  return el("div", { class: "actions" }, back, go)
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLFormElement} form
 * @param {() => string} read
 * @returns {Promise<string|null>}
 */
function answer(dialog, form, read) {
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault()
      const said = read()
      if (!said) return
      resolve(said)
      dialog.close()
    })
    dialog.addEventListener("close", () => resolve(null))
  })
}
