import { z } from 'zod'
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
}

export interface RecordedFacts {
  readonly kind: 'video' | 'audio'
  /** RFC 6381. */
  readonly codecString: string
  readonly width: number
  readonly height: number
  readonly channels: number
  readonly language: string
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
export const INDEX_NAME = 'index.json'

/** START in `recordings/NAME/START/`: UTC to the second. */
export function recordingStart(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/[-:]|\.\d+/g, '')
}

export function isRecordingStart(text: string): boolean {
  return /^\d{8}T\d{6}Z$/.test(text)
}

const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const epoch = z.string().regex(/^[a-z0-9]{1,32}$/)
const init = z.string().regex(/^[a-z0-9]{1,32}\/[a-z0-9-]{1,64}\.mp4$/)
const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const time = z.number().min(-8.64e15).max(8.64e15)
/** sequence, start, seconds, bytes, samples, flags, discontinuity sequence, place in `epochs`, place in `inits` */
const row = z.tuple([
  count,
  time,
  z.number().min(0).max(1_000_000),
  count,
  count,
  z.int().min(0).max(7),
  count,
  count,
  count,
])

const indexSchema = z.object({
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
        }),
        epochs: z.array(epoch),
        inits: z.array(init),
        segments: z.array(row),
      }),
    )
    .max(64),
})

type Row = z.infer<typeof row>

const DISCONTINUITY = 1
const INDEPENDENT = 2
const GAP = 4

export function writeRecordingIndex(index: RecordingIndex): Buffer {
  const { stream, startedAt, ended, of, renditions } = index
  const value: z.infer<typeof indexSchema> = {
    version: 1,
    stream,
    startedAt,
    ended,
    ...(of !== undefined && { of }),
    renditions: renditions.map(({ id, facts, segments }) => {
      const epochs = new Names()
      const inits = new Names()
      const rows = segments.map(
        (one): Row => [
          one.sequence,
          one.startedAt,
          Math.round(one.seconds * 100_000) / 100_000,
          one.bytes,
          one.samples,
          (one.discontinuity ? DISCONTINUITY : 0) |
            (one.independent ? INDEPENDENT : 0) |
            (one.gap ? GAP : 0),
          one.discontinuitySequence,
          epochs.placeOf(one.epoch),
          inits.placeOf(one.init),
        ],
      )
      return { id, facts, epochs: epochs.all, inits: inits.all, segments: rows }
    }),
  }
  return Buffer.from(JSON.stringify(value))
}

/** Throws `media-broken` when the bytes are no index. */
export function readRecordingIndex(bytes: Uint8Array): RecordingIndex {
  const parsed = indexSchema.safeParse(parseJson(Buffer.from(bytes).toString('utf8')))
  if (!parsed.success)
    throw new NearcastError('media-broken', `${INDEX_NAME} is no index of a recording`)
  const { stream, startedAt, ended, of, renditions } = parsed.data
  return {
    stream,
    startedAt,
    ended,
    of,
    renditions: renditions.map(({ id, facts, epochs, inits, segments }) => ({
      id,
      facts,
      segments: segments.map((one) => readRow(one, epochs, inits)),
    })),
  }
}

function readRow(one: Row, epochs: readonly string[], inits: readonly string[]): RecordedSegment {
  const [sequence, startedAt, seconds, bytes, samples, flags, discontinuitySequence] = one
  const epochOf = epochs[one[7]]
  const initOf = inits[one[8]]
  if (epochOf === undefined || initOf === undefined)
    throw new NearcastError('media-broken', `${INDEX_NAME} names no epoch or init section`)
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
  }
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
