import type { Writable } from 'node:stream'
import type { Frame } from '../codecs/frame.ts'
import type { VideoTrack } from '../codecs/track.ts'
import {
  FLV_TAG,
  flvConfigBody,
  flvFileHeader,
  flvFileTag,
  flvFrameBody,
  flvTime,
} from '../formats/flv/write-tags.ts'
import type { Clock } from '../lib/clock.ts'

/** A second behind the start of an encoder's own timeline: no picture is shown before 0, whatever the source's offsets. */
const FIRST_MS = 1000
const WAITING_MS = 3000
/** The group that was there when the encoder began may be as large as the one a stream keeps. */
const WAITING_BYTES = 48 * 1024 * 1024

interface Waiting {
  readonly tag: Buffer
  readonly at: number
}

/**
 * Pictures of a publisher on their way into an encoder. The publisher never waits: where the encoder doesn't read, whole
 * groups of pictures are left out.
 */
export class FrameFeed {
  readonly #track: VideoTrack
  readonly #to: Writable
  readonly #clock: Clock
  #queue: Waiting[] = []
  #queueBytes = 0
  #blocked = false
  #waitingForKey = true
  #baseMs: number | undefined
  #lastMs = Number.NEGATIVE_INFINITY
  #droppedGroups = 0

  constructor(track: VideoTrack, to: Writable, clock: Clock) {
    this.#track = track
    this.#to = to
    this.#clock = clock
    to.write(flvFileHeader([track]))
    const config = flvConfigBody(track)
    if (config) to.write(flvFileTag(FLV_TAG.video, 0, config))
    to.on('drain', () => {
      this.#blocked = false
      this.#drain()
    })
  }

  /** The source's time, in milliseconds, at which the encoder's timeline is 0; undefined before the first picture. */
  get baseMs(): number | undefined {
    return this.#baseMs
  }
  get droppedGroups(): number {
    return this.#droppedGroups
  }
  /** Milliseconds since the first picture on the encoder's timeline. */
  get lengthMs(): number {
    return this.#baseMs === undefined ? 0 : this.#lastMs - FIRST_MS
  }

  /** The time at which the picture will be shown, in milliseconds on the source's timeline; undefined: it is left out. */
  write(frame: Frame): number | undefined {
    if (this.#waitingForKey && !frame.key) return undefined
    if (this.#isStuck()) {
      this.#leaveOut()
      if (!frame.key) return undefined
    }
    this.#waitingForKey = false
    const dts = flvTime(this.#track, frame.dts)
    this.#baseMs ??= dts - FIRST_MS
    // Encoders take no time twice.
    const ms = Math.max(dts - this.#baseMs, this.#lastMs + 1)
    const body = flvFrameBody(this.#track, frame)
    if (!body) return undefined
    this.#lastMs = ms
    this.#push(flvFileTag(FLV_TAG.video, ms, body))
    return ms + this.#baseMs + flvTime(this.#track, frame.pts) - dts
  }

  end(): void {
    this.#queue = []
    this.#to.end()
  }

  #push(tag: Buffer): void {
    this.#queue.push({ tag, at: this.#clock.monotonic() })
    this.#queueBytes += tag.length
    this.#drain()
  }

  #drain(): void {
    while (!this.#blocked) {
      const next = this.#queue.shift()
      if (!next) return
      this.#queueBytes -= next.tag.length
      this.#blocked = !this.#to.write(next.tag)
    }
  }

  #isStuck(): boolean {
    const [oldest] = this.#queue
    if (!oldest) return false
    return this.#queueBytes > WAITING_BYTES || this.#clock.monotonic() - oldest.at > WAITING_MS
  }

  /** Everything up to the next key frame. */
  #leaveOut(): void {
    this.#queue = []
    this.#queueBytes = 0
    this.#waitingForKey = true
    this.#droppedGroups++
  }
}
