// <page-preferences>: language and large type, one tap away in the bar of every page.

import { lang, t } from "../lib/i18n.js"
import { el, fill, icon } from "../lib/html.js"
import { Live } from "./live.js"

const A_YEAR = 365 * 24 * 3600 // s

class PagePreferences extends Live {
  connect() {
    const large = document.documentElement.dataset.type === "large"
    fill(
      this,
      el(
        "button",
        { class: "button plain small", type: "button", "aria-pressed": large, onclick: resize },
        icon("type"),
        el("span", {}, t("common.large_type")),
      ),
      el(
        "button",
        {
          class: "button plain small",
          type: "button",
          lang: lang() === "en" ? "zh-CN" : "en",
          onclick: () => speak(lang() === "en" ? "zh" : "en"),
        },
        icon("globe"),
        t("common.other_language"),
      ),
    )
  }
}

/** @param {Event} event */
function resize({ currentTarget }) {
  const root = document.documentElement
  const large = root.dataset.type !== "large"
  if (large) root.dataset.type = "large"
  else delete root.dataset.type
  try {
    localStorage.setItem("type", large ? "large" : "")
  } catch {
    // kept for this page only
  }
  const button = /** @type {HTMLElement} */ (currentTarget)
  button.setAttribute("aria-pressed", String(large))
}

/** @param {"zh"|"en"} language */
function speak(language) {
  const secure = location.protocol === "https:" ? "; Secure" : ""
  document.cookie = `lang=${language}; Path=/; Max-Age=${A_YEAR}; SameSite=Lax${secure}`
  location.reload()
}

customElements.define("page-preferences", PagePreferences)
