/** What one look at a running ladder shows. Milliseconds and cores. */
export interface PressureFacts {
  /** How far the slowest rung is behind the source. */
  readonly behindMs: number
  /** Groups of pictures that were left out since the last look. */
  readonly droppedGroups: number
  /** Share of the machine that nobody uses; undefined where that decides nothing. */
  readonly idleShare: number | undefined
}

/** A rung that is later than this is no help: its viewers wait. */
const LATE_MS = 400
/** Less than this of the machine is left: whoever else works here waits for us, whatever our priority. */
const FULL_SHARE = 0.04
const LOOKS_LATE = 6
const LOOKS_FULL = 16
const RAISE_AFTER_MS = 60_000
const RAISE_AFTER_MAX_MS = 900_000
/** A change that holds for so long was right. */
const PROVEN_MS = 120_000

/**
 * Decides when a ladder does less and when it may do more again, from looks at it twice a second: less after three seconds
 * of being late or eight of a full machine; more after a minute of calm, twice as long after each time that it was too much.
 */
export class LadderPressure {
  #late = 0
  #full = 0
  #changedAt: number
  #raisedAt = Number.NEGATIVE_INFINITY
  #raiseAfterMs = RAISE_AFTER_MS

  constructor(now: number) {
    this.#changedAt = now
  }

  /** Why it must do less now; undefined while it may go on. */
  look(now: number, facts: PressureFacts): string | undefined {
    const late = facts.droppedGroups > 0 || facts.behindMs > LATE_MS
    this.#late = facts.droppedGroups > 0 ? LOOKS_LATE : late ? this.#late + 1 : 0
    const full = facts.idleShare !== undefined && facts.idleShare < FULL_SHARE
    this.#full = full ? this.#full + 1 : 0
    if (
      this.#raiseAfterMs > RAISE_AFTER_MS &&
      now - this.#raisedAt > this.#raiseAfterMs + PROVEN_MS
    )
      this.#raiseAfterMs = RAISE_AFTER_MS
    if (this.#late >= LOOKS_LATE)
      return `the encoder is ${(facts.behindMs / 1000).toFixed(1)} s behind the source`
    if (this.#full >= LOOKS_FULL) return 'the machine has nothing left for others'
    return undefined
  }

  mayRaise(now: number): boolean {
    return now - this.#changedAt >= this.#raiseAfterMs
  }

  raised(now: number): void {
    this.#change(now)
    this.#raisedAt = now
  }

  lowered(now: number): void {
    // Raised too early: the next time comes later.
    if (now - this.#raisedAt < PROVEN_MS)
      this.#raiseAfterMs = Math.min(2 * this.#raiseAfterMs, RAISE_AFTER_MAX_MS)
    this.#change(now)
  }

  #change(now: number): void {
    this.#late = 0
    this.#full = 0
    this.#changedAt = now
  }
}
