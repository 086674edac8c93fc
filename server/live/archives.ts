import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { RecordingIndex } from '../formats/recording/recording-index.ts'
import { type RecordingTotals, totalsOf } from '../formats/recording/recording-totals.ts'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { openFileStore } from '../storage/file.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { ChapterHead, Journal } from './archive-journal.ts'
import { Chapter, openObject, removeAll, type StoredMedia } from './chapter.ts'
import { Deliveries } from './deliveries.ts'
import { JOURNAL_SUFFIX, type LeftJournal, readLeftJournals } from './left-journals.ts'
import { attachChapters, windowOf } from './restored-window.ts'
import { StreamArchive } from './stream-archive.ts'
import type { LiveWindow } from './window.ts'
import type { WindowLimits } from './window-limits.ts'

/** Something about a recording that others may want to be told. */
export interface RecordingEvent {
  /** `record-failed`: its store cannot be written, or segments of it are missing; it goes on. */
  readonly kind: 'record-started' | 'record-ended' | 'record-failed'
  readonly stream: string
  /** `recordings/NAME/START`: what it plays as under `/vod`. */
  readonly key: string
  readonly at: number
  /** Of a failure, in words for the operator. */
  readonly reason?: string | undefined
}

/** A recording that is wholly in its store. */
export interface CompleteRecording {
  readonly key: string
  readonly origin: string
  readonly index: RecordingIndex
}

export interface ArchivesOptions {
  /** Journals and objects lie below; made when it is missing. */
  readonly folder: string
  /** Where objects wait, or stay for rewinding; a folder of `folder` unless given. */
  readonly local?: ObjectStore | undefined
  /** The origin that streams are recorded to; undefined: they are kept for rewinding only. */
  readonly record?: string | undefined
  /** The store of an origin: recordings of an earlier start may belong in another one than `record`. */
  readonly storeOf: (origin: string) => ObjectStore
  /** Disk that all recordings together may wait on while their stores cannot be written. */
  readonly queueBytes: number
  readonly limits: WindowLimits
  readonly clock: Clock
  readonly log: Log
  readonly onRecording?: ((event: RecordingEvent) => void) | undefined
  /** Done before anything here forgets it; a failure is tried again. May be told twice of one. */
  readonly onComplete?: ((recording: CompleteRecording) => Promise<void>) | undefined
}

/** A recording as this process knows it. */
export interface RecordingState extends RecordingTotals {
  readonly stream: string
  readonly key: string
  readonly origin: string
  readonly startedAt: number
  /** `recording`: media comes; `finishing`: the last of it is on its way to the store. */
  readonly state: 'recording' | 'finishing'
  /** On this machine's disk, not yet in the store. */
  readonly waitingBytes: number
  /** Its store cannot be written at the moment. */
  readonly storeFails: boolean
}

/** How long a stream that stood still is gone on with. */
const OLD_MS = 10 * 60_000
const READ_MS = 10_000

/** What was sent live and has left memory: for rewinding, and as recordings. */
export class Archives {
  readonly #options: ArchivesOptions
  readonly #journals: string
  readonly #local: ObjectStore
  readonly #streams = new Map<LiveWindow, StreamArchive>()
  readonly #chapters = new Map<string, Chapter>()
  readonly #deliveries: Deliveries
  readonly #unlisted = new Set<Chapter>()
  readonly #closed = new Set<Chapter>()
  readonly #lastStarts = new Map<string, number>()

  constructor(options: ArchivesOptions) {
    this.#options = options
    this.#journals = join(options.folder, 'journals')
    this.#local = options.local ?? openFileStore(join(options.folder, 'objects'), options)
    this.#deliveries = new Deliveries({
      ...options,
      onLost: ({ head }, rendition, sequence) => {
        for (const { window } of this.#streams.values())
          if (window.id === head.id) window.lose(rendition, sequence)
      },
      onFailing: (chapter, reason) => this.#tell('record-failed', chapter, reason),
      beforeDone: (chapter) => this.#complete(chapter),
      onDelivered: (chapter) => this.#mayGo(chapter),
    })
  }

  /**
   * Takes up what an earlier process left: recordings are closed and brought to their store, `saved` windows get their older
   * segments back, and a window that was not saved is made anew from its journals. Gives all windows that go on.
   */
  async resume(saved: readonly LiveWindow[]): Promise<readonly LiveWindow[]> {
    await mkdir(this.#journals, { recursive: true, mode: 0o700 })
    await mkdir(join(this.#options.folder, 'objects'), { recursive: true, mode: 0o700 })
    const { left, unread } = await readLeftJournals(this.#journals, {
      ...this.#options,
      local: this.#local,
    })
    const windows = [...saved]
    for (const id of new Set(left.map(({ journal }) => journal.head.id))) {
      const journals = left.filter(({ journal }) => journal.head.id === id)
      const window = windows.find((one) => one.id === id) ?? this.#rebuild(journals)
      if (window && !windows.includes(window)) windows.push(window)
      const chapters = journals.map(({ chapter }) => chapter)
      if (window) attachChapters(window, chapters)
      for (const { chapter, journal } of journals) {
        this.#chapters.set(chapter.place, chapter)
        this.#takeStart(chapter.head)
        this.#finish(chapter, journal)
      }
      if (window) this.#watch(window, chapters)
      else for (const chapter of chapters) this.#unlist(chapter)
    }
    // A journal that could not be read may name what no other does.
    if (unread === 0) void this.#sweep()
    return windows
  }

  /** Keeps what this window closes from now on. */
  watch(window: LiveWindow): void {
    const { windowSeconds, dvrSeconds } = window
    const wanted = this.#options.record !== undefined || dvrSeconds > windowSeconds
    if (wanted && !this.#streams.has(window)) this.#watch(window, [])
  }

  /** Recordings do not show what comes under this epoch. */
  expectSlate(window: LiveWindow, epoch: string): void {
    this.#streams.get(window)?.expectSlate(epoch)
  }

  /** The window is dropped: nothing of it is listed any more. */
  drop(window: LiveWindow): void {
    this.#streams.get(window)?.drop()
    this.#streams.delete(window)
  }

  /** Closed segments that are in memory only. */
  get waitingSegments(): number {
    return [...this.#streams.values()].reduce((sum, { waiting }) => sum + waiting, 0)
  }

  /** An object of a place, wherever it is now; undefined when it is nowhere. */
  async read(
    place: string,
    uri: string,
    signal: AbortSignal,
    origin = this.originOf(place.slice(0, -1)),
  ): Promise<StoredMedia | undefined> {
    const { clock, storeOf } = this.#options
    const key = place + uri
    const here = await openObject(this.#local, key, clock, signal)
    if (here || origin === undefined) return here
    return openObject(storeOf(origin), key, clock, signal)
  }

  /** A recording that this process is still at work on; `key` as `recordings/NAME/START`. */
  running(key: string): RecordingIndex | undefined {
    const chapter = this.#chapters.get(`${key}/`)
    if (!chapter?.head.record || chapter.delivered) return undefined
    return chapter.index(this.#closed.has(chapter))
  }

  /** Where it is recorded to; undefined when nothing here knows it. */
  originOf(key: string): string | undefined {
    return this.#chapters.get(`${key}/`)?.head.record
  }

  states(): readonly RecordingState[] {
    return [...this.#chapters.values()].flatMap((chapter) => {
      const { record: origin, name: stream, startedAt } = chapter.head
      if (origin === undefined || chapter.delivered) return []
      const delivery = this.#deliveries.of(chapter)
      return [
        {
          stream,
          key: keyOf(chapter),
          origin,
          startedAt,
          state: this.#closed.has(chapter) ? ('finishing' as const) : ('recording' as const),
          ...totalsOf(chapter.index(false)),
          waitingBytes: delivery?.waitingBytes ?? 0,
          storeFails: delivery?.failing ?? false,
        },
      ]
    })
  }

  /** Writes what is closed, ends recordings, and gives their store up to `ms` for what is on its way. */
  async close(ms: number): Promise<void> {
    const { clock } = this.#options
    const never = new AbortController().signal
    const streams = [...this.#streams.values()]
    try {
      await withDeadline(clock, ms, 'closing the archive', never, async () => {
        await Promise.all(streams.map((one) => one.close()))
      })
    } catch (error) {
      this.#options.log.warn('the archive is not whole', { reason: describeError(error) })
    }
    await this.#deliveries.close(ms)
  }

  /** The objects of a delivered recording are about to go: what still rewinds in it has gaps from now on. */
  async discard(key: string): Promise<void> {
    const chapter = this.#chapters.get(`${key}/`)
    if (!chapter) return
    if (!chapter.delivered)
      throw new NearcastError('conflict', `${key} is not wholly in its store yet`)
    for (const { window } of this.#streams.values())
      if (window.id === chapter.head.id)
        for (const [rendition, { segments }] of chapter.renditions)
          for (const { sequence } of segments) window.lose(rendition, sequence)
    this.#chapters.delete(chapter.place)
    await chapter.destroy()
  }

  #watch(window: LiveWindow, past: readonly Chapter[]): void {
    const { clock, log, record } = this.#options
    const archive = new StreamArchive(window, past, {
      clock,
      log,
      record,
      openChapter: (head) => this.#open(head),
      onKept: (chapter, rendition, kept) => this.#deliveries.add(chapter, rendition, kept),
      onClosed: (chapter) => this.#close(chapter),
      onUnlisted: (chapter) => this.#unlist(chapter),
      uniqueStart: (name, at) => this.#uniqueStart(name, at),
    })
    this.#streams.set(window, archive)
    // As long as its channel keeps it.
    window.listen((event) => {
      if (event.kind === 'end') clock.after(2000 * window.windowSeconds, () => this.drop(window))
    })
  }

  #open(head: ChapterHead): Chapter {
    const chapter = new Chapter(head, this.#fileOf(head), {
      local: this.#local,
      clock: this.#options.clock,
    })
    this.#chapters.set(chapter.place, chapter)
    this.#deliveries.begin(chapter)
    if (head.record !== undefined) this.#tell('record-started', chapter)
    return chapter
  }

  async #complete(chapter: Chapter): Promise<void> {
    const { record: origin } = chapter.head
    if (origin === undefined) return
    await this.#options.onComplete?.({ key: keyOf(chapter), origin, index: chapter.index(true) })
  }

  #close(chapter: Chapter): void {
    if (this.#closed.has(chapter)) return
    this.#closed.add(chapter)
    this.#deliveries.end(chapter)
    if (chapter.head.record !== undefined && !chapter.delivered) this.#tell('record-ended', chapter)
  }

  #tell(kind: RecordingEvent['kind'], chapter: Chapter, reason?: string): void {
    const { log, clock, onRecording } = this.#options
    const { name: stream } = chapter.head
    const key = keyOf(chapter)
    log.info(kind, { stream, recording: key, reason })
    onRecording?.({ kind, stream, key, at: clock.now(), reason })
  }

  #unlist(chapter: Chapter): void {
    this.#unlisted.add(chapter)
    this.#mayGo(chapter)
  }

  /** Nothing names it, and a recording is where it belongs: its journal and what is left here go. */
  #mayGo(chapter: Chapter): void {
    if (!this.#unlisted.has(chapter) || !chapter.delivered) return
    this.#unlisted.delete(chapter)
    this.#closed.delete(chapter)
    this.#chapters.delete(chapter.place)
    chapter.destroy().catch((error: unknown) => {
      this.#options.log.warn('a part of the archive cannot be removed', {
        place: chapter.place,
        reason: describeError(error),
      })
    })
  }

  /** A recording that was cut off ends where its last closed segment ends, and is brought to its store. */
  #finish(chapter: Chapter, { entries }: Journal): void {
    if (chapter.head.record !== undefined && !chapter.delivered)
      this.#deliveries.resume(chapter, entries)
    this.#close(chapter)
  }

  /** Objects for rewinding that no journal knows: the process was killed between the two, or the journal was damaged. */
  async #sweep(): Promise<void> {
    const { clock, log } = this.#options
    const known = new Set(this.#chapters.keys())
    try {
      for (const stream of await this.#foldersIn('rewind/'))
        for (const place of await this.#foldersIn(stream)) {
          // Begun meanwhile.
          if (known.has(place) || this.#chapters.has(place)) continue
          await removeAll({ local: this.#local, clock }, place)
        }
    } catch (error) {
      log.warn('what is left of an archive cannot be removed', { reason: describeError(error) })
    }
  }

  async #foldersIn(prefix: string): Promise<readonly string[]> {
    const signal = AbortSignal.timeout(READ_MS)
    const { prefixes } = await this.#local.list(prefix, { delimiter: '/', limit: 1000, signal })
    return prefixes
  }

  #rebuild(left: readonly LeftJournal[]): LiveWindow | undefined {
    const { clock, limits, log } = this.#options
    const journals = left.map(({ journal }) => journal)
    const stream = journals[0]?.head.name
    try {
      const window = windowOf(journals, { now: clock.now(), oldMs: OLD_MS, limits })
      if (window) log.info('a live window was not saved: it goes on from the archive', { stream })
      return window
    } catch (error) {
      // What cannot be gone on with must not keep the others, or the server, from beginning.
      log.warn('a live window cannot be made from its archive', {
        stream,
        reason: describeError(error),
      })
      return undefined
    }
  }

  #fileOf({ place }: ChapterHead): string {
    return join(this.#journals, `${place.slice(0, -1).replaceAll('/', '.')}${JOURNAL_SUFFIX}`)
  }

  /** To the second, and never one that a recording of this name has already. */
  #uniqueStart(name: string, at: number): number {
    const last = this.#lastStarts.get(name) ?? 0
    const start = Math.max(Math.floor(at / 1000) * 1000, last + 1000)
    this.#lastStarts.set(name, start)
    return start
  }

  #takeStart({ name, startedAt }: ChapterHead): void {
    this.#lastStarts.set(name, Math.max(this.#lastStarts.get(name) ?? 0, startedAt))
  }
}

function keyOf({ place }: Chapter): string {
  return place.slice(0, -1)
}
