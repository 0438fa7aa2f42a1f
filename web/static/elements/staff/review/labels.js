import { known, t } from "../../../lib/i18n.js"

const LABEL = /^([a-z_]+?)( screen)?(?: (\d+))?$/

/**
 * Who a recorded stream shows, in words: "teller", "co_customer 2", "teller screen".
 * @param {string} label
 */
export function labelWords(label) {
  const [, role = "", screen, number] = LABEL.exec(label) ?? []
  if (!known(`role.${role}`)) return label
  const who = number ? `${t(`role.${role}`)} ${number}` : t(`role.${role}`)
  return screen ? t("people.screen_of", { name: who }) : who
}

/** @param {string} label */
export function isScreen(label) {
  return LABEL.exec(label)?.[2] !== undefined
}

/**
 * The role of everybody who took part, by id, as far as the record says it.
 * @param {import("./chapters.js").Entry[]} timeline
 * @param {{participant: string, role: string}[]} quality
 * @returns {Map<string, string>}
 */
export function rolesOf(timeline, quality) {
  const told = timeline.map(({ data }) => /** @type {const} */ ([data.participant ?? data.staff ?? data.guest, data.role]))
  const supervisors = timeline.map(({ data }) => /** @type {const} */ ([data.supervisor, "supervisor"]))
  const measured = quality.map(({ participant, role }) => /** @type {const} */ ([participant, role]))
  return new Map([...told, ...supervisors, ...measured].filter(([id, role]) => id && role))
}
