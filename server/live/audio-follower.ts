import type { Clock } from '../lib/clock.ts'
import { type Follower, FrameQueue, type RawFrame } from './follower.ts'
import type { Lane } from './lane.ts'
import type { AudioGrid } from './lane-tracks.ts'
import { SampleClock } from './sample-clock.ts'
import { StillStamps } from './still-stamps.ts'

/** Audio this far from the lead is on another timeline (one encoder clock has jumped, the other not yet). */
const ASTRAY_MS = 2000
/** After so many that nothing of the lead's time follows, the audio's own timeline is believed: half a second of AAC. */
const ASTRAY_MAX = 24
/** A hole up to this long is filled; a longer one is no slip of a clock. */
const FILLED_MAX_MS = 2000
const QUEUE_MOST = { frames: 512, bytes: 4 * 1024 * 1024 }

/** Audio beside a picture: it is held until the picture has got to its time, so that both are cut at the same moments. */
export class AudioFollower implements Follower {
  readonly lane: Lane
  readonly #clock: SampleClock
  readonly #grid: AudioGrid
  /** Of the latest frame: what the next one is expected to be. */
  #frameSamples: number
  readonly #queue = new FrameQueue(QUEUE_MOST)
  readonly #stamps = new StillStamps()
  readonly #now: Clock
  readonly #silence: Uint8Array | undefined
  #offsetMs: number | undefined
  /** What the audio's timestamps are off from the picture's when they never meet. */
  #shiftMs = 0
  #leadMs = 0

  /** `silence`: a frame that is heard as nothing; without one holes stay. */
  constructor(lane: Lane, grid: AudioGrid, clock: Clock, silence: Uint8Array | undefined) {
    this.lane = lane
    this.#now = clock
    this.#silence = silence
    this.#clock = new SampleClock(grid.rate)
    this.#grid = grid
    this.#frameSamples = grid.frameSamples
  }

  get frameSeconds(): number {
    return this.#frameSamples / this.lane.timescale
  }

  anchor(offsetMs: number, startMs: number): void {
    this.#offsetMs = offsetMs
    this.#leadMs = startMs
    this.#clock.reset()
  }

  take(frame: RawFrame): void {
    const { reorderMs, key, data } = frame
    const rawMs = this.#stamps.mend(frame.rawMs, this.#now.monotonic())
    this.#frameSamples = this.#grid.samplesOf(data)
    this.#queue.push({ rawMs, reorderMs, key, data })
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
      const ahead = this.#aheadMs(next)
      if (Math.abs(ahead) > ASTRAY_MS) {
        if (!this.#judgeAstray()) return
        continue
      }
      if (ahead > 0) return
      this.#queue.shift()
      this.#place(this.#leadMs + ahead, next.data)
    }
  }

  #aheadMs({ rawMs }: RawFrame): number {
    return rawMs + (this.#offsetMs ?? 0) + this.#shiftMs - this.#leadMs
  }

  /** The first frame that waits is astray: a slip, or are all behind it, too? False: too few have come to tell. */
  #judgeAstray(): boolean {
    const newest = this.#queue.last
    if (!newest) return false
    const ahead = this.#aheadMs(newest)
    if (Math.abs(ahead) <= ASTRAY_MS) {
      this.#queue.shift()
      return true
    }
    if (this.#queue.length < ASTRAY_MAX) return false
    this.#shiftMs -= ahead
    while (this.#queue.first && Math.abs(this.#aheadMs(this.#queue.first)) > ASTRAY_MS)
      this.#queue.shift()
    return true
  }

  #place(ms: number, data: Uint8Array): void {
    const next = this.#clock.next
    const dts = this.#clock.place(ms, this.#grid.samplesOf(data))
    if (dts === undefined) return
    if (this.#silence && next !== undefined) this.#fill(next, dts, this.#silence)
    this.#push(dts, data)
  }

  /** A hole would show as a segment that begins late (rfc8216bis §4.4.4.6) and as a player's jump. */
  #fill(from: number, to: number, silence: Uint8Array): void {
    const { timescale } = this.lane
    const length = this.#grid.samplesOf(silence)
    if (((to - from) * 1000) / timescale > FILLED_MAX_MS) return
    for (let dts = from; dts + length <= to; dts += length) this.#push(dts, silence)
  }

  #push(dts: number, data: Uint8Array): void {
    const duration = this.#grid.samplesOf(data)
    this.lane.push({ dts, duration, compositionOffset: 0, key: true, data }, duration)
  }
}
