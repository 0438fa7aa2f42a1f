import { pick, t } from "../../lib/i18n.js"

/** @typedef {Record<string, {name: {zh: string, en: string}}>} Catalogue */

/** @type {Catalogue} */
let catalogue = {}

/**
 * What this bank does by video, as the server lists it.
 * @param {Catalogue|undefined} businesses
 */
export function learn(businesses) {
  catalogue = businesses ?? catalogue
}

/**
 * @param {string|null|undefined} id
 * @returns {string} in the page's language
 */
export function businessName(id) {
  if (!id) return t("business.any")
  return pick(catalogue[id]?.name) || id.replaceAll("_", " ")
}

/** Options for a `<select>`. */
export function businessOptions() {
  return Object.keys(catalogue).map((value) => ({ value, words: businessName(value) }))
}
