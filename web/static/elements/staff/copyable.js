import { el, icon } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"

const SAID = 2000 // milliseconds "copied" stays

/**
 * Something to take along: shown whole, selected by a click, copied by a button.
 * @param {string} label
 * @param {string} text
 */
export function copyable(label, text) {
  const field = el("input", { class: "input mono", readonly: true, value: text, "aria-label": label })
  field.addEventListener("focus", () => field.select())
  const words = el("span", { "aria-live": "polite" }, t("staff.copy"))
  const button = el("button", { type: "button", class: "button" }, icon("card"), words)
  button.addEventListener("click", async () => {
    field.select()
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false)
    words.textContent = t(done ? "staff.copied" : "staff.copy_by_hand")
    setTimeout(() => (words.textContent = t("staff.copy")), SAID)
  })
  return el("div", { class: "copyable" }, field, button)
}
