import { type FragmentSample, writeFragment } from '../formats/isobmff/write-fragment.ts'
import type { LiveWindow } from './window.ts'
import type { RenditionId, WindowEvent } from './window-event.ts'

/** One sample on the window's timeline; times in ticks of the lane. */
export interface Sample {
  readonly dts: number
  readonly duration: number
  readonly compositionOffset: number
  readonly key: boolean
  readonly data: Uint8Array
}

/** Where all renditions begin a segment of the same number. */
export interface Cut {
  readonly sequence: number
  /** Presentation time on the window's timeline, in milliseconds. */
  readonly atMs: number
  /** The same moment on the wall clock, milliseconds since 1970. */
  readonly startedAt: number
  readonly discontinuity: boolean
  readonly discontinuitySequence: number
}

/** What the lane that leads is asked and told: the others follow its cuts. */
export interface Leading {
  /** The longest a segment may become, in seconds. */
  readonly longestSegmentSeconds: () => number
  /** A part that begins here does not fit the open segment any more. */
  readonly beforeTooLong: (startDts: number) => void
  /** A part was added that ends here. */
  readonly afterPart: (endDts: number) => void
}

export interface LaneOptions {
  readonly id: RenditionId
  readonly trackId: number
  readonly timescale: number
  readonly leading: Leading | undefined
  /** Takes what the lane makes, with the end of its media in milliseconds of the window's timeline. */
  readonly emit: (event: WindowEvent, endMs: number) => void
}

/** A part of more than one sample never holds more, whatever a publisher sends. */
export const PART_BYTES_MAX = 32 * 1024 * 1024
const PART_SAMPLES_MAX = 4096

/** How long behind the lead a rendition may be with a cut before it is taken for silent. */
const SILENT_MS = 1000

/** Makes parts and segments of one rendition out of its samples. */
export class Lane {
  readonly #window: LiveWindow
  readonly #options: LaneOptions
  #init = ''
  #current: Cut | undefined
  #opened = false
  #segmentSeconds = 0
  #segmentBytes = 0
  #parts = 0
  #fragments = 0
  #cuts: Cut[] = []
  #samples: Sample[] = []
  #ticks = 0
  #bytes = 0

  constructor(window: LiveWindow, options: LaneOptions) {
    this.#window = window
    this.#options = options
  }

  get id(): RenditionId {
    return this.#options.id
  }
  get timescale(): number {
    return this.#options.timescale
  }
  get segmentSeconds(): number {
    return this.#segmentSeconds
  }
  /** Of the part that is being made. */
  get pendingSeconds(): number {
    return this.#ticks / this.timescale
  }
  get segmentBytes(): number {
    return this.#segmentBytes
  }

  /** Stands at a cut with nothing behind it yet: another cut here would make an empty segment. */
  get fresh(): boolean {
    return this.#current !== undefined && !this.#opened && this.#samples.length === 0
  }

  setInit(uri: string): void {
    this.#init = uri
  }

  /** Ends the segment where the lane stands; parts are closed before by the caller. */
  cutNow(cut: Cut): void {
    this.#closeSegment(cut.atMs)
    this.#current = cut
  }

  /** The same cut for a lane that follows: done when its samples get there. */
  cutLater(cut: Cut): void {
    this.#cuts.push(cut)
  }

  /** `nextTicks`: how long the sample after this one is expected to last. */
  push(sample: Sample, nextTicks: number): void {
    const presentedMs = ((sample.dts + sample.compositionOffset) * 1000) / this.timescale
    while (this.#cuts[0] && presentedMs >= this.#cuts[0].atMs) this.#takeCut()
    if (!this.#current) return
    const target = (this.#window.partTargetSeconds ?? 1) * this.timescale
    const tooMuch = this.#bytes + sample.data.length > PART_BYTES_MAX
    if (this.#samples.length > 0 && (tooMuch || this.#ticks + sample.duration > target))
      this.closePart()
    this.#samples.push(sample)
    this.#ticks += sample.duration
    this.#bytes += sample.data.length
    const full = this.#samples.length >= PART_SAMPLES_MAX
    if (full || this.#ticks + nextTicks > target) this.closePart()
  }

  /** The lead is here: cuts that no sample reached in time are made without any. */
  advance(leadMs: number): void {
    while (this.#cuts[0] && this.#cuts[0].atMs < leadMs - SILENT_MS) this.#takeCut()
  }

  /** Ends what is open, at this time of the timeline; cuts that were left are gaps. */
  finish(endMs: number): void {
    while (this.#cuts.length > 0) this.#takeCut()
    this.closePart()
    this.#closeSegment(endMs)
    this.#current = undefined
  }

  closePart(): void {
    const [first] = this.#samples
    const cut = this.#current
    if (!first || !cut) return
    const seconds = this.#ticks / this.timescale
    const { leading } = this.#options
    const longest = leading?.longestSegmentSeconds() ?? Number.POSITIVE_INFINITY
    if (this.#opened && this.#segmentSeconds + seconds > longest) leading?.beforeTooLong(first.dts)
    const samples = this.#samples
    const bytes = this.#writeFragment(first, samples)
    const endDts = first.dts + this.#ticks
    this.#samples = []
    this.#ticks = 0
    this.#bytes = 0
    const endMs = (endDts * 1000) / this.timescale
    this.#open(first, endMs)
    const { sequence } = this.#current ?? cut
    this.#segmentSeconds += seconds
    this.#segmentBytes += bytes.length
    const index = this.#parts++
    this.#options.emit(
      {
        kind: 'part',
        rendition: this.id,
        sequence,
        index,
        durationSeconds: seconds,
        independent: samples.some((sample) => sample.key),
        samples: samples.length,
        bytes,
      },
      endMs,
    )
    leading?.afterPart(endDts)
  }

  #open(first: Sample, endMs: number): void {
    const cut = this.#current
    if (!cut || this.#opened) return
    this.#opened = true
    const presentedMs = ((first.dts + first.compositionOffset) * 1000) / this.timescale
    // A lane that follows begins up to a frame behind the cut; one that joined late, at its first sample.
    const lateMs = this.#options.leading ? 0 : Math.max(0, presentedMs - cut.atMs)
    this.#emitSegment(cut, Math.round(cut.startedAt + lateMs), 0, endMs)
  }

  #takeCut(): void {
    const cut = this.#cuts.shift()
    if (!cut) return
    this.closePart()
    this.cutNow(cut)
  }

  #closeSegment(endMs: number): void {
    const cut = this.#current
    if (!cut) return
    const rendition = this.id
    // rfc8216bis §4.4.4.7: the numbers of all renditions go together, so a segment without samples stands there as missing.
    if (this.#opened)
      this.#options.emit({ kind: 'close', rendition, sequence: cut.sequence }, endMs)
    else
      this.#emitSegment(
        cut,
        Math.round(cut.startedAt),
        Math.max(0.001, (endMs - cut.atMs) / 1000),
        endMs,
      )
    this.#opened = false
    this.#segmentSeconds = 0
    this.#segmentBytes = 0
    this.#parts = 0
  }

  #emitSegment(cut: Cut, startedAt: number, gapSeconds: number, endMs: number): void {
    const { sequence, discontinuity, discontinuitySequence } = cut
    this.#options.emit(
      {
        kind: 'segment',
        rendition: this.id,
        sequence,
        epoch: this.#window.epoch,
        init: this.#init,
        startedAt,
        discontinuity,
        discontinuitySequence,
        gapSeconds,
      },
      endMs,
    )
  }

  #writeFragment(first: Sample, samples: readonly Sample[]): Uint8Array {
    const described: FragmentSample[] = samples.map((sample) => ({
      size: sample.data.length,
      duration: sample.duration,
      compositionOffset: sample.compositionOffset,
      key: sample.key,
    }))
    this.#fragments++
    // One copy here: the publisher's chunks go free, and a thousand viewers are sent one buffer a part.
    return Buffer.concat(
      writeFragment({
        sequence: this.#fragments,
        tracks: [
          {
            trackId: this.#options.trackId,
            baseDecodeTime: first.dts,
            runs: [{ offset: 0, samples: described }],
          },
        ],
        payload: samples.map((sample) => sample.data),
      }),
    )
  }
}

export function bytesOf(samples: readonly Sample[]): number {
  return samples.reduce((sum, { data }) => sum + data.length, 0)
}

/** How long samples last together. */
export function ticksOf(samples: readonly Sample[]): number {
  return samples.reduce((sum, { duration }) => sum + duration, 0)
}
