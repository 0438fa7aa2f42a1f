// The page's words. page.js loads them before any element is defined. No DOM here.

/** @type {Record<string, string>} */
let strings = {}
let language = "zh"

/**
 * @param {Record<string, string>} words key → sentence with {placeholders}
 * @param {string} lang zh or en
 */
export function load(words, lang) {
  strings = words
  language = lang
}

export function lang() {
  return language
}

/** @param {string} key */
export function known(key) {
  return Object.hasOwn(strings, key)
}

/**
 * @param {string} key a key that is missing shows itself, so that it is seen and mended
 * @param {Record<string, unknown>} [args]
 * @returns {string}
 */
export function t(key, args = {}) {
  const sentence = strings[key] ?? key
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => String(args[name] ?? whole))
}

/**
 * The words in the page's language out of {zh, en}.
 * @param {{zh: string, en?: string}|string|null|undefined} words
 */
export function pick(words) {
  if (!words || typeof words === "string") return words ?? ""
  return (language === "en" ? words.en : words.zh) ?? words.zh
}

/**
 * A sentence for whatever went wrong: our own words for its code, else the server's, else a
 * general one. Never a bare code.
 * @param {unknown} error
 */
export function explain(error) {
  const { code = "unknown", details = {} } = /** @type {any} */ (error) ?? {}
  if (known(`error.${code}`)) return t(`error.${code}`, details)
  const said = language === "en" ? details.message_en : details.message_zh
  return said || details.message || t("error.unknown")
}

/**
 * 75 → "1:15"
 * @param {number} seconds
 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds))
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0")
  return h ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`
}

/**
 * @param {string|number} at ISO time, or microseconds since 1970 as the bank counts
 * @param {Intl.DateTimeFormatOptions} [how]
 */
export function when(at, how = { dateStyle: "medium", timeStyle: "short" }) {
  const words = new Intl.DateTimeFormat(language === "en" ? "en-GB" : "zh-CN", how)
  return words.format(instant(at))
}

/**
 * @param {string|number} at ISO time, or microseconds since 1970
 * @returns {number} milliseconds since 1970, as Date counts
 */
export function instant(at) {
  return typeof at === "number" ? at / 1000 : Date.parse(at)
}
