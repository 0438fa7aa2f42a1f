// One class of business: how long it is kept, and every source that says so or otherwise.

import { el } from "../../../lib/html.js"
import { pick, t, when } from "../../../lib/i18n.js"
import { mark } from "../marks.js"

/** @typedef {{id: string, says: {zh: string, en: string}, citation: string, jurisdiction: string, months: number, after: string, known: string, disputed: boolean, applies: boolean, decides: boolean}} Source */

/** @param {any} one */
export function period({ name, until, assumed_years: years, sources }) {
  return el(
    "article",
    { class: "class" },
    el("h3", {}, pick(name)),
    el("p", { class: "quiet" }, t("retention.until", { at: when(until, { dateStyle: "medium" }), years })),
    el("ul", { role: "list", class: "sources" }, ...sources.map(source)),
  )
}

/** @param {Source} one */
function source(one) {
  const long = one.months % 12 ? t("retention.months_long", { count: one.months }) : t("retention.years_long", { count: one.months / 12 })
  return el(
    "li",
    { class: one.applies ? "" : "idle" },
    el(
      "div",
      { class: "row" },
      el("strong", { class: "number" }, long),
      el("span", { class: "quiet" }, t(`retention.after.${one.after}`)),
      el("span", { class: "badge" }, one.jurisdiction),
      one.decides && mark("good", t("retention.decides")),
      one.disputed && mark("look", t("retention.disputed")),
      !one.applies && mark("none", t("retention.idle")),
    ),
    el("p", {}, pick(one.says)),
    el("p", { class: "small quiet" }, one.citation, " · ", t(`retention.known.${one.known}`), " · ", el("code", {}, one.id)),
  )
}
