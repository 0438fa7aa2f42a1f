import { el, icon } from "../../lib/html.js"
import { explain, t } from "../../lib/i18n.js"

const STAYS = 6 * 1000 // milliseconds a good word stays; a failure stays until it is closed

/**
 * One line at the foot of the page, read out politely.
 * @param {string} words
 * @param {"good"|"bad"} [tone]
 */
export function tell(words, tone = "good") {
  const close = el("button", { class: "plain", "aria-label": t("staff.dismiss") }, icon("close"))
  const line = el("p", { class: "telling", data: { tone } }, el("span", {}, words), close)
  close.addEventListener("click", () => line.remove())
  board().append(line)
  if (tone === "good") setTimeout(() => line.remove(), STAYS)
}

/**
 * Runs what a button asked for; when it fails, says so in words.
 * @template T
 * @param {Promise<T>} work
 * @returns {Promise<T|undefined>}
 */
export async function attempt(work) {
  try {
    return await work
  } catch (error) {
    tell(explain(error), "bad")
    return undefined
  }
}

function board() {
  const there = document.querySelector(".tellings")
  if (there) return there
  const made = el("div", { class: "tellings", role: "status", "aria-live": "polite" })
  document.body.append(made)
  return made
}
