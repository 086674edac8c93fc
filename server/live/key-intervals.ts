/** No encoder's default is longer: x264 makes 250 frames, which is 10.4 s at 24 frames a second. */
export const LONGEST_TARGET_SECONDS = 12

/** Key frames this near to each other in distance come from the same setting. */
const SAME_SECONDS = 0.1
const SEEN_ENOUGH = 3

/**
 * Learns how far apart a stream's key frames are. An encoder with a fixed interval shows the longest one again and
 * again; one that follows the picture (x264 cuts at scene changes) shows many and seldom the longest.
 */
export class KeyIntervals {
  #longest = 0
  #seen = 0
  #last = 0

  add(seconds: number): void {
    this.#last = seconds
    if (seconds > this.#longest + SAME_SECONDS) {
      this.#longest = seconds
      this.#seen = 1
    } else if (seconds >= this.#longest - SAME_SECONDS) {
      this.#longest = Math.max(this.#longest, seconds)
      this.#seen++
    }
  }

  get longestSeconds(): number {
    return this.#longest
  }
  get lastSeconds(): number {
    return this.#last
  }

  /** The target duration that segments of at least `minSeconds` between key frames keep; undefined until it is sure. */
  targetSeconds(minSeconds: number): number | undefined {
    if (this.#seen < SEEN_ENOUGH || this.#longest <= 0) return undefined
    const intervals = Math.max(1, Math.ceil(minSeconds / this.#longest - 0.01))
    // rfc8216bis §4.4.3.1: EXTINF rounded to the nearest whole number is at most this.
    const target = Math.max(1, Math.round(intervals * this.#longest + 0.1))
    return target <= LONGEST_TARGET_SECONDS ? target : undefined
  }
}

/** The longest a segment may last under a target duration: a little less than what would be rounded up. */
export function longestSegmentSeconds(targetSeconds: number): number {
  return targetSeconds + 0.45
}
