import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { RecordingIndex } from '../formats/recording/recording-index.ts'
import type { Body } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { describeError, hasCode } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { openFileStore } from '../storage/file.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { segmentUri } from './address.ts'
import { type ChapterHead, type Journal, readJournal } from './archive-journal.ts'
import { Chapter, readLocal, removeAll } from './chapter.ts'
import { Delivery } from './delivery.ts'
import { attachChapters, windowOf } from './restored-window.ts'
import { StreamArchive } from './stream-archive.ts'
import type { LiveWindow, WindowLimits } from './window.ts'

/** Something about a recording that others may want to be told. */
export interface RecordingEvent {
  readonly kind: 'started' | 'ended'
  readonly stream: string
  /** `recordings/NAME/START`: what it plays as under `/vod`. */
  readonly key: string
  readonly at: number
}

export interface ArchivesOptions {
  /** Journals and objects lie below; made when it is missing. */
  readonly folder: string
  /** Where objects wait, or stay for rewinding; a folder of `folder` unless given. */
  readonly local?: ObjectStore | undefined
  /** Where streams are recorded to; undefined: they are kept for rewinding only. */
  readonly record?: { readonly origin: string; readonly store: ObjectStore } | undefined
  /** Disk that a recording may wait on while its store cannot be written. */
  readonly queueBytes: number
  readonly limits: WindowLimits
  readonly clock: Clock
  readonly log: Log
  readonly onRecording?: ((event: RecordingEvent) => void) | undefined
}

/** A recording as this process knows it. */
export interface RecordingState {
  readonly stream: string
  readonly key: string
  readonly startedAt: number
  /** `recording`: media comes; `finishing`: the last of it is on its way to the store. */
  readonly state: 'recording' | 'finishing'
  readonly seconds: number
  readonly bytes: number
  /** On this machine's disk, not yet in the store. */
  readonly waitingBytes: number
  readonly missingSegments: number
  /** Its store cannot be written at the moment. */
  readonly storeFails: boolean
}

export interface StoredMedia {
  readonly length: number
  readonly body: Body
}

/** How long a stream that stood still is gone on with. */
const OLD_MS = 10 * 60_000
const JOURNAL_BYTES_MAX = 512 * 1024 * 1024
const READ_MS = 10_000
const SUFFIX = '.ndjson'

/** What was sent live and has left memory: for rewinding, and as recordings. */
export class Archives {
  readonly #options: ArchivesOptions
  readonly #journals: string
  readonly #local: ObjectStore
  readonly #streams = new Map<LiveWindow, StreamArchive>()
  readonly #chapters = new Map<string, Chapter>()
  readonly #deliveries = new Map<Chapter, Delivery>()
  readonly #unlisted = new Set<Chapter>()
  readonly #closed = new Set<Chapter>()
  readonly #lastStarts = new Map<string, number>()

  constructor(options: ArchivesOptions) {
    this.#options = options
    this.#journals = join(options.folder, 'journals')
    this.#local = options.local ?? openFileStore(join(options.folder, 'objects'), options)
  }

  /**
   * Takes up what an earlier process left: recordings are closed and brought to their store, `saved` windows get their older
   * segments back, and a window that was not saved is made anew from its journals. Gives all windows that go on.
   */
  async resume(saved: readonly LiveWindow[]): Promise<readonly LiveWindow[]> {
    await mkdir(this.#journals, { recursive: true, mode: 0o700 })
    await mkdir(join(this.#options.folder, 'objects'), { recursive: true, mode: 0o700 })
    const left = await this.#readJournals()
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
    void this.#sweep()
    return windows
  }

  /** Keeps what this window closes from now on. */
  watch(window: LiveWindow): void {
    const { windowSeconds, dvrSeconds } = window
    const wanted = this.#options.record !== undefined || dvrSeconds > windowSeconds
    if (wanted && !this.#streams.has(window)) this.#watch(window, [])
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
  async read(place: string, uri: string, signal: AbortSignal): Promise<StoredMedia | undefined> {
    const { clock, record } = this.#options
    const key = place + uri
    const here = await readLocal({ local: this.#local, clock }, key, signal)
    if (here) return { length: here.length, body: here }
    if (!record || !place.startsWith('recordings/')) return undefined
    const stay = new AbortController()
    const leave = () => stay.abort(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    try {
      const read = await withDeadline(clock, READ_MS, `reading ${key}`, signal, () =>
        record.store.read(key, { signal: stay.signal }),
      )
      return { length: read.length, body: read.body }
    } catch (error) {
      stay.abort(error)
      if (hasCode(error, 'object-not-found')) return undefined
      throw error
    }
  }

  /** A recording that this process is still at work on; `key` as `recordings/NAME/START`. */
  running(key: string): RecordingIndex | undefined {
    const chapter = this.#chapters.get(`${key}/`)
    if (!chapter?.head.record || chapter.delivered) return undefined
    return chapter.index(this.#closed.has(chapter))
  }

  states(): readonly RecordingState[] {
    return [...this.#chapters.values()].flatMap((chapter) => {
      if (chapter.head.record === undefined || chapter.delivered) return []
      const segments = [...chapter.renditions.values()].map((one) => one.segments)
      const all = segments.flat()
      const delivery = this.#deliveries.get(chapter)
      return [
        {
          stream: chapter.head.name,
          key: chapter.place.slice(0, -1),
          startedAt: chapter.head.startedAt,
          state: this.#closed.has(chapter) ? ('finishing' as const) : ('recording' as const),
          seconds: Math.max(
            0,
            ...segments.map((own) => own.reduce((sum, { seconds }) => sum + seconds, 0)),
          ),
          bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
          waitingBytes: delivery?.waitingBytes ?? 0,
          missingSegments: all.filter(({ gap }) => gap).length,
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
    await Promise.all([...this.#deliveries.values()].map((one) => one.settle(ms)))
    for (const one of this.#deliveries.values()) one.stop()
  }

  #watch(window: LiveWindow, past: readonly Chapter[]): void {
    const { clock, log, record } = this.#options
    const archive = new StreamArchive(window, past, {
      clock,
      log,
      record: record?.origin,
      openChapter: (head) => this.#open(head),
      onKept: (chapter, rendition, { uri, bytes, sequence }) => {
        const audio = chapter.renditions.get(rendition)?.facts.kind === 'audio'
        const type = audio ? 'audio/mp4' : 'video/mp4'
        this.#deliveries.get(chapter)?.add({ uri, bytes, rendition, sequence, type })
      },
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
    this.#deliver(chapter)
    if (head.record !== undefined) this.#tell('started', chapter)
    return chapter
  }

  #deliver(chapter: Chapter): Delivery | undefined {
    const { record, clock, log, queueBytes } = this.#options
    if (chapter.head.record === undefined || chapter.delivered || !record) return undefined
    const delivery = new Delivery(chapter, {
      store: record.store,
      clock,
      log,
      queueBytes,
      onLost: (rendition, sequence) => {
        for (const { window } of this.#streams.values())
          if (window.id === chapter.head.id) window.lose(rendition, sequence)
      },
      onDelivered: () => {
        this.#deliveries.delete(chapter)
        log.info('a recording is complete', { recording: chapter.place })
        this.#mayGo(chapter)
      },
    })
    this.#deliveries.set(chapter, delivery)
    return delivery
  }

  #close(chapter: Chapter): void {
    if (this.#closed.has(chapter)) return
    this.#closed.add(chapter)
    this.#deliveries.get(chapter)?.end()
    if (chapter.head.record !== undefined) this.#tell('ended', chapter)
  }

  #tell(kind: RecordingEvent['kind'], { head, place }: Chapter): void {
    const { log, clock, onRecording } = this.#options
    const key = place.slice(0, -1)
    log.info('recording', { stream: head.name, recording: key, state: kind })
    onRecording?.({ kind, stream: head.name, key, at: clock.now() })
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
    const { record, log } = this.#options
    if (chapter.head.record !== undefined && record?.origin !== chapter.head.record) {
      if (!chapter.delivered)
        log.warn('a recording stays unfinished: live.record names another origin now', {
          recording: chapter.place,
          origin: chapter.head.record,
        })
      return
    }
    const delivery = this.#deliver(chapter)
    if (delivery) {
      const moved = new Set<string>()
      for (const entry of entries)
        if (entry.kind === 'moved') moved.add(`${entry.rendition} ${entry.sequence}`)
      for (const [rendition, { facts, inits, segments }] of chapter.renditions) {
        const type = facts.kind === 'audio' ? 'audio/mp4' : 'video/mp4'
        for (const uri of inits)
          delivery.add({ uri, bytes: 0, rendition, sequence: undefined, type })
        for (const segment of segments) {
          const { sequence, bytes, gap } = segment
          if (gap || moved.has(`${rendition} ${sequence}`)) continue
          delivery.add({ uri: segmentUri(rendition, segment), bytes, rendition, sequence, type })
        }
      }
    }
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

  #rebuild(left: readonly Left[]): LiveWindow | undefined {
    const { clock, limits, log } = this.#options
    const journals = left.map(({ journal }) => journal)
    const window = windowOf(journals, { now: clock.now(), oldMs: OLD_MS, limits })
    if (window)
      log.info('a live window was not saved: it goes on from the archive', { stream: window.name })
    return window
  }

  async #readJournals(): Promise<readonly Left[]> {
    const { log, clock } = this.#options
    const left: Left[] = []
    for (const name of await readdir(this.#journals)) {
      if (!name.endsWith(SUFFIX)) continue
      const file = join(this.#journals, name)
      try {
        const bytes = await readFile(file)
        if (bytes.length > JOURNAL_BYTES_MAX) throw new RangeError(`${bytes.length} bytes`)
        const journal = readJournal(bytes)
        const chapter = Chapter.of(journal, file, { local: this.#local, clock })
        await chapter.mend(journal.length)
        left.push({ chapter, journal })
      } catch (error) {
        log.warn('a journal of the archive cannot be read', {
          file: name,
          reason: describeError(error),
        })
        await rm(file, { force: true })
      }
    }
    return left.sort((a, b) => a.journal.head.startedAt - b.journal.head.startedAt)
  }

  #fileOf({ place }: ChapterHead): string {
    return join(this.#journals, `${place.slice(0, -1).replaceAll('/', '.')}${SUFFIX}`)
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

interface Left {
  readonly chapter: Chapter
  readonly journal: Journal
}
