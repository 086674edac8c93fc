/** Time that goes on by more than this, or by three frames if they are longer, is a jump; so is time that goes back this far. */
const JUMP_MS = 1500
const BACK_MS = 500
/** Before two frames have shown how long one lasts. */
const FIRST_JUMP_MS = 10_000
const FIRST_FRAME_MS = 33
/** Some publishers stamp all their data messages with 0. */
const DATA_ASTRAY_MS = 5000

/** How the timestamps of the rendition that leads map to the window's timeline. Milliseconds. */
export class LeadTimeline {
  #offsetMs = 0
  #lastMs: number | undefined
  #slippedMs: number | undefined

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
    this.#slippedMs = undefined
  }

  /** Window time of what is no frame: now, where its stamp is far from that. */
  momentOf(rawMs: number): number {
    const near = Math.abs(rawMs - this.lastMs) <= DATA_ASTRAY_MS
    return (near ? rawMs : this.lastMs) + this.#offsetMs
  }

  see(rawMs: number): void {
    this.#lastMs = Math.max(rawMs, this.#lastMs ?? rawMs)
  }

  /** By how much time jumped, where it did not just go on; `frameMs` is 0 before that is known. */
  jump(rawMs: number, frameMs: number): number | undefined {
    if (this.#lastMs === undefined) return undefined
    const step = rawMs - this.#lastMs
    if (!goesOn(step, frameMs)) return step
    this.#slippedMs = undefined
    return undefined
  }

  /**
   * One stamp that jumped says little while the frames around it go on: the time that such a frame has then. Undefined
   * when time did jump: where a picture can begin, and where the stamp before jumped to the same place.
   */
  slip(rawMs: number, key: boolean, frameMs: number): number | undefined {
    const former = this.#slippedMs
    this.#slippedMs = rawMs
    const confirmed = former !== undefined && goesOn(rawMs - former, frameMs)
    if (key || confirmed || this.#lastMs === undefined) return undefined
    return this.#lastMs + (frameMs || FIRST_FRAME_MS)
  }
}

function goesOn(step: number, frameMs: number): boolean {
  const bound = frameMs > 0 ? Math.max(JUMP_MS, 3 * frameMs) : FIRST_JUMP_MS
  return step <= bound && step >= -BACK_MS
}
