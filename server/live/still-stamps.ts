/** Pictures may share a stamp, sounds come several under one; more than this and the publisher's clock has stopped. */
const SAME_MAX = 3
/** Of a stand-still: two frames of a broken clock may arrive this far apart. */
const STEP_MAX_MS = 1000
/** A clock that went on while its stamps stood still comes back to within this. */
const NEAR_MS = 500

/** Where the stamps of a track stand still, the time of arrival stands in for them. Milliseconds. */
export class StillStamps {
  #stamp: number | undefined
  #same = 0
  #shiftMs = 0
  #arrivedAt = 0

  /** The stamp that a frame should have had, which arrived at `now` of a clock that never goes back. */
  mend(stampMs: number, now: number): number {
    const step = Math.min(STEP_MAX_MS, now - this.#arrivedAt)
    this.#arrivedAt = now
    if (stampMs === this.#stamp) {
      this.#same++
      if (this.#same >= SAME_MAX) this.#shiftMs += step
    } else {
      // It either was the stamps alone that stood still, or the whole clock: then all that follows is late by that.
      const ahead = stampMs - (this.#stamp ?? stampMs)
      if (this.#shiftMs > 0 && ahead >= this.#shiftMs - NEAR_MS) this.#shiftMs = 0
      this.#same = 0
      this.#stamp = stampMs
    }
    return stampMs + this.#shiftMs
  }
}
