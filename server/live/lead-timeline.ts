/** Time that goes on by more than this, or by three frames if they are longer, is a jump; so is time that goes back this far. */
const JUMP_MS = 1500
const BACK_MS = 500
/** Before two frames have shown how long one lasts. */
const FIRST_JUMP_MS = 10_000

/** How the timestamps of the rendition that leads map to the window's timeline. Milliseconds. */
export class LeadTimeline {
  #offsetMs = 0
  #lastMs: number | undefined

  /** Window time = raw time + this. */
  get offsetMs(): number {
    return this.#offsetMs
  }
  /** The latest raw time seen. */
  get lastMs(): number {
    return this.#lastMs ?? 0
  }

  /** Raw time `rawMs` is `windowMs`. */
  anchor(rawMs: number, windowMs: number): void {
    this.#offsetMs = windowMs - rawMs
    this.#lastMs = rawMs
  }

  see(rawMs: number): void {
    this.#lastMs = Math.max(rawMs, this.#lastMs ?? rawMs)
  }

  /** By how much time jumped, where it did not just go on; `frameMs` is 0 before that is known. */
  jump(rawMs: number, frameMs: number): number | undefined {
    if (this.#lastMs === undefined) return undefined
    const step = rawMs - this.#lastMs
    const bound = frameMs > 0 ? Math.max(JUMP_MS, 3 * frameMs) : FIRST_JUMP_MS
    return step > bound || step < -BACK_MS ? step : undefined
  }
}
