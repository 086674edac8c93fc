import { type Follower, FrameQueue, type RawFrame } from './follower.ts'
import type { Lane } from './lane.ts'
import type { AudioGrid } from './lane-tracks.ts'
import { SampleClock } from './sample-clock.ts'

/** Audio this far from the lead is on another timeline (one encoder clock has jumped, the other not yet). */
const ASTRAY_MS = 2000
/** After so many the audio's own timeline is believed: about two seconds of AAC. */
const ASTRAY_MAX = 100
const QUEUE_MOST = { frames: 512, bytes: 4 * 1024 * 1024 }

/** Audio beside a picture: it is held until the picture has got to its time, so that both are cut at the same moments. */
export class AudioFollower implements Follower {
  readonly lane: Lane
  readonly #clock: SampleClock
  readonly #frameSamples: number
  readonly #queue = new FrameQueue(QUEUE_MOST)
  #offsetMs: number | undefined
  /** What the audio's timestamps are off from the picture's when they never meet. */
  #shiftMs = 0
  #astray = 0
  #leadMs = 0

  constructor(lane: Lane, grid: AudioGrid) {
    this.lane = lane
    this.#clock = new SampleClock(grid.rate, grid.frameSamples)
    this.#frameSamples = grid.frameSamples
  }

  get frameSeconds(): number {
    return this.#frameSamples / this.lane.timescale
  }

  anchor(offsetMs: number, startMs: number): void {
    this.#offsetMs = offsetMs
    this.#leadMs = startMs
    this.#clock.reset()
    this.#astray = 0
  }

  take(frame: RawFrame): void {
    this.#queue.push(frame)
    this.#drain()
  }

  advance(leadMs: number): void {
    this.#leadMs = leadMs
    this.#drain()
    this.lane.advance(leadMs)
  }

  finish(endMs: number): void {
    this.lane.finish(endMs)
    this.#offsetMs = undefined
  }

  #drain(): void {
    if (this.#offsetMs === undefined) return
    for (;;) {
      const next = this.#queue.first
      if (!next) return
      const ms = next.rawMs + this.#offsetMs + this.#shiftMs
      const ahead = ms - this.#leadMs
      if (Math.abs(ahead) > ASTRAY_MS) {
        this.#queue.shift()
        if (++this.#astray > ASTRAY_MAX) this.#believe(ahead)
        continue
      }
      if (ahead > 0) return
      this.#queue.shift()
      this.#astray = 0
      this.#place(ms, next.data)
    }
  }

  #place(ms: number, data: Uint8Array): void {
    const dts = this.#clock.place(ms)
    if (dts === undefined) return
    this.lane.push(
      { dts, duration: this.#frameSamples, compositionOffset: 0, key: true, data },
      this.#frameSamples,
    )
  }

  #believe(aheadMs: number): void {
    this.#shiftMs -= aheadMs
    this.#astray = 0
    this.#clock.reset()
  }
}
