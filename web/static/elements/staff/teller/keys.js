// One key, one act. Single keys can be switched off: a person who speaks to the computer would
// otherwise end a call with a word.

import { el } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { open } from "../dialog.js"

const CHOICE = "teller-keys"
const SIGNS = /** @type {Record<string, string>} */ ({ " ": "␣", arrowleft: "←", arrowright: "→" })

/** @typedef {{key: string, name: string, act: () => void}} Key */

/**
 * @param {AbortSignal} signal
 * @param {Key[]} keys
 */
export function listenForKeys(signal, keys) {
  document.addEventListener("keydown", (event) => press(event, keys), { signal })
}

/**
 * @param {KeyboardEvent} event
 * @param {Key[]} keys
 */
function press(event, keys) {
  const target = /** @type {HTMLElement} */ (event.target)
  if (event.key === "Escape" && isField(target)) return target.blur()
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) return
  if (isField(target) || document.querySelector("dialog[open]")) return
  if (event.key === " " && target.matches?.("button, summary, a")) return // it presses that
  const found = keys.find(({ key }) => key === event.key.toLowerCase())
  if (!found || (!switchedOn() && found.key !== "?")) return
  event.preventDefault()
  found.act()
}

/** @param {HTMLElement} target */
function isField(target) {
  return target.matches?.("input:not([type=range], [type=checkbox], [type=radio]), textarea, select")
}

function switchedOn() {
  try {
    return localStorage.getItem(CHOICE) !== "off"
  } catch {
    return true
  }
}

/** @param {boolean} on */
function switchKeys(on) {
  try {
    localStorage.setItem(CHOICE, on ? "on" : "off")
  } catch {
    // storage switched off: the choice cannot be kept, keys stay on
  }
}

/** @param {{key: string, name: string}[]} keys those without a name are not listed */
export function showKeys(keys) {
  if (document.querySelector("dialog[open]")) return
  const rows = keys.filter(({ name }) => name)
  const on = el("input", { type: "checkbox", checked: switchedOn() })
  on.addEventListener("change", () => switchKeys(on.checked))
  const close = el("button", { type: "button", class: "button", autofocus: true }, t("common.close"))
  const dialog = open(
    { title: t("teller.shortcuts"), kind: "keys" },
    el(
      "dl",
      { class: "key-list" },
      ...rows.flatMap(({ key, name }) => [
        el("dt", {}, el("kbd", {}, SIGNS[key] ?? (key.length > 1 ? key : key.toUpperCase()))),
        el("dd", {}, t(`key.${name}`)),
      ]),
    ),
    el("label", { class: "row" }, on, el("span", {}, t("teller.single_keys"))),
    el("div", { class: "actions" }, close),
  )
  close.addEventListener("click", () => dialog.close())
}
