import type { DateRange } from './window-event.ts'

/** What one playlist has said of date ranges and when: delta updates skip what is known, and name what has gone. */
export class ListedRanges {
  /** Monotonic milliseconds of the first playlist that listed each. */
  #since = new Map<DateRange, number>()
  #removed: { readonly id: string; readonly at: number }[] = []

  get listed(): readonly DateRange[] {
    return [...this.#since.keys()]
  }

  /** These are listed from now on; `skipMs`: how far back delta updates look. */
  list(ranges: readonly DateRange[], now: number, skipMs: number): void {
    const before = this.#since
    this.#since = new Map(ranges.map((range) => [range, before.get(range) ?? now]))
    const gone = [...before.keys()].filter((range) => !this.#since.has(range))
    const recent = this.#removed.filter(({ at }) => now - at <= skipMs)
    this.#removed = [...recent, ...gone.map(({ id }) => ({ id, at: now }))]
  }

  /** A client may hold some that are listed, or that were a moment ago. */
  isInUse(now: number, skipMs: number): boolean {
    return this.#since.size > 0 || this.#removed.some(({ at }) => now - at <= skipMs)
  }

  /** rfc8216bis §6.2.5.1: ranges that a delta update lists, names of those that went, and until when that is so. */
  delta(
    now: number,
    skipMs: number,
  ): {
    readonly added: readonly DateRange[]
    readonly removed: readonly string[]
    readonly until: number
  } {
    const isRecent = (at: number) => now - at <= skipMs
    const added = [...this.#since].filter(([, since]) => isRecent(since))
    const removed = this.#removed.filter(({ at }) => isRecent(at))
    const times = [...added.map(([, since]) => since), ...removed.map(({ at }) => at)]
    return {
      added: added.map(([range]) => range),
      removed: removed.map(({ id }) => id),
      until: Math.min(Number.POSITIVE_INFINITY, ...times) + skipMs,
    }
  }
}
