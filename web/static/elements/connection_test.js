// The page that says which ways lead to the bank, and what to change when none does.

import { page } from "./page.js"
import { WAYS, tryAll, verdict } from "../lib/connection.js"
import { el, fill, icon } from "../lib/html.js"
import { t } from "../lib/i18n.js"
import { Live } from "./live.js"

/**
 * @typedef {import("../lib/connection.js").Finding} Finding
 * @typedef {import("../lib/connection.js").Way} Way
 */

const PICTURES = { camera: "camera", microphone: "microphone" }
const MARKS = { good: "check", look: "info", stop: "close", absent: "minus" }
const VERDICTS = {
  good: ["verified", "check"],
  slow: ["look", "alert"],
  silent: ["stop", "alert"],
  cut_off: ["stop", "alert"],
  hurried: ["look", "clock"],
}
const MEDIA = /** @type {readonly Way[]} */ (["direct", "udp", "tcp", "tls"])

export class ConnectionTest extends Live {
  #progress = el("div", {
    class: "meter",
    role: "progressbar",
    "aria-label": t("connection.progress"),
    "aria-valuemin": 0,
    "aria-valuemax": WAYS.length,
  })
  #status = el("div", { role: "status", "data-name": "verdict" })
  #list = el("ul", { role: "list", class: "card flat devices" })
  #support = el("details", { class: "card flat", hidden: true })
  #again = el("button", { class: "button primary full", type: "button" }, t("connection.again"))

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#again.addEventListener("click", () => this.#run(), { signal })
    fill(this, this.#status, this.#progress, this.#list, this.#again, this.#support)
    this.#run()
  }

  async #run() {
    this.#again.disabled = true
    this.#support.hidden = true
    this.setAttribute("aria-busy", "true")
    const rows = Object.fromEntries(WAYS.map((way) => [way, row(way)]))
    fill(this.#list, ...WAYS.map((way) => rows[way].item))
    let done = 0
    const count = () => {
      this.#progress.setAttribute("aria-valuenow", String(done))
      this.#progress.style.setProperty("--level", (done / WAYS.length).toFixed(2))
      fill(this.#status, t("connection.running", { done, total: WAYS.length }))
    }
    this.#progress.hidden = false
    count()
    const found = await tryAll((way, finding) => {
      done++
      rows[way].say(finding)
      count()
    })
    this.#conclude(found)
    this.#again.disabled = false
    this.setAttribute("aria-busy", "false")
  }

  /** @param {Awaited<ReturnType<typeof tryAll>>} found */
  #conclude(found) {
    const said = verdict(found)
    const [kind, picture] = VERDICTS[said]
    this.#progress.hidden = true
    this.dataset.verdict = said
    const sentence = el("strong", {}, t(`connection.verdict.${said}`))
    const notice = el("div", { class: `notice ${kind}` }, icon(picture), sentence)
    const steps = remedies(said, found)
    if (steps.length) notice.append(el("ul", {}, ...steps.map((step) => el("li", {}, step))))
    fill(this.#status, notice)
    this.#tellSupport(found, said)
  }

  /**
   * @param {Awaited<ReturnType<typeof tryAll>>} found
   * @param {string} said
   */
  #tellSupport(found, said) {
    const changes = openings(found)
    const text = report(found, said)
    const field = el("textarea", {
      class: "input mono",
      readonly: true,
      rows: WAYS.length + 4,
      "aria-label": t("connection.report"),
    })
    field.value = text
    const words = el("span", { "aria-live": "polite" }, t("connection.copy"))
    const button = el("button", { class: "button", type: "button" }, icon("card"), words)
    button.addEventListener("click", async () => {
      field.select()
      const done = await navigator.clipboard?.writeText(text).then(() => true, () => false)
      words.textContent = t(done ? "connection.copied" : "connection.copy_by_hand")
    })
    fill(
      this.#support,
      el("summary", {}, t("connection.support")),
      el(
        "div",
        { class: "stack" },
        changes.length
          ? el("ul", { role: "list", class: "stack close" }, ...changes.map((change) => el("li", {}, change)))
          : el("p", {}, t("connection.nothing_to_open")),
        field,
        button,
        el("p", { class: "quiet small" }, t("connection.report_about")),
      ),
    )
    this.#support.hidden = false
  }
}

/**
 * A way's line: its name, its state as shape and word.
 * @param {Way} way
 */
function row(way) {
  const mark = el("span", { class: "mark trying", "aria-hidden": "true" })
  const words = el("p", { class: "small" }, t("connection.trying"))
  const picture = PICTURES[/** @type {keyof typeof PICTURES} */ (way)] ?? "network"
  const about = el("div", { class: "about" }, el("strong", {}, t(`connection.way.${way}`)), words)
  const item = el("li", { "data-name": way }, el("span", { class: "device" }, icon(picture)), about, mark)
  return {
    item,
    /** @param {Finding} finding */
    say(finding) {
      item.dataset.state = finding.state
      mark.className = `mark ${finding.state}`
      fill(mark, icon(MARKS[finding.state]))
      fill(words, sentence(finding))
    },
  }
}

/** @param {Finding} finding */
function sentence({ code, rtt_ms }) {
  const said = t(`connection.code.${code}`)
  return rtt_ms === null ? said : t("connection.timed", { said, rtt_ms })
}

/**
 * What the person at the page can do.
 * @param {string} said
 * @param {Record<Way, Finding>} found
 * @returns {string[]}
 */
function remedies(said, found) {
  const steps = said === "good" ? [] : said === "hurried" ? ["wait"] : ["network", "vpn", "support"]
  for (const way of /** @type {const} */ (["camera", "microphone"])) {
    if (found[way].state === "stop") steps.push(`${way}_${found[way].code}`)
  }
  return steps.map((step) => t(`connection.remedy.${step}`))
}

/**
 * What an administrator can open or set right, way by way.
 * @param {Awaited<ReturnType<typeof tryAll>>} found
 * @returns {string[]}
 */
function openings(found) {
  const changes = found.socket.state === "stop" ? [t("connection.open.socket")] : []
  for (const way of MEDIA) {
    const { state, code } = found[way]
    if (state !== "stop" || code === "too_many" || code === "offline") continue
    const server = (found.servers[way] ?? []).join(", ")
    const key = code === "blocked" ? way : code
    changes.push(t(`connection.open.${key}`, { server }))
  }
  return changes
}

/**
 * Plain text for a support ticket: no name, no address of the person's.
 * @param {Awaited<ReturnType<typeof tryAll>>} found
 * @param {string} said
 */
function report(found, said) {
  const lines = WAYS.map((way) => {
    const { code, rtt_ms } = found[way]
    return `${way}: ${code}${rtt_ms === null ? "" : ` ${rtt_ms} ms`}`
  })
  const when = `${new Date().toISOString().slice(0, 16)}Z`
  return [`connection test ${when} ${page.lang}`, `verdict: ${said}`, ...lines, navigator.userAgent].join("\n")
}

customElements.define("connection-test", ConnectionTest)
