import { get } from "../../../lib/api.js"
import { make } from "../../../lib/html.js"
import { QualityHistory } from "../../../lib/quality.js"
import { SignalMeter } from "../signal_meter.js"
import { PersonMenu } from "./person_menu.js"

/** @typedef {import("../../../lib/call.js").Person} Person */

/** What hangs on each person's tile: the meter of their line, and for the teller a menu. */
export class PeopleTools {
  #session
  #history = new QualityHistory()
  /** @type {Map<string, SignalMeter>} */
  #meters = new Map()
  /** @type {Map<string, PersonMenu>} */
  #menus = new Map()

  /** @param {string} session */
  constructor(session) {
    this.#session = session
  }

  /** What was before this page came. */
  async load() {
    const told = await get(`/api/sessions/${this.#session}/quality`).catch(() => [])
    this.#history.load(told)
    for (const meter of this.#meters.values()) meter.update()
  }

  /**
   * @param {any} message `quality` of PROTOCOL.md
   * @param {number} at seconds of media time
   */
  add(message, at) {
    this.#history.add(message, at)
    this.#meters.get(message.participant)?.update()
  }

  /**
   * @param {string} id
   * @param {string} name
   */
  meter(id, name) {
    const there = this.#meters.get(id)
    if (there) return there
    const meter = make(SignalMeter)
    meter.who = name
    meter.points = () => this.#history.of(id)
    this.#meters.set(id, meter)
    return meter
  }

  /** @param {Person} person */
  menu(person) {
    const menu = this.#menus.get(person.id) ?? make(PersonMenu)
    menu.session = this.#session
    menu.person = person
    this.#menus.set(person.id, menu)
    return menu
  }
}
