// Step 2: what the customer has come for.

import { el, fill, icon } from "../../lib/html.js"
import { known, pick, t } from "../../lib/i18n.js"
import { Step, duration, head, notice } from "./step.js"

export class BusinessStep extends Step {
  connect() {
    const { visit } = this
    const problem = el("div", { role: "alert" })
    if (visit.businesses.length === 1) visit.choices.business = visit.businesses[0].id
    fill(
      this,
      el(
        "form",
        {
          class: "column stack wide",
          novalidate: true,
          onsubmit: (/** @type {Event} */ event) => {
            event.preventDefault()
            if (visit.choices.business) visit.go("devices")
            else fill(problem, notice("stop", "alert", t("customer.business.unanswered")))
          },
        },
        head(visit, "business"),
        el(
          "fieldset",
          { class: "stack close" },
          el("legend", { class: "unseen" }, t("customer.business.heading")),
          ...visit.businesses.map((business) => this.#choice(business)),
        ),
        el("p", { class: "quiet small" }, this.#line()),
        problem,
        el("button", { class: "button primary full", type: "submit" }, t("common.continue")),
        el(
          "button",
          { class: "button plain", type: "button", onclick: () => visit.go("consents") },
          t("common.back"),
        ),
      ),
    )
  }

  /** @param {import("../../lib/visit.js").Business} business */
  #choice(business) {
    const { choices } = this.visit
    return el(
      "label",
      { class: "choice" },
      el("input", {
        type: "radio",
        name: "business",
        value: business.id,
        checked: choices.business === business.id,
        onchange: () => (choices.business = business.id),
      }),
      el("span", { class: "name" }, pick(business.name)),
      el(
        "span",
        { class: "about" },
        el(
          "span",
          { class: "row" },
          icon("clock"),
          t("common.minutes", { minutes: business.minutes }),
        ),
        business.need.length > 0 &&
          el("span", { class: "row" }, icon("check"), needs(business.need)),
      ),
    )
  }

  #line() {
    if (!this.visit.open) return t("customer.business.closed")
    return t("customer.business.wait", { time: duration(this.visit.estimate_s) || "—" })
  }
}

/** @param {import("../../lib/visit.js").Business["need"]} need */
function needs(need) {
  const words = need.map((one) =>
    typeof one === "string" && known(`need.${one}`) ? t(`need.${one}`) : pick(one),
  )
  return t("customer.business.need", { things: words.join(t("customer.comma")) })
}

customElements.define("business-step", BusinessStep)
