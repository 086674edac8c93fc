import { type Follower, FrameQueue, type RawFrame } from './follower.ts'
import type { Lane, Sample } from './lane.ts'

/** A picture this far from the lead's is of another timeline: an encoder still sends what was before a jump. */
const ASTRAY_MS = 10_000
/** What an encoder that is late may have waiting, or a second picture that comes before the first. */
const QUEUE_MOST = { frames: 1024, bytes: 32 * 1024 * 1024 }

/**
 * Another picture of the same moments, on the same timestamps: a rung of a ladder, which an encoder makes a few frames
 * later, or one more video track of the publisher. It begins with a key frame and never before the lead's own beginning.
 */
export class VideoFollower implements Follower {
  readonly lane: Lane
  readonly #queue = new FrameQueue(QUEUE_MOST)
  readonly #onReach: (endMs: number) => void
  #offsetMs: number | undefined
  #startMs = 0
  #leadMs = 0
  #waitingForKey = true
  #held: Omit<Sample, 'duration'> | undefined
  #typicalTicks = 0

  /** `onReach` is told how far the pictures are complete, in milliseconds of the window's timeline. */
  constructor(lane: Lane, onReach: (endMs: number) => void = () => {}) {
    this.lane = lane
    this.#onReach = onReach
  }

  get frameSeconds(): number {
    return this.#typicalTicks / this.lane.timescale
  }

  anchor(offsetMs: number, startMs: number): void {
    this.#offsetMs = offsetMs
    this.#startMs = startMs
    this.#leadMs = startMs
    this.#waitingForKey = true
  }

  take(frame: RawFrame): void {
    // Pictures that were made from one that is gone would show what never was.
    if (!this.#queue.push(frame)) this.#waitingForKey = true
    this.#drain()
  }

  advance(leadMs: number): void {
    this.#leadMs = leadMs
    this.#drain()
    this.lane.advance(leadMs)
  }

  finish(endMs: number): void {
    const { timescale } = this.lane
    if (this.#held) {
      const left = Math.round((endMs * timescale) / 1000) - this.#held.dts
      const typical = Math.round(this.#typicalTicks) || left
      this.#complete(this.#held.dts + Math.max(1, Math.min(left, typical)))
    }
    this.lane.finish(endMs)
    this.#offsetMs = undefined
  }

  /** The encoder stopped or began anew: what it gave is complete, and what follows begins with a key frame. */
  restart(): void {
    this.#queue.clear()
    this.#waitingForKey = true
    if (this.#held) this.#complete(this.#held.dts + Math.max(1, Math.round(this.#typicalTicks)))
  }

  #drain(): void {
    const offsetMs = this.#offsetMs
    if (offsetMs === undefined) return
    for (;;) {
      const next = this.#queue.first
      if (!next) return
      const presentedMs = next.rawMs + next.reorderMs + offsetMs
      const ahead = presentedMs - this.#leadMs
      const astray = Math.abs(ahead) > ASTRAY_MS || presentedMs < this.#startMs - 1
      if (!astray && ahead > 0.5) return
      this.#queue.shift()
      if (astray) this.#waitingForKey = true
      else this.#place(next, offsetMs)
    }
  }

  #place({ rawMs, reorderMs, key, data }: RawFrame, offsetMs: number): void {
    if (this.#waitingForKey && !key) return
    this.#waitingForKey = false
    const { timescale } = this.lane
    const stamped = Math.round(((rawMs + offsetMs) * timescale) / 1000)
    // A timestamp that stands still or steps back: the picture lasts a millisecond.
    const dts = Math.max(stamped, this.#held ? this.#held.dts + timescale / 1000 : 0)
    this.#complete(dts)
    const compositionOffset = Math.round((reorderMs * timescale) / 1000)
    this.#held = { dts, compositionOffset, key, data }
  }

  /** The picture before is as long as the time to this one. */
  #complete(nextDts: number): void {
    const held = this.#held
    if (!held) return
    this.#held = undefined
    const duration = nextDts - held.dts
    const usual = Math.min(duration, 2 * (this.#typicalTicks || duration))
    this.#typicalTicks += (usual - this.#typicalTicks) / (this.#typicalTicks === 0 ? 1 : 8)
    this.lane.push({ duration, ...held }, this.#typicalTicks)
    this.#onReach(((nextDts + held.compositionOffset) * 1000) / this.lane.timescale)
  }
}
