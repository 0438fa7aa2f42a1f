// Making elements without a string of HTML in sight: nothing a person typed can become markup.

/**
 * @typedef {Node|string|number|false|null|undefined} Leaf
 * @typedef {Leaf|Leaf[]} Child
 */

/**
 * `el("button", {class: "primary", onclick: send, disabled: true}, "Send")`.
 * A function is a listener, true a bare attribute, null and false leave it out (but aria-* say
 * "true" or "false"); `data` is an object of data-attributes; anything else is an attribute.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) set(element, name, value)
  element.append(...leaves(children))
  return element
}

/**
 * A custom element, whose type only the caller knows.
 * @template {HTMLElement} E
 * @param {new () => E} kind
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {E}
 */
export function make(kind, attributes = {}, ...children) {
  const element = new kind()
  for (const [name, value] of Object.entries(attributes)) set(element, name, value)
  element.append(...leaves(children))
  return element
}

/**
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...leaves(children))
  return element
}

/**
 * The first match, which must be there.
 * @template {Element} [E=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {E}
 */
export function find(selector, root = document) {
  const element = root.querySelector(selector)
  if (!element) throw new Error(`the page has no ${selector}`)
  return /** @type {E} */ (/** @type {unknown} */ (element))
}

const SVG = "http://www.w3.org/2000/svg"

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string|number>} [attributes]
 * @param {...SVGElement} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value))
  element.append(...children)
  return element
}

/**
 * A picture from /static/icons.svg; it says nothing to a screen reader, the words beside it do.
 * @param {string} name
 */
export function icon(name) {
  const use = svg("use", { href: `/static/icons.svg#${name}` })
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, use)
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {any} value
 */
function set(element, name, value) {
  if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value)
  else if (name === "data") Object.assign(/** @type {HTMLElement} */ (element).dataset, value)
  else if (name.startsWith("aria-") && value != null) element.setAttribute(name, String(value))
  else if (value === true) element.setAttribute(name, "")
  else if (value !== false && value != null) element.setAttribute(name, String(value))
}

/**
 * @param {Child[]} children
 * @returns {(Node|string)[]}
 */
function leaves(children) {
  return children
    .flat()
    .filter((leaf) => leaf !== null && leaf !== undefined && leaf !== false)
    .map((leaf) => (leaf instanceof Node ? leaf : String(leaf)))
}
