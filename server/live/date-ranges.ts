import type { DateRange } from './window-event.ts'

/** Playlists list them, and each change of a playlist sends them anew: the oldest go first. */
const RANGES_MAX = 512
const CHARS_MAX = 64 * 1024

/** What happened at moments of a live stream, oldest first. */
export class DateRanges {
  #list: readonly DateRange[] = []
  #chars = 0

  get list(): readonly DateRange[] {
    return this.#list
  }

  /** One that is known stays as it is (rfc8216bis §4.4.5.1: tags of one ID say the same). */
  add({ id, className, startedAt, attributes }: DateRange): void {
    if (this.#list.some((known) => known.id === id)) return
    const range = { id, className, startedAt, attributes }
    this.#chars += charsOf(range)
    this.#list = [...this.#list, range]
    let over = 0
    while (this.#list.length - over > RANGES_MAX || this.#chars > CHARS_MAX) this.#let(over++)
    if (over > 0) this.#list = this.#list.slice(over)
  }

  /** What lies before all media is of no use. */
  dropBefore(date: number): void {
    const isOld = ({ startedAt }: DateRange) => startedAt < date
    if (!this.#list.some(isOld)) return
    for (const [at, range] of this.#list.entries()) if (isOld(range)) this.#let(at)
    this.#list = this.#list.filter((range) => !isOld(range))
  }

  #let(at: number): void {
    const range = this.#list[at]
    if (range) this.#chars -= charsOf(range)
  }
}

/** About what it takes in a playlist. */
function charsOf({ id, className, attributes }: DateRange): number {
  const own = attributes.map(([name, value]) => name.length + String(value).length + 4)
  return own.reduce((sum, chars) => sum + chars, 80 + id.length + className.length)
}
