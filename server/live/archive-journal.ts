import { z } from 'zod'
import type { RecordedSegment } from '../formats/recording/recording-index.ts'
import { NearcastError } from '../lib/errors.ts'
import {
  count,
  facts,
  pace,
  place,
  promise,
  rendition,
  seconds,
  segment,
  time,
  uri,
} from './event-schema.ts'
import type { RenditionFacts, RenditionId } from './window-event.ts'

/** A run of one window's segments whose objects lie in one place; a recording is one. */
export interface ChapterHead {
  readonly kind: 'chapter'
  readonly version: 1
  /** Of the window. */
  readonly id: string
  readonly name: string
  readonly bornAt: number
  readonly windowSeconds: number
  readonly dvrSeconds: number
  /** What the keys of its objects begin with. */
  readonly place: string
  readonly startedAt: number
  /** The origin that it is recorded to. */
  readonly record?: string | undefined
}

/** One line of a chapter's journal. */
export type JournalEntry =
  | { readonly kind: 'pace'; readonly partTargetSeconds: number }
  | {
      readonly kind: 'promise'
      readonly targets: readonly number[]
      readonly current: number
      readonly floor: number
    }
  | {
      readonly kind: 'init'
      readonly rendition: RenditionId
      readonly uri: string
      readonly facts: RenditionFacts
      readonly bitsPerSecond: number
      /** base64 */
      readonly media: string
    }
  /** Segments of this number have begun: players may know parts of them. */
  | {
      readonly kind: 'begun'
      readonly sequence: number
      readonly discontinuitySequence: number
    }
  /** A closed segment whose object is written, or that is missing (`gap`). */
  | ({ readonly kind: 'kept'; readonly rendition: RenditionId } & RecordedSegment)
  /** Its object is where it is recorded to. */
  | { readonly kind: 'moved'; readonly rendition: RenditionId; readonly sequence: number }
  /** Its object is nowhere. */
  | { readonly kind: 'lost'; readonly rendition: RenditionId; readonly sequence: number }
  | { readonly kind: 'window-end' }
  /** Nothing comes any more; all that is recorded is in place, its index too. */
  | { readonly kind: 'done' }

export interface Journal {
  readonly head: ChapterHead
  readonly entries: readonly JournalEntry[]
  /** Bytes up to the end of the last whole line: what is behind was torn. */
  readonly length: number
}

const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)

const headSchema = z.object({
  kind: z.literal('chapter'),
  version: z.literal(1),
  id: z.string().min(1).max(200),
  name,
  bornAt: time,
  windowSeconds: seconds,
  dvrSeconds: seconds,
  place,
  startedAt: time,
  record: z.string().max(100).optional(),
})

const entrySchema = z.discriminatedUnion('kind', [
  pace,
  promise,
  z.object({
    kind: z.literal('init'),
    rendition,
    uri,
    facts,
    bitsPerSecond: z.number().min(0).max(1e12),
    // Of publishers no decoder configuration is longer than 32 KiB.
    media: z.base64().max(64 * 1024),
  }),
  z.object({
    kind: z.literal('kept'),
    ...segment,
    seconds,
    bytes: count,
    samples: count,
    independent: z.boolean(),
    gap: z.boolean(),
    slate: z.boolean().optional(),
  }),
  z.object({ kind: z.literal('begun'), sequence: count, discontinuitySequence: count }),
  z.object({ kind: z.literal('moved'), rendition, sequence: count }),
  z.object({ kind: z.literal('lost'), rendition, sequence: count }),
  z.object({ kind: z.literal('window-end') }),
  z.object({ kind: z.literal('done') }),
])

export function writeJournalLine(entry: ChapterHead | JournalEntry): string {
  return `${JSON.stringify(entry)}\n`
}

/**
 * Reads what a process wrote until it was killed. A line that a full disk tore is passed over. Throws `origin-failed` when
 * the first whole one is not a chapter's head.
 */
export function readJournal(bytes: Buffer): Journal {
  let head: ChapterHead | undefined
  const entries: JournalEntry[] = []
  let at = 0
  for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, at)) {
    const value = parseJson(bytes.toString('utf8', at, end))
    at = end + 1
    if (head) {
      const parsed = entrySchema.safeParse(value)
      if (parsed.success) entries.push(parsed.data)
      continue
    }
    if (value === undefined) continue
    const parsed = headSchema.safeParse(value)
    if (!parsed.success) break
    head = parsed.data
  }
  if (!head) throw new NearcastError('origin-failed', 'the file is no journal of an archive')
  return { head, entries, length: at }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
