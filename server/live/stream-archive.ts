import { recordingStart } from '../formats/recording/recording-index.ts'
import type { Clock } from '../lib/clock.ts'
import { type Deferred, deferred } from '../lib/deferred.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Chapter } from './chapter.ts'
import type { ChapterHead, JournalEntry } from './archive-journal.ts'
import { segmentUri } from './address.ts'
import type { Rendition, Segment } from './segment.ts'
import type { LiveWindow } from './window.ts'
import type { RenditionId, SegmentEvent, WindowEvent } from './window-event.ts'

export interface StreamArchiveDeps {
  readonly clock: Clock
  readonly log: Log
  /** The origin that is recorded to; undefined: kept for rewinding only. */
  readonly record: string | undefined
  readonly openChapter: (head: ChapterHead) => Chapter
  /** A segment's object, or an init section, is on the local disk. */
  readonly onKept: (
    chapter: Chapter,
    rendition: RenditionId,
    kept: { readonly uri: string; readonly bytes: number; readonly sequence: number | undefined },
  ) => void
  /** Nothing more is written to it. */
  readonly onClosed: (chapter: Chapter) => void
  /** The window names nothing of it any more. */
  readonly onUnlisted: (chapter: Chapter) => void
  /** START of a recording that begins now: none has it twice. */
  readonly uniqueStart: (name: string, at: number) => number
}

interface Closed {
  readonly rendition: Rendition
  readonly segment: Segment
}

/** Journals and indexes stay small: a longer run goes on in another recording. */
const RECORDING_MS_MAX = 12 * 3_600_000
/** Of what is kept for rewinding: a journal goes when its last segment does. */
const REWIND_MS_MAX = 3_600_000
/** Of those whose segments may still wait. */
const SLATES_MAX = 100
const REST_FIRST_MS = 250
const REST_MAX_MS = 10_000

/**
 * Writes the closed segments of one window to the disk, one after the other, and tells the window, which lets go of them then.
 * Its queue is the window: what that had to drop before it was written is a gap.
 */
export class StreamArchive {
  readonly window: LiveWindow
  readonly #deps: StreamArchiveDeps
  readonly #chapters: Chapter[] = []
  readonly #listening: Disposable
  #queue: Closed[] = []
  #woken: Deferred<void> = deferred()
  #idle: Deferred<void> | undefined
  readonly #hurry = new AbortController()
  #closing = false
  #over = false
  readonly #slates = new Set<string>()
  #restMs = REST_FIRST_MS
  #failing = false
  #lost = 0
  #begun = -1
  #dropped: { readonly rendition: RenditionId; readonly segment: Segment }[] = []

  /** `past`: chapters that hold older segments of the window, which know their places. */
  constructor(window: LiveWindow, past: readonly Chapter[], deps: StreamArchiveDeps) {
    this.window = window
    this.#deps = deps
    this.#chapters.push(...past)
    for (const chapter of past) chapter.until = Number.NEGATIVE_INFINITY
    for (const rendition of window.renditions)
      for (const segment of rendition.segments)
        if (segment.place !== undefined) this.#count(segment.place, 1)
        else if (!segment.open && !segment.gap) this.#queue.push({ rendition, segment })
    // What lies behind a hole is not in the window, and is nobody's from the beginning.
    for (const chapter of past) this.#mayBeUnlisted(chapter)
    window.onForgotten = (rendition, segment) => this.#forgotten(rendition, segment)
    this.#listening = window.listen((event) => this.#take(event))
    void this.#run()
  }

  get current(): Chapter | undefined {
    const last = this.#chapters.at(-1)
    return last && last.until === Number.POSITIVE_INFINITY ? last : undefined
  }

  /** Closed segments that are not written yet. */
  get waiting(): number {
    return this.#queue.length
  }

  /** What is kept under this epoch is rewound to, but recordings do not show it. */
  expectSlate(epoch: string): void {
    this.#slates.add(epoch)
    if (this.#slates.size > SLATES_MAX)
      for (const oldest of this.#slates) return void this.#slates.delete(oldest)
  }

  /** No more is taken; resolves when what is closed is written, or cannot be. */
  async close(): Promise<void> {
    this.#listening[Symbol.dispose]()
    if (this.#over) return
    this.#closing = true
    this.#idle = deferred()
    this.#hurry.abort()
    this.#woken.resolve()
    await this.#idle.promise
  }

  /** The window is no more: nothing of it is listed. */
  drop(): void {
    this.window.onForgotten = undefined
    for (const chapter of this.#chapters.toReversed()) {
      chapter.listed = 0
      this.#mayBeUnlisted(chapter)
    }
  }

  #take(event: WindowEvent): void {
    if (event.kind === 'end') this.#closing = true
    const closed = event.kind === 'close' || (event.kind === 'segment' && event.gapSeconds > 0)
    const rendition = closed ? this.window.rendition(event.rendition) : undefined
    const segment = closed
      ? rendition?.segments.findLast(({ sequence }) => sequence === event.sequence)
      : undefined
    if (rendition && segment) this.#queue.push({ rendition, segment })
    if (event.kind === 'promise' && this.current) void this.#note(this.current, event)
    if (event.kind === 'segment') this.#noteBegun(event)
    this.#woken.resolve()
  }

  /** At once: a disk may be many segments behind, and after kill -9 no number may come twice. */
  #noteBegun({ sequence, discontinuitySequence }: SegmentEvent): void {
    const { current } = this
    if (!current || current.newest < 0 || sequence <= this.#begun) return
    this.#begun = sequence
    void this.#note(current, { kind: 'begun', sequence, discontinuitySequence })
  }

  async #run(): Promise<void> {
    for (;;) {
      await this.#removeDropped()
      const next = this.#queue[0]
      if (!next) {
        if (this.#closing) break
        this.#woken = deferred()
        await this.#woken.promise
        continue
      }
      if (await this.#keep(next)) this.#queue.shift()
      else if (this.#idle) break
    }
    this.#closeChapters(Number.POSITIVE_INFINITY)
    if (this.window.ended)
      for (const chapter of this.#chapters) await this.#note(chapter, { kind: 'window-end' })
    this.#over = true
    this.#idle?.resolve()
  }

  /** False when it must be tried again. */
  async #keep({ rendition, segment }: Closed): Promise<boolean> {
    const { id } = rendition
    // A window begins with a segment that is missing: nothing before it misses it.
    if (segment.gap && !this.current) return true
    if (!segment.held && !segment.gap) {
      this.#sayLost(segment)
      return true
    }
    try {
      const chapter = await this.#chapterOf(segment)
      const media = segment.parts.flatMap(({ bytes }) => (bytes ? [bytes] : []))
      const gap = segment.gap || media.length < segment.parts.length
      const slate = this.#slates.has(segment.epoch)
      if (!chapter.hasInit(id, segment.init)) await this.#keepInit(chapter, rendition, segment.init)
      await chapter.keep(
        id,
        { ...recordOf(segment, gap), ...(slate && { slate }) },
        gap ? [] : media,
      )
      if (!gap) {
        const { sequence, byteLength: bytes } = segment
        this.#deps.onKept(chapter, id, { uri: segmentUri(id, segment), bytes, sequence })
        if (!this.window.store(id, sequence, chapter.place))
          this.#forgotten(id, { ...segment, place: chapter.place })
      }
      this.#closeChapters(segment.sequence)
      this.#recovered()
      return true
    } catch (error) {
      await this.#rest(error)
      return false
    }
  }

  async #keepInit(chapter: Chapter, rendition: Rendition, uri: string): Promise<void> {
    const { id, facts, bitsPerSecond } = rendition
    const bytes = this.window.init(id, uri)
    if (!bytes) return
    await chapter.keepInit(id, uri, { facts, bitsPerSecond }, bytes)
    this.#deps.onKept(chapter, id, { uri, bytes: bytes.length, sequence: undefined })
  }

  async #chapterOf({ sequence, startedAt }: Segment): Promise<Chapter> {
    const { clock, record } = this.#deps
    const { current } = this
    const longest = record === undefined ? REWIND_MS_MAX : RECORDING_MS_MAX
    if (current && clock.now() - current.head.startedAt > longest)
      current.until = Math.max(current.newest, sequence) + 1
    return this.#chapters.find(({ until }) => sequence < until) ?? this.#begin(startedAt)
  }

  async #begin(startedAt: number): Promise<Chapter> {
    const { record } = this.#deps
    const { id, name, bornAt, windowSeconds, dvrSeconds } = this.window
    const start = this.#deps.uniqueStart(name, startedAt)
    const folder = recordingStart(start)
    const chapter = this.#deps.openChapter({
      kind: 'chapter',
      version: 1,
      id,
      name,
      bornAt,
      windowSeconds,
      dvrSeconds,
      place: `${record === undefined ? 'rewind' : 'recordings'}/${name}/${folder}/`,
      startedAt: start,
      ...(record !== undefined && { record }),
    })
    this.#chapters.push(chapter)
    const { partTargetSeconds, currentTarget, targets, targetFloor } = this.window
    if (partTargetSeconds !== undefined) await chapter.note({ kind: 'pace', partTargetSeconds })
    if (currentTarget !== undefined)
      await chapter.note({ kind: 'promise', targets, current: currentTarget, floor: targetFloor })
    return chapter
  }

  /** A full chapter is closed when all renditions have got past its end. */
  #closeChapters(sequence: number): void {
    for (const chapter of this.#chapters) {
      const everything = sequence === Number.POSITIVE_INFINITY
      if (chapter.until === Number.NEGATIVE_INFINITY) continue
      if (!everything && sequence < chapter.until + 3) continue
      chapter.until = Number.NEGATIVE_INFINITY
      this.#deps.onClosed(chapter)
      this.#mayBeUnlisted(chapter)
    }
  }

  #forgotten(rendition: RenditionId, segment: Segment): void {
    this.#dropped.push({ rendition, segment })
    this.#woken.resolve()
  }

  #count(place: string, by: number): void {
    const chapter = this.#chapters.find((one) => one.place === place)
    if (!chapter) return
    chapter.listed += by
    this.#mayBeUnlisted(chapter)
  }

  #mayBeUnlisted(chapter: Chapter): void {
    if (chapter.listed > 0 || chapter.until !== Number.NEGATIVE_INFINITY) return
    const at = this.#chapters.indexOf(chapter)
    if (at < 0) return
    this.#chapters.splice(at, 1)
    this.#deps.onUnlisted(chapter)
  }

  /** Of recordings the objects stay. */
  async #removeDropped(): Promise<void> {
    for (const { rendition, segment } of this.#dropped.splice(0)) {
      const { place } = segment
      const chapter = this.#chapters.find((one) => one.place === place)
      if (chapter?.head.record === undefined)
        await this.#remove(chapter, segmentUri(rendition, segment))
      if (place !== undefined) this.#count(place, -1)
    }
  }

  async #remove(chapter: Chapter | undefined, uri: string): Promise<void> {
    try {
      await chapter?.remove(uri)
    } catch (error) {
      this.#deps.log.warn('an old segment cannot be removed', {
        stream: this.window.name,
        reason: describeError(error),
      })
    }
  }

  async #note(chapter: Chapter, entry: JournalEntry): Promise<void> {
    try {
      await chapter.note(entry)
    } catch (error) {
      this.#deps.log.warn('the journal of an archive cannot be written', {
        stream: this.window.name,
        reason: describeError(error),
      })
    }
  }

  #sayLost({ sequence }: Segment): void {
    this.#lost++
    // One line for each time that the disk does not keep up.
    if (this.#lost === 1)
      this.#deps.log.error(
        'segments are missing in the archive: they could not be written in time',
        {
          stream: this.window.name,
          sequence,
        },
      )
  }

  #recovered(): void {
    this.#restMs = REST_FIRST_MS
    if (!this.#failing) return
    this.#deps.log.info('the archive can be written again', {
      stream: this.window.name,
      missing: this.#lost,
    })
    this.#failing = false
    this.#lost = 0
  }

  async #rest(error: unknown): Promise<void> {
    const { clock, log } = this.#deps
    if (!this.#failing)
      log.warn('the archive of a live stream cannot be written', {
        stream: this.window.name,
        reason: describeError(error),
      })
    this.#failing = true
    if (this.#idle) return
    const ms = this.#restMs
    this.#restMs = Math.min(REST_MAX_MS, ms * 2)
    try {
      await clock.sleep(ms, this.#hurry.signal)
    } catch {
      // Closed meanwhile: one more try.
    }
  }
}

function recordOf(segment: Segment, gap: boolean) {
  const { sequence, epoch, init, startedAt, discontinuity, discontinuitySequence } = segment
  return {
    sequence,
    epoch,
    init,
    startedAt,
    discontinuity,
    discontinuitySequence,
    seconds: segment.durationSeconds,
    bytes: segment.byteLength,
    samples: segment.parts.reduce((sum, { samples }) => sum + samples, 0),
    independent: segment.parts[0]?.independent ?? false,
    gap,
  }
}
