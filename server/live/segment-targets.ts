import { KeyIntervals, LONGEST_TARGET_SECONDS, longestSegmentSeconds } from './key-intervals.ts'
import type { LiveWindow } from './window.ts'

/**
 * The target durations of a window. One can't change (rfc8216bis §4.4.3.1), but the URL of a playlist holds it: what was
 * promised once binds the segments for the window's life, and new viewers are sent to the URL that fits the stream as it
 * is known now. So the first viewer needn't wait until the distance of key frames is known.
 */
export class SegmentTargets {
  readonly #window: LiveWindow
  readonly #segmentSeconds: number
  readonly #intervals = new KeyIntervals()

  constructor(window: LiveWindow, segmentSeconds: number) {
    this.#window = window
    this.#segmentSeconds = segmentSeconds
  }

  /** Seconds between the last two key frames; 0 when unknown. */
  get lastIntervalSeconds(): number {
    return this.#intervals.lastSeconds
  }

  /** What no segment may exceed. */
  get longestSegmentSeconds(): number {
    return longestSegmentSeconds(Math.min(LONGEST_TARGET_SECONDS, ...this.#window.targets))
  }

  /** The stream begins, with pictures or with sound alone, which can be cut anywhere. */
  begin(pictures: boolean): void {
    const first = pictures ? LONGEST_TARGET_SECONDS : Math.max(1, Math.ceil(this.#segmentSeconds))
    this.#promise(this.#window.currentTarget ?? first)
  }

  /** A key frame came so long after the one before. */
  learn(seconds: number): void {
    this.#intervals.add(seconds)
    const current = this.#window.currentTarget ?? LONGEST_TARGET_SECONDS
    if (this.#intervals.longestSeconds > longestSegmentSeconds(current)) {
      // Segments are cut without key frames now. A viewer who joins finds one among the parts of this longer list.
      this.#promise(LONGEST_TARGET_SECONDS)
      return
    }
    const target = this.#intervals.targetSeconds(this.#segmentSeconds)
    if (target !== undefined) this.#promise(target)
  }

  /** A segment of this length ends at the key frame that is here now. */
  endsAtKey(seconds: number, toleranceSeconds: number): boolean {
    if (seconds >= this.#segmentSeconds - toleranceSeconds) return true
    // The next key frame may be the longest interval away: better a short segment than one cut without a key frame.
    return seconds + this.#intervals.longestSeconds > this.longestSegmentSeconds
  }

  #promise(target: number): void {
    const { targets, currentTarget } = this.#window
    if (currentTarget === target && targets.includes(target)) return
    const all = targets.includes(target) ? targets : [...targets, target]
    this.#window.apply({ kind: 'promise', targets: all, current: target })
  }
}
