// The two ways in: a walk-in with name and phone, and a personal invitation.

import "../page.js"
import { post, useToken } from "../../lib/api.js"
import { el, fill, find, icon } from "../../lib/html.js"
import { clock, explain, lang, t } from "../../lib/i18n.js"
import { Live, every } from "../live.js"

const VISIT = "/visit"
const RESEND = 60 * 1000 // ms before another code may be asked for

/**
 * Press once: the button says that something is going on, and what went wrong appears above it.
 * @param {HTMLElement} form
 * @param {() => Promise<void>} act
 */
async function attempt(form, act) {
  const button = find("button.primary", form)
  const problem = find("[data-name=problem]", form)
  if (button.getAttribute("aria-busy") === "true") return
  button.setAttribute("aria-busy", "true")
  fill(problem)
  try {
    await act()
  } catch (error) {
    fill(problem, el("div", { class: "notice stop" }, icon("alert"), el("p", {}, explain(error))))
  } finally {
    button.removeAttribute("aria-busy")
  }
}

/**
 * The first field with a fault gets the focus; each says its fault beneath it.
 * @param {HTMLFormElement} form
 */
function complete(form) {
  const inputs = [...form.querySelectorAll("input")]
  for (const input of inputs) {
    input.value = input.value.trim()
    const fault = input.validity.valid ? "" : t(`customer.fault.${input.name}`)
    input.setAttribute("aria-invalid", String(!input.validity.valid))
    fill(find(`#${input.id}-error`, form), fault)
  }
  inputs.find((input) => !input.validity.valid)?.focus()
  return inputs.every((input) => input.validity.valid)
}

class WalkInEntrance extends Live {
  #challenge = ""
  #sent = 0 // performance.now()

  /** @param {AbortSignal} signal */
  connect(signal) {
    const [who, code] = this.querySelectorAll("form")
    const again = find("[data-name=again]", code)
    const other = find("[data-name=other]", code)
    who.addEventListener("submit", (event) => this.#ask(event, who, code), { signal })
    code.addEventListener("submit", (event) => this.#confirm(event, code), { signal })
    again.addEventListener("click", () => this.#send(who, code, code), { signal })
    other.addEventListener("click", () => show(who, code), { signal })
    every(signal, 1000, () => this.#countDown(code))
  }

  /**
   * @param {Event} event
   * @param {HTMLFormElement} who
   * @param {HTMLFormElement} code
   */
  #ask(event, who, code) {
    event.preventDefault()
    if (complete(who)) this.#send(who, code, who)
  }

  /**
   * @param {HTMLFormElement} who
   * @param {HTMLFormElement} code
   * @param {HTMLFormElement} shown where a problem is told
   */
  #send(who, code, shown) {
    const { name, phone } = Object.fromEntries(new FormData(who))
    return attempt(shown, async () => {
      const { challenge, demo_code } = await post("/api/walk-in", {
        name,
        phone,
        language: lang(),
      })
      this.#challenge = challenge
      this.#sent = performance.now()
      fill(find("[data-name=sent]", code), t("customer.code.sent", { phone }))
      fill(find("[data-name=demo-code]", code), demo_code && demoCode(demo_code))
      this.#countDown(code)
      show(code, who)
    })
  }

  /**
   * @param {Event} event
   * @param {HTMLFormElement} form
   */
  #confirm(event, form) {
    event.preventDefault()
    if (!complete(form)) return
    attempt(form, async () => {
      const code = new FormData(form).get("code")
      const { csrf } = await post("/api/walk-in/confirm", { challenge: this.#challenge, code })
      useToken(csrf)
      location.assign(VISIT)
    })
  }

  /** @param {HTMLFormElement} form */
  #countDown(form) {
    const left = (this.#sent + RESEND - performance.now()) / 1000
    const again = find("[data-name=again]", form)
    if (form.hidden) return
    const wait = left > 0 && t("customer.code.again_in", { time: clock(left) })
    fill(again, wait || t("customer.code.again"))
    again.toggleAttribute("disabled", left > 0)
  }
}

/** @param {string} code */
function demoCode(code) {
  return el(
    "div",
    { class: "notice look" },
    icon("info"),
    el("p", {}, t("customer.code.demo"), " ", el("strong", { "data-name": "code-shown" }, code)),
  )
}

/**
 * @param {HTMLElement} next
 * @param {HTMLElement} last
 */
function show(next, last) {
  last.hidden = true
  next.hidden = false
  next.querySelector("input")?.focus()
}

class InvitationEntrance extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    const button = find("[data-name=accept]", this)
    button.addEventListener("click", () => this.#accept(button), { signal })
  }

  /** @param {HTMLElement} button */
  #accept(button) {
    return attempt(this, async () => {
      const token = decodeURIComponent(location.pathname.split("/").pop() ?? "")
      try {
        const { csrf } = await post("/api/invitations/accept", { token })
        useToken(csrf)
      } catch (error) {
        const { status } = /** @type {{status?: number}} */ (error)
        // The link is spent: what remains is the other door.
        if (status && status < 500 && status !== 429) {
          button.hidden = true
          find("[data-name=walk-in]", this).hidden = false
        }
        throw error
      }
      location.assign(VISIT)
    })
  }
}

customElements.define("walk-in-entrance", WalkInEntrance)
customElements.define("invitation-entrance", InvitationEntrance)
