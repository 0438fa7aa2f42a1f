// What the server wrote into this page. Every page's module imports this one first.

import { useToken } from "../lib/api.js"
import { load } from "../lib/i18n.js"

/** @param {string} name */
function meta(name) {
  const tag = /** @type {HTMLMetaElement|null} */ (document.querySelector(`meta[name="${name}"]`))
  return tag?.content ?? ""
}

/** Who looks at this page: as the server knew it when it made the page. */
export const page = Object.freeze({
  name: meta("page"),
  role: meta("role"),
  person: meta("person"),
  demo: meta("demo") === "true",
  lang: document.documentElement.lang.startsWith("en") ? "en" : "zh",
})

useToken(meta("csrf"))
load(JSON.parse(document.getElementById("locale")?.textContent || "{}"), page.lang)
