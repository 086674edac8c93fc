/** A drift that stays above this and a frame is followed; below it is the jitter of millisecond timestamps and of encoders. */
const DRIFT_MS = 15
/** One timestamp this far off is a hole or a repeat, not jitter. */
const HOLE_MS = 60

/**
 * Gives audio frames steady times: each begins where the one before ended, as long as the publisher's
 * jittery timestamps agree on the whole. Ticks are samples.
 */
export class SampleClock {
  readonly #rate: number
  #next: number | undefined
  #drift = 0

  constructor(rate: number) {
    this.#rate = rate
  }

  /** Where the next frame begins unless its stamp says otherwise; undefined before the first. */
  get next(): number | undefined {
    return this.#next
  }

  /** Decode time of a frame of `samples` stamped `ms`; undefined when its time is taken already and the frame must go. */
  place(ms: number, samples: number): number | undefined {
    const stamped = (ms * this.#rate) / 1000
    this.#next ??= Math.max(0, Math.round(stamped))
    const off = stamped - this.#next
    this.#drift += (off - this.#drift) / 32
    const hole = Math.abs(off) > this.#ticks(HOLE_MS)
    const correction = hole ? off : this.#drift
    if (hole || Math.abs(this.#drift) > Math.max(this.#ticks(DRIFT_MS), samples)) {
      this.#drift = 0
      if (correction < 0) return undefined
      // Whole frames, which silence can fill.
      this.#next += Math.round(correction / samples) * samples
    }
    const dts = this.#next
    this.#next += samples
    return dts
  }

  /** The next timestamp is right, whatever came before. */
  reset(): void {
    this.#next = undefined
    this.#drift = 0
  }

  #ticks(ms: number): number {
    return (ms * this.#rate) / 1000
  }
}
