// The verdict of the seal as a badge; behind it, the proof.

import { post } from "../../../lib/api.js"
import { el, fill, icon, make } from "../../../lib/html.js"
import { clock, known, t } from "../../../lib/i18n.js"
import { open } from "../dialog.js"
import { sealMark } from "../marks.js"
import { attempt } from "../tell.js"
import { TimeProof } from "./stamp.js"

/**
 * @typedef {object} Seal
 * @property {string} verdict
 * @property {Part[]} parts
 *
 * @typedef {object} Part
 * @property {string} name
 * @property {string} verdict
 * @property {string} reason
 * @property {number|null} record the first record that is wrong
 * @property {number|null} time_us where in the session that is
 * @property {number} records
 * @property {string|null} chain
 * @property {string|null} signer
 * @property {number|null} [suite] of the cryptography
 */

/**
 * What was found when the session was sealed is shown at once; every byte is then checked anew.
 * @param {string} session
 * @param {Seal} seal
 */
export function sealBadge(session, seal) {
  const button = el("button", { type: "button", class: "seal", data: { name: "seal" } })
  let current = seal
  const show = (/** @type {Seal} */ fresh) => {
    current = fresh
    fill(button, icon("seal"), el("span", {}, t("seal.title")), sealMark(fresh?.verdict))
  }
  button.addEventListener("click", () => openProof(session, current, show))
  show(seal)
  if (seal?.verdict) check(session, button, show)
  return button
}

/**
 * @param {string} session
 * @param {HTMLElement} button
 * @param {(seal: Seal) => void} show
 */
async function check(session, button, show) {
  button.setAttribute("aria-busy", "true")
  const fresh = await attempt(post(`/api/reviews/${session}/verify`))
  button.removeAttribute("aria-busy")
  if (fresh) show(fresh)
}

/**
 * @param {string} session
 * @param {Seal} seal
 * @param {(seal: Seal) => void} renewed
 */
function openProof(session, seal, renewed) {
  const body = el("div", { class: "proof" }, ...proof(seal))
  const again = el("button", { type: "button", class: "button" }, icon("refresh"), t("seal.verify_again"))
  const close = el("button", { type: "button", class: "button primary" }, t("common.close"))
  const dialog = open({ title: t("seal.proof"), kind: "wide" }, body, make(TimeProof, { session }), el("div", { class: "actions" }, again, close))
  close.addEventListener("click", () => dialog.close())
  again.addEventListener("click", async () => {
    again.setAttribute("aria-busy", "true")
    const fresh = await attempt(post(`/api/reviews/${session}/verify`))
    again.removeAttribute("aria-busy")
    if (!fresh) return
    renewed(fresh)
    fill(body, ...proof(fresh))
  })
}

/** @param {Seal} seal */
function proof(seal) {
  return [
    el("p", { class: "row" }, sealMark(seal?.verdict), el("span", {}, t(`seal.about.${seal?.verdict ?? "open"}`))),
    ...(seal?.parts ?? []).map(part),
  ]
}

/** @param {Part} part */
function part({ name, verdict, reason, record, time_us, records, chain, signer, suite }) {
  const wrong = record === null || record === undefined ? "" : t("seal.at_record", { record })
  const where = time_us === null || time_us === undefined ? "" : clock(time_us / 1e6)
  const rows = [
    [t("seal.records"), String(records ?? "–")],
    reason && [t("seal.reason"), known(`seal.reason.${reason}`) ? t(`seal.reason.${reason}`) : reason.replaceAll("_", " ")],
    (wrong || where) && [t("seal.where"), [wrong, where].filter(Boolean).join(" · ")],
    [t("seal.chain"), el("code", {}, chain ?? "–")],
    [t("seal.signer"), el("code", {}, signer ?? "–")],
    suite === 2 ? [t("seal.suite"), t("seal.suite_2")] : "",
  ].filter(Boolean)
  return el(
    "section",
    { class: "part" },
    el("header", { class: "row apart" }, el("h3", {}, name), sealMark(verdict)),
    el("dl", { class: "facts" }, ...rows.flatMap(([term, words]) => [el("dt", {}, term), el("dd", {}, words)])),
  )
}
