// The three states in which this page can do nothing more than say why, and offer a way on.

import { el, fill, icon } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"
import { Step, title } from "./step.js"

class Ended extends Step {
  key = ""
  picture = "info"

  connect() {
    fill(
      this,
      el(
        "div",
        { class: "column stack ended" },
        el("span", { class: "emblem look" }, icon(this.picture)),
        title(t(`customer.${this.key}.heading`)),
        el("p", { class: "quiet" }, t(`customer.${this.key}.about`)),
        el(
          "button",
          { class: "button primary full", type: "button", onclick: () => this.proceed() },
          t(`customer.${this.key}.go_on`),
        ),
      ),
    )
  }

  proceed() {
    location.reload()
  }
}

export class ElsewhereStep extends Ended {
  key = "elsewhere"
  picture = "swap"
}

export class SignedOutStep extends Ended {
  key = "signed_out"
  picture = "lock"

  proceed() {
    location.assign("/")
  }
}

export class UnreachableStep extends Ended {
  key = "unreachable"
  picture = "network"
}

customElements.define("elsewhere-step", ElsewhereStep)
customElements.define("signed-out-step", SignedOutStep)
customElements.define("unreachable-step", UnreachableStep)
