// <people-stage>: everybody of a call. One is large, the others are tiles; who is which is a matter
// of attributes and style sheets, because a video that is moved within a page stops.

import { make } from "../../lib/html.js"
import { t } from "../../lib/i18n.js"
import { Live } from "../live.js"
import { ScreenTile } from "./screen_tile.js"
import { PersonTile } from "./tile.js"

const LOUD = 0.12 // of `sound`: somebody speaks
const SELF = "self"

/**
 * @typedef {import("../../lib/call.js").Person} Person
 * @typedef {import("./tile.js").Look} Look
 */

export class PeopleStage extends Live {
  /** Who is large unless somebody shows a screen. @type {(people: Person[]) => Person|undefined} */
  main = (people) => people[0]
  /** @type {(person: Person) => Look} */
  look = ({ name }) => ({ name, label: t("people.picture", { name }) })
  /** Told when the browser plays no sound before a tap. @type {(blocked: boolean) => void} */
  blocked = () => {}
  /** @type {Map<string, PersonTile>} */
  #tiles = new Map()
  /** @type {Person[]} */
  #people = []
  /** The tile a person chose to see large; "" for what the page thinks best. */
  #chosen = ""

  /** @param {Person[]} people everybody else in the room */
  show(people) {
    this.#people = people
    const wanted = new Set(people.map(({ id }) => id))
    for (const person of people) {
      const tile = this.#tile(person.id, PersonTile)
      tile.play(person.stream)
      tile.show(this.look(person))
      if (!person.screen || !person.screen_stream) continue
      wanted.add(`screen-${person.id}`)
      this.#screen(person, person.screen_stream)
    }
    for (const id of this.#tiles.keys()) if (id !== SELF && !wanted.has(id)) this.#remove(id)
    this.#arrange()
    void this.play()
  }

  /**
   * Oneself, as a tile among the others.
   * @param {MediaStream|null} stream
   * @param {Look} look
   */
  self(stream, look) {
    const tile = this.#tile(SELF, PersonTile)
    tile.video.muted = true
    tile.play(stream)
    tile.show(look)
    this.#arrange()
  }

  /**
   * @param {string} id
   * @param {number|null|undefined} sound 0..1
   */
  heard(id, sound) {
    this.#tiles.get(id)?.speak((sound ?? 0) > LOUD)
  }

  /** Play everything; browsers want a tap first on a page nobody has touched. */
  async play() {
    const videos = [...this.#tiles.values()].map(({ video }) => video).filter(({ paused, srcObject }) => paused && srcObject)
    const results = await Promise.allSettled(videos.map((video) => video.play()))
    const refused = results.some((result) => result.status === "rejected" && result.reason?.name === "NotAllowedError")
    if (videos.length > 0 || !refused) this.blocked(refused)
  }

  /** The video of whoever is the page's first concern. @returns {HTMLVideoElement|null} */
  get mainVideo() {
    return this.#tiles.get(this.main(this.#people)?.id ?? "")?.video ?? null
  }

  /** @returns {string} the id of what is large: a person, `screen-` and a person, or "" */
  get large() {
    return this.#large()
  }

  clear() {
    for (const id of [...this.#tiles.keys()]) this.#remove(id)
    this.#people = []
    this.#chosen = ""
    this.#arrange()
  }

  /**
   * @param {Person} person
   * @param {MediaStream} stream
   */
  #screen({ id, name }, stream) {
    const tile = this.#tile(`screen-${id}`, ScreenTile)
    tile.play(stream)
    const words = t("people.screen_of", { name })
    tile.show({ name: words, label: words })
  }

  /**
   * @param {string} id
   * @param {new () => PersonTile} kind
   */
  #tile(id, kind) {
    const there = this.#tiles.get(id)
    if (there) return there
    const tile = make(kind, { data: { person: id } })
    tile.enlarge = (which) => this.#enlarge(which)
    this.#tiles.set(id, tile)
    this.append(tile)
    if (id.startsWith("screen-")) this.#chosen = "" // what is shown now is what matters now
    return tile
  }

  /** @param {string} id */
  #remove(id) {
    const tile = this.#tiles.get(id)
    if (tile) tile.video.srcObject = null
    tile?.remove()
    this.#tiles.delete(id)
    if (this.#chosen === id) this.#chosen = ""
  }

  /** @param {string} id */
  #enlarge(id) {
    this.#chosen = id === this.#large() ? "" : id
    this.#arrange()
  }

  #large() {
    if (this.#tiles.has(this.#chosen)) return this.#chosen
    const screen = [...this.#tiles.keys()].find((id) => id.startsWith("screen-"))
    return screen ?? this.main(this.#people)?.id ?? ""
  }

  #arrange() {
    const large = this.#large()
    const main = this.main(this.#people)?.id
    let tiles = 0
    for (const [id, tile] of this.#tiles) {
      tile.dataset.place = id === large ? "large" : "tile"
      tile.toggleAttribute("data-main", id === main)
      if (id !== large) tiles += 1
    }
    this.dataset.tiles = String(tiles)
    this.classList.toggle("crowd", tiles > 2)
    this.classList.toggle("screened", large.startsWith("screen-"))
    this.dispatchEvent(new Event("arranged", { bubbles: true }))
  }
}

customElements.define("people-stage", PeopleStage)
