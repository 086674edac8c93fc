interface Shift {
  readonly fromMs: number
  readonly shiftMs: number
}

const KEPT = 64

/**
 * What was done to the stamps of the picture that leads, for those whose pictures were made of it and carry its stamps as
 * they came: a rung would run behind for ever where a clock stood still. Presentation times in milliseconds.
 */
export class StampRepairs {
  /** In force from a stamp on. */
  #shifts: Shift[] = []
  /** Of single stamps that jumped. */
  readonly #slips = new Map<number, number>()

  /** A picture stamped `stampMs` was given a time `shiftMs` later; `slip`: this one alone. */
  note(stampMs: number, shiftMs: number, slip: boolean): void {
    if (slip) {
      this.#slips.set(stampMs, shiftMs)
      for (const oldest of this.#slips.keys()) {
        if (this.#slips.size <= KEPT) break
        this.#slips.delete(oldest)
      }
      return
    }
    const last = this.#shifts.at(-1)
    if (shiftMs === (last?.shiftMs ?? 0)) return
    // While a clock stands still each picture moves the same stamp further.
    if (last?.fromMs === stampMs) this.#shifts.pop()
    this.#shifts.push({ fromMs: stampMs, shiftMs })
    if (this.#shifts.length > KEPT) this.#shifts.shift()
  }

  shiftOf(stampMs: number): number {
    const slip = this.#slips.get(stampMs)
    if (slip !== undefined) return slip
    return this.#shifts.findLast(({ fromMs }) => fromMs <= stampMs)?.shiftMs ?? 0
  }
}
