// What a customer agreed to, refused or took back, in all visits, oldest first.

import { get } from "../../../lib/api.js"
import { el, fill } from "../../../lib/html.js"
import { t, when } from "../../../lib/i18n.js"
import { mark } from "../marks.js"
import { attempt } from "../tell.js"

const TONES = /** @type {Record<string, import("../marks.js").Tone>} */ ({ agreed: "good", refused: "none", withdrawn: "look" })

/** @typedef {{subject: string, answer: string, version: string, text_hash: string, session: string|null, at: number}} Answer */

/** @param {string} session */
export function consentLedger(session) {
  const list = el("ol", { class: "ledger", role: "list" })
  const place = el("details", { class: "found" }, el("summary", {}, t("consents.title")), list)
  place.addEventListener("toggle", () => place.open && load(session, list), { once: true })
  return place
}

/**
 * @param {string} session
 * @param {HTMLElement} list
 */
async function load(session, list) {
  const answers = /** @type {Answer[]|undefined} */ (await attempt(get(`/api/sessions/${session}/consents`)))
  if (!answers) return
  fill(list, ...(answers.length ? answers.map(line) : [el("li", { class: "quiet" }, t("consents.none"))]))
}

/** @param {Answer} answer */
function line({ subject, answer, version, text_hash, at }) {
  return el(
    "li",
    {},
    el("span", { class: "quiet small number" }, when(at)),
    el("span", {}, t(`consents.${subject}`)),
    mark(TONES[answer] ?? "none", t(`consents.${answer}`)),
    el("span", { class: "quiet small" }, t("consents.version", { version, hash: text_hash.slice(0, 12) })),
  )
}
