import type { Frame } from '../codecs/frame.ts'
import type { AudioTrack, Track, VideoTrack } from '../codecs/track.ts'
import type { Clock } from '../lib/clock.ts'
import { audioGrid } from './lane-tracks.ts'
import type { Rung } from './rung.ts'
import type { Segmenter } from './segmenter.ts'
import type { SlatePicture } from './slate.ts'

/** Pictures that are repeated for ever, one each `everyMs`. */
export interface SlateLoop extends SlatePicture {
  readonly everyMs: number
}

/** All that a stream's players are given in place of its publisher. */
export interface SlateSet {
  /** The first one leads; one without a loop has gaps. */
  readonly videos: readonly { readonly track: VideoTrack; readonly loop: SlateLoop | undefined }[]
  /** One for which no silence is known has gaps. */
  readonly audios: readonly {
    readonly track: AudioTrack
    readonly silence: Uint8Array | undefined
  }[]
  readonly rungs: readonly { readonly rung: Rung; readonly loop: SlateLoop }[]
}

/** What is repeated on one track, and when the next of it is due. */
interface Source {
  readonly everyMs: number
  readonly emit: (index: number, ms: number) => void
  index: number
  nextMs: number
}

const TICK_MS = 50
/** A process that stood still goes on with what is due now. */
const BEHIND_MAX_MS = 10_000

/** Plays a slate into a segmenter as a publisher would, paced by the clock, until it is disposed. */
export class SlateFeed {
  readonly #clock: Clock
  /** Of its first picture, on the clock that never goes back. */
  readonly #zero: number
  readonly #sources: Source[] = []
  readonly #ticking: Disposable

  /** `startedAt`: the date of its first picture; what is due since then comes at once. */
  constructor(set: SlateSet, segmenter: Segmenter, clock: Clock, startedAt: number) {
    this.#clock = clock
    this.#zero = clock.monotonic() - (clock.now() - startedAt)
    const tracks: Track[] = []
    for (const { track, loop } of set.videos) {
      tracks.push(track)
      if (loop) this.#addLoop(loop, (frame) => segmenter.onFrame({ ...frame, trackId: track.id }))
    }
    for (const { track, silence } of set.audios) {
      const { rate, samplesOf } = audioGrid(track)
      tracks.push({ ...track, timescale: rate })
      if (silence) this.#addSilence(track.id, silence, samplesOf(silence), rate, segmenter)
    }
    segmenter.onTracks(tracks)
    const { rungs } = segmenter
    if (set.rungs.length > 0) rungs.announce(set.rungs.map(({ rung }) => rung))
    for (const { rung, loop } of set.rungs) {
      rungs.onTrack(rung.id, loop.track)
      this.#addLoop(loop, (frame) => rungs.onFrame(rung.id, frame))
    }
    this.#play()
    this.#ticking = clock.every(TICK_MS, () => this.#play())
  }

  [Symbol.dispose](): void {
    this.#ticking[Symbol.dispose]()
  }

  #addLoop({ track, frames, everyMs }: SlateLoop, take: (frame: Frame) => void): void {
    const emit = (index: number, ms: number) => {
      const picture = frames[index % frames.length]
      const dts = Math.round((ms * track.timescale) / 1000)
      if (!picture) return
      const { key, data } = picture
      take({ trackId: track.id, dts, pts: dts, key, data })
    }
    this.#sources.push({ everyMs, emit, index: 0, nextMs: 0 })
  }

  #addSilence(
    trackId: number,
    data: Uint8Array,
    samples: number,
    rate: number,
    segmenter: Segmenter,
  ): void {
    const emit = (_index: number, ms: number) => {
      const dts = Math.round((ms * rate) / 1000)
      segmenter.onFrame({ trackId, dts, pts: dts, key: true, data })
    }
    this.#sources.push({ everyMs: (samples * 1000) / rate, emit, index: 0, nextMs: 0 })
  }

  /** All that is due, in the order of time. */
  #play(): void {
    const dueMs = this.#clock.monotonic() - this.#zero
    for (const source of this.#sources)
      if (dueMs - source.nextMs > BEHIND_MAX_MS) {
        source.nextMs = dueMs
        source.index = 0
      }
    for (;;) {
      const [first, ...others] = this.#sources
      if (!first) return
      const next = others.reduce((a, b) => (b.nextMs < a.nextMs ? b : a), first)
      if (next.nextMs > dueMs) return
      next.emit(next.index, next.nextMs)
      next.index++
      next.nextMs += next.everyMs
    }
  }
}
