/** rfc8216bis §6.2.1 wants dates that players of several renditions can go by: they move smoothly or not at all. */
const SLEW_MS = 1
/** Dates this far behind the clock are wrong ones, when the line was not just slow for a moment. */
const BEHIND_MS = 2000
const BEHIND_FOR_MS = 5000

/** Turns times of a window's timeline into dates, and follows the machine's clock by at most 1 ms a segment. */
export class WallClock {
  readonly #bornAt: number
  #skewMs = 0
  #leastLateMs: number | undefined
  #behindSince: number | undefined

  constructor(bornAt: number) {
    this.#bornAt = bornAt
  }

  /** A frame of this time of the timeline arrived now. The least late frame of a segment shows where the clock is. */
  observe(now: number, ms: number): void {
    const late = now - this.#bornAt - ms
    if (this.#leastLateMs === undefined || late < this.#leastLateMs) this.#leastLateMs = late
    if (late - this.#skewMs <= BEHIND_MS) this.#behindSince = undefined
    else this.#behindSince ??= now
  }

  /** The publisher's time has stopped for a while, or runs too slowly: it must begin anew. */
  isBehind(now: number): boolean {
    return this.#behindSince !== undefined && now - this.#behindSince > BEHIND_FOR_MS
  }

  at(ms: number): number {
    return this.#bornAt + ms + this.#skewMs
  }

  /** Once a segment. */
  slew(): void {
    if (this.#leastLateMs === undefined) return
    const error = this.#leastLateMs - this.#skewMs
    this.#skewMs += Math.max(-SLEW_MS, Math.min(SLEW_MS, error))
    this.#leastLateMs = undefined
  }

  anchor(): void {
    this.#leastLateMs = undefined
    this.#behindSince = undefined
  }
}
