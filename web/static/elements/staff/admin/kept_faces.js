// <kept-faces>: how many people's faces are kept, drawn against the two marks of the law.

import "../../page.js"
import { get } from "../../../lib/api.js"
import { el, fill, find } from "../../../lib/html.js"
import { t } from "../../../lib/i18n.js"
import { Live } from "../../live.js"
import { mark } from "../marks.js"
import { attempt } from "../tell.js"

const TONES = /** @type {const} */ ({ calm: "good", warning: "look", duty: "bad" })

class KeptFaces extends Live {
  async connect() {
    const stock = await attempt(get("/api/faces"))
    if (stock) fill(find("[data-part=stock]", this), ...drawn(stock))
  }
}

/** @param {{stored: number, warning_at: number, duty_at: number, state: keyof typeof TONES}} stock */
function drawn({ stored, warning_at, duty_at, state }) {
  const number = (/** @type {number} */ n) => n.toLocaleString()
  const full = Math.max(duty_at * 1.1, stored)
  const bar = el("span", { class: "stock", "aria-hidden": "true", data: { state } }, el("span", { class: "duty" }))
  bar.style.setProperty("--stored", String(stored / full))
  bar.style.setProperty("--warning", String(warning_at / full))
  bar.style.setProperty("--duty", String(duty_at / full))
  const words = t(`faces.${state}`, { mark: number(state === "duty" ? duty_at : warning_at) })
  return [
    el("p", { class: "row" }, el("strong", { class: "number" }, t("faces.stored", { number: number(stored) })), mark(TONES[state], words)),
    bar,
  ]
}

customElements.define("kept-faces", KeptFaces)
