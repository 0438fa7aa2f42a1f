// The way into a recording: a reason, and where the bank asks for it a second person's approval.

import { get, post } from "../../../lib/api.js"
import { el, icon } from "../../../lib/html.js"
import { explain, t, when } from "../../../lib/i18n.js"
import { askReason, open } from "../dialog.js"
import { attempt, tell } from "../tell.js"

const LOOK_MS = 4000
/** A page left open must not keep its login alive: it stops asking after a while. */
const PATIENCE_MS = 10 * 60 * 1000

/**
 * @param {string} session
 * @returns {Promise<any>} what POST /api/reviews/{session}/viewings answered, or null
 */
export async function openViewing(session) {
  const reason = await askReason({
    title: t("review.why_title"),
    why: t("review.why_about"),
    label: t("review.why"),
    confirm: t("review.open"),
  })
  return reason === null ? null : view(session, reason)
}

/**
 * @param {string} session
 * @param {string} reason
 * @returns {Promise<any>}
 */
async function view(session, reason) {
  try {
    return await post(`/api/reviews/${session}/viewings`, { reason })
  } catch (error) {
    const { code, details } = /** @type {any} */ (error)
    if (code !== "approval_needed") {
      tell(explain(error), "bad")
      return null
    }
    if (details.state !== "waiting") {
      const asked = await attempt(post(`/api/reviews/${session}/approvals`, { reason }))
      if (!asked) return null
    }
    return (await approved(session)) ? view(session, reason) : null
  }
}

/**
 * Waits beside the page until a colleague has decided; false when the person went on meanwhile.
 * @param {string} session
 * @returns {Promise<boolean>}
 */
function approved(session) {
  return new Promise((resolve) => {
    const said = el("p", { role: "status", class: "row" }, icon("clock"), t("approval.waiting"))
    const until = el("p", { class: "quiet" })
    const again = el("button", { type: "button", class: "button", hidden: true }, icon("refresh"), t("approval.look"))
    const close = el("button", { type: "button", class: "button" }, t("approval.later"))
    const dialog = open({ title: t("approval.title") }, el("div", { class: "stack" }, el("p", {}, t("approval.about")), said, until, el("div", { class: "actions" }, again, close)))
    let timer = 0
    const end = (/** @type {boolean} */ good) => {
      window.clearInterval(timer)
      resolve(good)
      if (dialog.open) dialog.close()
    }
    const look = async () => {
      const mine = await own(session)
      if (!dialog.open || !mine) return
      until.textContent = t("approval.until", { at: when(mine.expires_at) })
      if (mine.verdict === "approved") end(true)
      if (mine.verdict !== "refused") return
      window.clearInterval(timer)
      again.hidden = true
      said.replaceChildren(icon("close"), t("approval.was_refused", { who: mine.decider, reason: mine.decision_reason }))
      close.textContent = t("common.close")
    }
    const begin = () => {
      const began = Date.now()
      again.hidden = true
      look()
      timer = window.setInterval(() => {
        if (Date.now() - began < PATIENCE_MS) look()
        else {
          window.clearInterval(timer)
          again.hidden = false
        }
      }, LOOK_MS)
    }
    again.addEventListener("click", begin)
    close.addEventListener("click", () => dialog.close())
    dialog.addEventListener("close", () => end(false), { once: true })
    begin()
  })
}

/**
 * One's own newest request for a session.
 * @param {string} session
 */
async function own(session) {
  const found = await attempt(get("/api/approvals?state=open"))
  return found?.approvals.filter((/** @type {any} */ one) => one.own && one.session === session).at(-1)
}
