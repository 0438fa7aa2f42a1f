// <signal-meter>: how good a person's line is: bars, a word, the figures in the title; pressed, the
// last minutes as a line.

import { el, fill, svg } from "../../lib/html.js"
import { clock, t } from "../../lib/i18n.js"
import { Live } from "../live.js"
import { attach } from "../popover.js"
import { figures, qualityLine } from "./quality_line.js"

const SHOWN = 3 * 60 // seconds the line looks back

export class SignalMeter extends Live {
  /** @type {() => import("../../lib/quality.js").Quality[]} oldest first */
  points = () => []
  who = ""
  #words = el("span", { class: "words" })
  #button = el("button", { type: "button", class: "signal" }, bars(), this.#words)
  #panel = el("div", { class: "signal-panel" })

  connect() {
    this.hidden = this.points().length === 0
    attach(this.#button, this.#panel, () => this.#draw())
    fill(this, this.#button, this.#panel)
  }

  /** After a new point. */
  update() {
    const now = this.points().at(-1)
    this.hidden = !now
    if (!now) return
    const words = t(`stage.signal_${now.level}`)
    this.#button.dataset.level = String(now.level)
    this.#words.textContent = words
    this.#button.title = figures(now).map((pair) => pair.join(" ")).join(" · ")
    this.#button.setAttribute("aria-label", t("quality.of", { name: this.who, words }))
    if (this.#panel.matches(":popover-open")) this.#draw()
  }

  #draw() {
    const points = this.points()
    const now = points.at(-1)
    if (!now) return
    const from = Math.max(points[0].at, now.at - SHOWN)
    fill(
      this.#panel,
      el("h3", {}, t("quality.of", { name: this.who, words: t(`stage.signal_${now.level}`) })),
      qualityLine(points, { from, to: now.at }),
      el("p", { class: "row apart small quiet number" }, el("span", {}, clock(from)), el("span", {}, t("quality.now"))),
      el("dl", { class: "facts" }, ...figures(now).flatMap(([term, words]) => [el("dt", {}, term), el("dd", { class: "number" }, words)])),
    )
  }
}

/** Four bars that say the level by their number, not only by colour. */
export function bars() {
  const rects = [0, 1, 2, 3].map((n) => svg("rect", { x: 2 + n * 6, y: 15 - n * 4, width: 4, height: 5 + n * 4, rx: 1, class: `bar-${n + 1}` }))
  return svg("svg", { class: "bars", viewBox: "0 0 26 20", "aria-hidden": "true" }, ...rects)
}

customElements.define("signal-meter", SignalMeter)
