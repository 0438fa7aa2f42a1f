// What a member of staff is told of each person in a call, in words.

import { t } from "../../lib/i18n.js"

/**
 * @typedef {import("../../lib/call.js").Person} Person
 * @typedef {import("../people/tile.js").Look} Look
 * @typedef {import("../people/tile.js").Mark} Mark
 */

/**
 * @param {Person} person
 * @param {boolean} held everybody but staff waits
 * @returns {Look}
 */
export function lookOf(person, held = false) {
  const { role, name } = person
  return {
    name,
    about: t(`role.${role}`),
    label: role === "customer" ? t("stage.customer_picture") : t("people.picture", { name }),
    marks: marksOf(person),
    curtain: held && isHeld(person) ? { picture: "pause", title: t("common.on_hold"), about: t("stage.hold_about") } : curtainOf(person),
  }
}

/** @param {Person} person */
function marksOf(person) {
  const { presence, microphone, muted = [] } = person
  /** @type {(Mark|false)[]} */
  const marks = [
    presence === "listening" && { picture: "ear", words: t("people.listening"), tone: "look" },
    presence === "whispering" && { picture: "whisper", words: t("people.whispering"), tone: "look" },
    muted.includes("audio") && { picture: "microphone-off", words: t("people.silenced"), tone: "look" },
    muted.includes("video") && { picture: "camera-off", words: t("people.blanked"), tone: "look" },
    presence === "joined" && !microphone && !muted.includes("audio") && { picture: "microphone-off", words: t("people.muted") },
    person.screen && { picture: "screen", words: t("people.sharing") },
  ]
  return marks.filter((mark) => mark !== false)
}

/** @param {Person} person */
function curtainOf({ name, role, presence, connected, camera }) {
  if (presence === "listening") return { picture: "ear", title: name, about: t("people.listening_about") }
  if (presence === "whispering") return { picture: "whisper", title: name, about: t("people.whispering_about") }
  if (!connected) return { picture: "network", title: t("people.connecting"), about: role === "customer" ? t("stage.customer_away") : name }
  if (!camera) return { picture: "camera-off", title: t("people.camera_off"), about: role === "customer" ? t("stage.customer_camera_off") : name }
  return null
}

/** @param {{role: string}} person */
export function isHeld({ role }) {
  return role === "customer" || role === "co_customer"
}
