// <sign-in>: name and password, then what else the bank asks for: a code, a new password, patience.

import "../page.js"
import { post, useToken } from "../../lib/api.js"
import { find, fill, icon } from "../../lib/html.js"
import { clock, explain, t } from "../../lib/i18n.js"
import { Live, every } from "../live.js"

const HOME = "/staff"

class SignIn extends Live {
  /** What was typed so far; kept in this page's memory until the sign-in is through. */
  #typed = { name: "", password: "", totp: "" }

  /** @param {AbortSignal} signal */
  connect(signal) {
    this.#on("credentials", signal, (form) => this.#credentials(form))
    this.#on("totp", signal, (form) => this.#code(form))
    this.#on("renewal", signal, (form) => this.#renew(form))
    find("[data-part=back]", this).addEventListener("click", () => this.#show("credentials"), { signal })
  }

  disconnect() {
    this.#typed = { name: "", password: "", totp: "" }
  }

  /**
   * @param {string} part
   * @param {AbortSignal} signal
   * @param {(form: FormData) => Promise<void>} act
   */
  #on(part, signal, act) {
    const form = /** @type {HTMLFormElement} */ (find(`[data-part=${part}]`, this))
    form.addEventListener(
      "submit",
      async (event) => {
        event.preventDefault()
        const button = find("button", form)
        button.setAttribute("aria-busy", "true")
        this.#problem("")
        await act(new FormData(form)).catch((error) => this.#refused(error))
        button.removeAttribute("aria-busy")
      },
      { signal },
    )
  }

  /** @param {FormData} form */
  async #credentials(form) {
    this.#typed = { name: String(form.get("name")).trim(), password: String(form.get("password")), totp: "" }
    await this.#signIn()
  }

  /** @param {FormData} form */
  async #code(form) {
    this.#typed.totp = String(form.get("totp"))
    await this.#signIn()
  }

  async #signIn() {
    const { name, password, totp } = this.#typed
    const answer = await post("/api/login", { name, password, totp: totp || null })
    useToken(answer.csrf)
    location.assign(answer.home || HOME)
  }

  /** @param {FormData} form */
  async #renew(form) {
    const fresh = String(form.get("new"))
    if (fresh !== form.get("again")) return this.#problem(t("sign_in.not_the_same"))
    const answer = await post("/api/password", { old: this.#typed.password, new: fresh })
    location.assign(answer.home || HOME)
  }

  /** @param {any} error */
  #refused(error) {
    if (error.details?.csrf) useToken(error.details.csrf)
    if (error.code === "totp_required") return this.#show("totp")
    if (error.code === "password_change_required") return this.#show("renewal")
    if (error.code === "locked") return this.#wait(Number(error.details.retry_after_s))
    const again = error.code === "totp_wrong" ? "totp" : null
    if (again) this.#show(again)
    this.#problem(explain(error))
  }

  /** @param {string} part */
  #show(part) {
    this.#problem("")
    for (const form of this.querySelectorAll("form")) form.hidden = form.dataset.part !== part
    const first = /** @type {HTMLInputElement} */ (find(`[data-part=${part}] input`, this))
    if (part === "totp") first.value = ""
    first.focus()
  }

  /** @param {string} words */
  #problem(words) {
    const place = find("[data-part=problem]", this)
    place.hidden = words === ""
    fill(place, icon("alert"), words && fill(document.createElement("span"), words))
  }

  /**
   * Locked by delay: say how long, count down, then let them try again.
   * @param {number} seconds
   */
  #wait(seconds) {
    const until = Date.now() + seconds * 1000
    const counting = new AbortController()
    const button = /** @type {HTMLButtonElement} */ (find("form:not([hidden]) button", this))
    const count = () => {
      const left = Math.ceil((until - Date.now()) / 1000)
      button.disabled = left > 0
      this.#problem(left > 0 ? t("sign_in.locked", { time: clock(left) }) : "")
      if (left <= 0) counting.abort()
    }
    every(counting.signal, 1000, count)
    count()
  }
}

customElements.define("sign-in", SignIn)
