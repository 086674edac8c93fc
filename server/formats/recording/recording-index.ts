import { z } from 'zod'
import type { VideoRange } from '../../codecs/colour.ts'
import { NearcastError } from '../../lib/errors.ts'

/** A segment of a recording: its object is `EPOCH/RENDITION-SEQUENCE.m4s` in the recording's folder. */
export interface RecordedSegment {
  readonly sequence: number
  readonly epoch: string
  /** Object of its init section in the recording's folder. */
  readonly init: string
  /** Milliseconds since 1970. */
  readonly startedAt: number
  readonly discontinuity: boolean
  /** Discontinuities of the stream's life up to this segment, its own included. */
  readonly discontinuitySequence: number
  readonly seconds: number
  readonly bytes: number
  readonly samples: number
  /** Begins with a frame that needs no other. */
  readonly independent: boolean
  /** Its media is missing. */
  readonly gap: boolean
  /** It stood in for a publisher that was gone: it is there to rewind, and not shown. */
  readonly slate?: boolean | undefined
}

export interface RecordedFacts {
  readonly kind: 'video' | 'audio'
  /** RFC 6381. */
  readonly codecString: string
  readonly width: number
  readonly height: number
  readonly channels: number
  readonly language: string
  readonly videoRange?: VideoRange | undefined
}

export interface RecordedRendition {
  readonly id: string
  readonly facts: RecordedFacts
  readonly segments: readonly RecordedSegment[]
}

/** What plays a recording, or a clip of one, without looking at its objects. */
export interface RecordingIndex {
  readonly stream: string
  readonly startedAt: number
  /** Nothing comes any more. */
  readonly ended: boolean
  /** Of a clip: the folder of the recording whose segments it has, relative to the stream's own (`20261127T073000Z`). */
  readonly of?: string | undefined
  readonly renditions: readonly RecordedRendition[]
}

/** Name of the object in a recording's folder. */
export const INDEX_NAME = 'index.ndjson'

/** START in `recordings/NAME/START/`: UTC to the second. */
export function recordingStart(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/[-:]|\.\d+/g, '')
}

export function isRecordingStart(text: string): boolean {
  return /^\d{8}T\d{6}Z$/.test(text)
}

const TIME_MAX = 8.64e15
const SECONDS_MAX = 1_000_000

const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const epoch = z.string().regex(/^[a-z0-9]{1,32}$/)
const init = z.string().regex(/^[a-z0-9]{1,32}\/[a-z0-9-]{1,64}\.mp4$/)
const time = z.number().min(-TIME_MAX).max(TIME_MAX)

const headSchema = z.object({
  version: z.literal(1),
  stream: name,
  startedAt: time,
  ended: z.boolean(),
  of: z.string().refine(isRecordingStart).optional(),
  renditions: z
    .array(
      z.object({
        id: z.string().regex(/^[a-z][a-z0-9]{0,31}$/),
        facts: z.object({
          kind: z.enum(['video', 'audio']),
          codecString: z.string().max(100),
          width: z.int().min(0).max(65_535),
          height: z.int().min(0).max(65_535),
          channels: z.int().min(0).max(255),
          language: z.string().max(35),
          videoRange: z.enum(['SDR', 'HLG', 'PQ']).optional(),
        }),
        epochs: z.array(epoch),
        inits: z.array(init),
        /** Lines of it. */
        segments: z.int().min(0),
      }),
    )
    .max(64),
})
type Head = z.infer<typeof headSchema>

/** sequence, start, seconds, bytes, samples, flags, discontinuity sequence, place in `epochs`, place in `inits` */
type Row = readonly [number, number, number, number, number, number, number, number, number]
const ROW_LENGTH = 9

const DISCONTINUITY = 1
const INDEPENDENT = 2
const GAP = 4
const SLATE = 8
const FLAGS_MAX = 15

/** Half a day of four renditions is 170,000 lines: the loop that live viewers wait for is given back so often. */
const LINES_AT_ONCE = 2000

/** A line that says what there is, then one for each segment. What is added to `index` meanwhile is not in it. */
export async function writeRecordingIndex(index: RecordingIndex): Promise<Buffer> {
  const { stream, startedAt, ended, of } = index
  const counts = index.renditions.map(({ segments }) => segments.length)
  const pieces: Buffer[] = []
  const renditions: Head['renditions'] = []
  for (const [at, { id, facts, segments }] of index.renditions.entries()) {
    const epochs = new Names()
    const inits = new Names()
    const count = counts[at] ?? 0
    for (let from = 0; from < count; from += LINES_AT_ONCE) {
      let text = ''
      for (const one of segments.slice(from, Math.min(count, from + LINES_AT_ONCE)))
        text += `${JSON.stringify(rowOf(one, epochs, inits))}\n`
      pieces.push(Buffer.from(text))
      await othersRun()
    }
    renditions.push({ id, facts, epochs: epochs.all, inits: inits.all, segments: count })
  }
  const head: Head = {
    version: 1,
    stream,
    startedAt,
    ended,
    ...(of !== undefined && { of }),
    renditions,
  }
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...pieces])
}

/** Throws `media-broken` when the bytes are no index. */
export async function readRecordingIndex(bytes: Buffer): Promise<RecordingIndex> {
  let at = 0
  const nextLine = (): unknown => {
    const end = bytes.indexOf(0x0a, at)
    if (end < 0) throw broken('is cut short')
    const value = parseJson(bytes.toString('utf8', at, end))
    at = end + 1
    return value
  }
  const parsed = headSchema.safeParse(nextLine())
  if (!parsed.success) throw broken('is no index of a recording')
  const { stream, startedAt, ended, of } = parsed.data
  const renditions: RecordedRendition[] = []
  for (const { id, facts, epochs, inits, segments: count } of parsed.data.renditions) {
    const segments: RecordedSegment[] = []
    for (let i = 0; i < count; i++) {
      segments.push(segmentOf(nextLine(), epochs, inits))
      if (i % LINES_AT_ONCE === LINES_AT_ONCE - 1) await othersRun()
    }
    renditions.push({ id, facts, segments })
  }
  return { stream, startedAt, ended, of, renditions }
}

function rowOf(segment: RecordedSegment, epochs: Names, inits: Names): Row {
  return [
    segment.sequence,
    segment.startedAt,
    Math.round(segment.seconds * 100_000) / 100_000,
    segment.bytes,
    segment.samples,
    (segment.discontinuity ? DISCONTINUITY : 0) |
      (segment.independent ? INDEPENDENT : 0) |
      (segment.gap ? GAP : 0) |
      (segment.slate ? SLATE : 0),
    segment.discontinuitySequence,
    epochs.placeOf(segment.epoch),
    inits.placeOf(segment.init),
  ]
}

function segmentOf(
  value: unknown,
  epochs: readonly string[],
  inits: readonly string[],
): RecordedSegment {
  if (!isRow(value)) throw broken('has a line that is no segment')
  const [sequence, startedAt, seconds, bytes, samples, flags, discontinuitySequence] = value
  const epochOf = epochs[value[7]]
  const initOf = inits[value[8]]
  if (epochOf === undefined || initOf === undefined) throw broken('names no epoch or init section')
  return {
    sequence,
    epoch: epochOf,
    init: initOf,
    startedAt,
    discontinuity: (flags & DISCONTINUITY) !== 0,
    discontinuitySequence,
    seconds,
    bytes,
    samples,
    independent: (flags & INDEPENDENT) !== 0,
    gap: (flags & GAP) !== 0,
    ...((flags & SLATE) !== 0 && { slate: true }),
  }
}

// By hand: a schema takes a second for half a day.
function isRow(value: unknown): value is Row {
  if (!Array.isArray(value) || value.length !== ROW_LENGTH) return false
  const [
    sequence,
    startedAt,
    seconds,
    bytes,
    samples,
    flags,
    discontinuities,
    ...places
  ]: unknown[] = value
  return (
    [sequence, bytes, samples, flags, discontinuities, ...places].every(isCount) &&
    isBetween(startedAt, -TIME_MAX, TIME_MAX) &&
    isBetween(seconds, 0, SECONDS_MAX) &&
    isBetween(flags, 0, FLAGS_MAX)
  )
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && isBetween(value, 0, Number.MAX_SAFE_INTEGER)
}

function isBetween(value: unknown, from: number, to: number): boolean {
  return typeof value === 'number' && value >= from && value <= to
}

/** Each name once, in order of appearance. */
class Names {
  readonly #places = new Map<string, number>()

  get all(): string[] {
    return [...this.#places.keys()]
  }
  placeOf(text: string): number {
    const place = this.#places.get(text) ?? this.#places.size
    this.#places.set(text, place)
    return place
  }
}

function broken(what: string): NearcastError {
  return new NearcastError('media-broken', `${INDEX_NAME} ${what}`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function othersRun(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
