// <signed-in>: who works at this page, and the way out.

import "../page.js"
import { post } from "../../lib/api.js"
import { find } from "../../lib/html.js"
import { Live } from "../live.js"
import { attempt } from "./tell.js"

class SignedIn extends Live {
  /** @param {AbortSignal} signal */
  connect(signal) {
    find("[data-act=sign-out]", this).addEventListener("click", () => attempt(signOut()), { signal })
  }
}

async function signOut() {
  await post("/api/logout")
  leave()
}

export function leave() {
  location.assign("/staff/sign-in")
}

customElements.define("signed-in", SignedIn)
