// A small panel beside the button that opens it: above everything, closed by Esc or a click elsewhere.

const GAP = 6 // pixels between button and panel

/**
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} panel a sibling of the button
 * @param {() => void} [opened] called before it is shown
 */
export function attach(button, panel, opened = () => {}) {
  panel.setAttribute("popover", "auto")
  panel.classList.add("popover")
  button.popoverTargetElement = panel
  button.setAttribute("aria-expanded", "false")
  panel.addEventListener("beforetoggle", (event) => {
    const open = /** @type {ToggleEvent} */ (event).newState === "open"
    button.setAttribute("aria-expanded", String(open))
    if (open) opened()
  })
  panel.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === "open") place(button, panel)
  })
}

/**
 * Below the button, or above where there is no room; never outside the window.
 * @param {HTMLElement} button
 * @param {HTMLElement} panel
 */
function place(button, panel) {
  const { left, right, top, bottom } = button.getBoundingClientRect()
  const { offsetWidth, offsetHeight } = panel
  const x = left + offsetWidth > innerWidth - GAP ? right - offsetWidth : left
  const y = bottom + GAP + offsetHeight > innerHeight ? top - GAP - offsetHeight : bottom + GAP
  panel.style.setProperty("left", `${Math.max(GAP, Math.min(x, innerWidth - offsetWidth - GAP))}px`)
  panel.style.setProperty("top", `${Math.max(GAP, y)}px`)
}
