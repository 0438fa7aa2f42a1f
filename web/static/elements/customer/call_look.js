// What a customer is told of each person in the call, in words.

import { t } from "../../lib/i18n.js"

/**
 * @typedef {import("../../lib/call.js").Person} Person
 * @typedef {import("../../lib/visit.js").Session} Session
 * @typedef {import("../people/tile.js").Look} Look
 */

const CUSTOMERS = ["customer", "co_customer"]

/** People with a picture of their own; who only listens or whispers is told of in words. */
export function seen(/** @type {Person[]} */ people) {
  return people.filter(({ presence }) => presence === "joined" || presence === undefined)
}

/**
 * Who serves: the session's teller, else anybody of the bank.
 * @param {Person[]} people
 * @param {Session|null} session
 */
export function tellerOf(people, session) {
  const staff = people.filter(({ role }) => !CUSTOMERS.includes(role))
  const { id, name } = session?.teller ?? {}
  return (
    staff.find((person) => person.id === id) ??
    staff.find((person) => person.name === name && person.role === "teller") ??
    staff.find(({ role }) => role === "teller") ??
    staff[0]
  )
}

/**
 * @param {Person} person
 * @param {boolean} main this is the teller
 * @param {boolean} held
 * @returns {Look}
 */
export function lookOf(person, main, held) {
  const { name, role } = person
  return {
    name,
    about: t(`role.${role}`),
    label: main ? t("customer.call.teller_picture") : t("people.picture", { name }),
    marks: marksOf(person),
    curtain: main ? tellerCurtain(person, held, name) : curtain(person, held),
  }
}

/** @param {Person} person */
function marksOf({ microphone, connected, screen }) {
  const marks = [
    connected && !microphone && { picture: "microphone-off", words: t("people.muted") },
    screen && { picture: "screen", words: t("people.sharing") },
  ]
  return marks.filter((mark) => mark !== false)
}

/**
 * What hangs before the teller's picture while there is none.
 * @param {Person|undefined} person
 * @param {boolean} held
 * @param {string} name
 */
export function tellerCurtain(person, held, name) {
  const live = person?.connected && person.camera
  if (live && !held) return null
  const why = held ? "hold" : !person?.connected ? "coming" : "no_camera"
  return {
    picture: held ? "pause" : "person",
    title: t(`customer.call.${why}`, { name }),
    about: t(`customer.call.${why}_about`),
  }
}

/**
 * @param {Person} person
 * @param {boolean} held
 */
function curtain({ connected, camera }, held) {
  if (held) return { picture: "pause", title: t("common.on_hold") }
  if (!connected) return { picture: "network", title: t("people.connecting") }
  return camera ? null : { picture: "camera-off", title: t("people.camera_off") }
}

/**
 * That somebody of the bank listens; "" when nobody does.
 * @param {Person[]} people
 */
export function watchedBy(people) {
  const watching = people.find(({ presence }) => presence === "listening" || presence === "whispering")
  return watching ? t(`customer.call.${watching.presence}`, { name: watching.name }) : ""
}
