import type { StreamMetadata } from '../stream/live-stream.ts'

/** What the pictures of a source say of it. */
export interface SourceFacts {
  readonly framesPerSecond: number
}

/** So much of a stream is looked at; its playlists come later than that. */
const MEASURED_MS = 400
const MEASURED_PICTURES = 60
/** As far as a live timeline bears it without beginning anew, and a little less. */
const BACK_MS = 250
const AHEAD_MS = 1400
const RATE_MIN = 1
const RATE_MAX = 240

/** Measures the first pictures of a source, and sees when its time jumps. */
export class SourceMeter {
  #firstMs: number | undefined
  #lastMs = 0
  #pictures = 0
  #framesPerSecond: number | undefined

  reset(): void {
    this.#firstMs = undefined
    this.#pictures = 0
    this.#framesPerSecond = undefined
  }

  /** Once they are measured. */
  get facts(): SourceFacts {
    return { framesPerSecond: this.#framesPerSecond ?? RATE_MIN }
  }

  /** `measured` is said once, with the picture that completes it; `jumped` of one whose time does not follow. */
  see(ms: number, key: boolean): 'measured' | 'jumped' | undefined {
    if (this.#firstMs === undefined) {
      if (!key) return undefined
      this.#firstMs = ms
    } else if (ms < this.#lastMs - BACK_MS || ms > this.#lastMs + AHEAD_MS) {
      this.#lastMs = ms
      if (this.#framesPerSecond === undefined) this.#begin(ms)
      return 'jumped'
    }
    this.#lastMs = ms
    if (this.#framesPerSecond !== undefined) return undefined
    this.#pictures++
    if (ms - this.#firstMs < MEASURED_MS && this.#pictures < MEASURED_PICTURES) return undefined
    const seconds = (ms - this.#firstMs) / 1000
    const rate = seconds > 0 ? (this.#pictures - 1) / seconds : RATE_MIN
    this.#framesPerSecond = Math.max(RATE_MIN, Math.min(rate, RATE_MAX))
    return 'measured'
  }

  #begin(ms: number): void {
    this.#firstMs = ms
    this.#pictures = 1
  }
}

/** OBS and ffmpeg say what they aim at, in kilobits (FLV 10.1 §E.5). */
export function pictureBits(metadata: StreamMetadata): number | undefined {
  const { videodatarate: rate } = metadata
  return typeof rate === 'number' && rate > 0 && rate < 1e6 ? rate * 1000 : undefined
}
