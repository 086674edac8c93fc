import { appendFile, rm, truncate } from 'node:fs/promises'
import type {
  RecordedFacts,
  RecordedSegment,
  RecordingIndex,
} from '../formats/recording/recording-index.ts'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { hasCode } from '../lib/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { segmentUri } from './address.ts'
import {
  type ChapterHead,
  type Journal,
  type JournalEntry,
  writeJournalLine,
} from './archive-journal.ts'
import type { RenditionFacts, RenditionId } from './window-event.ts'

export interface ChapterDeps {
  /** Under the data folder. */
  readonly local: ObjectStore
  readonly clock: Clock
}

/** What of a rendition is in a chapter. */
export interface ChapterRendition {
  facts: RecordedFacts
  readonly segments: RecordedSegment[]
  /** Objects of init sections. */
  readonly inits: Set<string>
}

export interface StoredMedia {
  readonly length: number
  readonly body: AsyncIterable<Uint8Array>
}

/** A local write that takes longer has failed. */
const WRITE_MS = 10_000
const REMOVE_MS = 60_000
const PRIVATE = 0o600
const READ_MS = 10_000

/** The objects of a run of segments and the journal that says which there are: an object first, then its line. */
export class Chapter {
  readonly head: ChapterHead
  readonly renditions = new Map<RenditionId, ChapterRendition>()
  /** Segments that go into another chapter begin here. */
  until = Number.POSITIVE_INFINITY
  /** Segments of it that the window names. */
  listed = 0
  /** The highest number of its segments. */
  newest = -1
  /** Of a recording: all is where it is recorded to, the index too. */
  delivered: boolean
  readonly #file: string
  readonly #deps: ChapterDeps
  #begun = false
  #torn = false

  constructor(head: ChapterHead, file: string, deps: ChapterDeps) {
    this.head = head
    this.#file = file
    this.#deps = deps
    this.delivered = head.record === undefined
  }

  /** What a journal says that was left behind. */
  static of(journal: Journal, file: string, deps: ChapterDeps): Chapter {
    const chapter = new Chapter(journal.head, file, deps)
    chapter.#begun = true
    for (const entry of journal.entries) chapter.#replay(entry)
    return chapter
  }

  get place(): string {
    return this.head.place
  }

  /** As it can be played now. */
  index(ended: boolean): RecordingIndex {
    const { name, startedAt } = this.head
    const renditions = [...this.renditions].map(([id, { facts, segments }]) => ({
      id,
      facts,
      segments,
    }))
    return { stream: name, startedAt, ended, renditions }
  }

  /** Appends to the journal; throws what the disk says. */
  async note(entry: JournalEntry): Promise<void> {
    const begin = this.#begun ? '' : writeJournalLine(this.head)
    // A full disk may have torn the line before: this one must not stick to it.
    const apart = this.#torn ? '\n' : ''
    this.#torn = false
    try {
      await appendFile(this.#file, apart + begin + writeJournalLine(entry), { mode: PRIVATE })
    } catch (error) {
      this.#torn = true
      throw error
    }
    this.#begun = true
  }

  /** A torn last line would spoil the next one. */
  async mend(length: number): Promise<void> {
    await truncate(this.#file, length)
  }

  async keepInit(
    rendition: RenditionId,
    uri: string,
    about: { readonly facts: RenditionFacts; readonly bitsPerSecond: number },
    bytes: Uint8Array,
  ): Promise<void> {
    await this.#write(uri, bytes)
    await this.note({
      kind: 'init',
      rendition,
      uri,
      ...about,
      media: Buffer.from(bytes).toString('base64'),
    })
    this.#rendition(rendition, about.facts).inits.add(uri)
  }

  hasInit(rendition: RenditionId, uri: string): boolean {
    return this.renditions.get(rendition)?.inits.has(uri) ?? false
  }

  /** `media`: nothing for a gap. The rendition's init section was kept before. */
  async keep(
    rendition: RenditionId,
    segment: RecordedSegment,
    media: readonly Uint8Array[],
  ): Promise<void> {
    if (!segment.gap) await this.#write(segmentUri(rendition, segment), media)
    await this.note({ kind: 'kept', rendition, ...segment })
    this.renditions.get(rendition)?.segments.push(segment)
    this.newest = Math.max(this.newest, segment.sequence)
    if (!segment.gap) this.listed++
  }

  /** A segment whose object is nowhere. */
  async lose(rendition: RenditionId, sequence: number): Promise<void> {
    this.#becomeGap(rendition, sequence)
    await this.note({ kind: 'lost', rendition, sequence })
  }

  /** An object of it; undefined when it is not here (any more). What is not read to its end is freed by the signal. */
  async open(uri: string, signal: AbortSignal): Promise<StoredMedia | undefined> {
    return openObject(this.#deps.local, this.place + uri, this.#deps.clock, signal)
  }

  async remove(uri: string): Promise<void> {
    const signal = AbortSignal.timeout(WRITE_MS)
    await this.#deps.local.remove(this.place + uri, signal)
  }

  /** Removes all objects that are here, then the journal. */
  async destroy(): Promise<void> {
    await removeAll(this.#deps, this.place)
    await rm(this.#file, { force: true })
  }

  #rendition(id: RenditionId, facts: RecordedFacts): ChapterRendition {
    const known = this.renditions.get(id)
    if (known) {
      known.facts = facts
      return known
    }
    const made: ChapterRendition = { facts, segments: [], inits: new Set() }
    this.renditions.set(id, made)
    return made
  }

  #becomeGap(rendition: RenditionId, sequence: number): void {
    const segments = this.renditions.get(rendition)?.segments
    const at = segments?.findLastIndex((one) => one.sequence === sequence) ?? -1
    const segment = segments?.[at]
    if (segments && segment) segments[at] = { ...segment, gap: true }
  }

  #replay(entry: JournalEntry): void {
    switch (entry.kind) {
      case 'init':
        this.#rendition(entry.rendition, entry.facts).inits.add(entry.uri)
        return
      case 'kept': {
        const { kind: _, rendition, ...segment } = entry
        this.renditions.get(rendition)?.segments.push(segment)
        return
      }
      case 'lost':
        this.#becomeGap(entry.rendition, entry.sequence)
        return
      case 'done':
        this.delivered = true
        return
      // Said for a window, and for what is on its way.
      case 'pace':
      case 'promise':
      case 'begun':
      case 'moved':
      case 'window-end':
        return
    }
  }

  async #write(uri: string, media: Uint8Array | readonly Uint8Array[]): Promise<void> {
    const { local, clock } = this.#deps
    const key = this.place + uri
    const body = media instanceof Uint8Array ? media : each(media)
    const never = new AbortController().signal
    await withDeadline(clock, WRITE_MS, `writing ${key}`, never, (signal) =>
      local.write(key, body, { signal }),
    )
  }
}

/** Removes all local objects of a place. */
export async function removeAll({ local }: ChapterDeps, place: string): Promise<void> {
  const signal = AbortSignal.timeout(REMOVE_MS)
  try {
    for (;;) {
      const { objects } = await local.list(place, { limit: 1000, signal })
      if (objects.length === 0) return
      for (const { key } of objects) await local.remove(key, signal)
    }
  } catch (error) {
    if (!hasCode(error, 'bucket-not-found')) throw error
  }
}

/** undefined when there is no such object. The body is freed by the signal, and the deadline is that of its beginning. */
export async function openObject(
  store: ObjectStore,
  key: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<StoredMedia | undefined> {
  const stay = new AbortController()
  const leave = () => stay.abort(signal.reason)
  signal.addEventListener('abort', leave, { once: true })
  try {
    const { length, body } = await withDeadline(clock, READ_MS, `reading ${key}`, signal, () =>
      store.read(key, { signal: stay.signal }),
    )
    return { length, body }
  } catch (error) {
    signal.removeEventListener('abort', leave)
    stay.abort(error)
    if (hasCode(error, 'object-not-found') || hasCode(error, 'bucket-not-found')) return undefined
    throw error
  }
}

async function* each(media: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* media
}
