import { KeyIntervals, LONGEST_TARGET_SECONDS, longestSegmentSeconds } from './key-intervals.ts'
import type { LiveWindow } from './window.ts'

/**
 * The target durations of one publish. One can't change (rfc8216bis §4.4.3.1), but the URL of a playlist holds it: what
 * was promised binds the segments of this publish, and new viewers are sent to the URL that fits the stream as it is
 * known now. So the first viewer needn't wait until the distance of key frames is known.
 *
 * Another publish, maybe with other settings, is bound anew. Where its key frames are further apart the playlists that
 * promised less say so with the first long segment: against the letter, but segments cut without key frames would keep
 * every new viewer waiting for a picture (hls.js joins nowhere else), for as long as one old viewer stays.
 */
export class SegmentTargets {
  readonly #window: LiveWindow
  readonly #segmentSeconds: number
  #intervals = new KeyIntervals()
  #bound = LONGEST_TARGET_SECONDS

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
    return longestSegmentSeconds(this.#bound)
  }

  /** The stream begins, with pictures or with sound alone, which can be cut anywhere. */
  begin(pictures: boolean): void {
    this.#intervals = new KeyIntervals()
    this.#bound = LONGEST_TARGET_SECONDS
    this.#promise(pictures ? LONGEST_TARGET_SECONDS : Math.max(1, Math.ceil(this.#segmentSeconds)))
  }

  /** A key frame came so long after the one before. */
  learn(seconds: number): void {
    this.#intervals.add(seconds)
    if (this.#intervals.longestSeconds > this.longestSegmentSeconds) {
      this.exceed()
      return
    }
    const target = this.#intervals.targetSeconds(this.#segmentSeconds)
    if (target !== undefined) this.#promise(target)
  }

  /** Segments are cut without key frames now. A viewer who joins finds one among the parts of the longest list. */
  exceed(): void {
    this.#promise(LONGEST_TARGET_SECONDS)
  }

  /** A segment of this length ends at the key frame that is here now. */
  endsAtKey(seconds: number, toleranceSeconds: number): boolean {
    if (seconds >= this.#segmentSeconds - toleranceSeconds) return true
    // The next key frame may be the longest interval away: better a short segment than one cut without a key frame.
    return seconds + this.#intervals.longestSeconds > this.longestSegmentSeconds
  }

  #promise(target: number): void {
    this.#bound = Math.min(this.#bound, target)
    const { targets, currentTarget } = this.#window
    if (currentTarget === target && targets.includes(target)) return
    const all = targets.includes(target) ? targets : [...targets, target]
    this.#window.apply({
      kind: 'promise',
      targets: all,
      current: target,
      floor: this.#window.targetFloor,
    })
  }
}
