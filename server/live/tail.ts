import { z } from 'zod'
import { NearcastError } from '../lib/errors.ts'
import {
  count,
  dateRange,
  epoch,
  facts,
  MEDIA_MAX,
  pace,
  place,
  promise,
  rendition,
  seconds,
  segment,
  time,
  uri,
} from './event-schema.ts'
import type { WindowEvent } from './window-event.ts'

/**
 * A window on its way to another process, or into a file: eight bytes that name the format, then a frame for each event:
 * length of a JSON text, length of the media, both 32 bits; the event as JSON; its media.
 */
const MAGIC = Buffer.from('NCTAIL1\n', 'latin1')

const JSON_MAX = 64 * 1024
/** Of a segment whose media follows; one of more parts is sent in full. */
const PARTS_MAX = 1000

const name = z.string().min(1).max(200)

const eventSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('open'),
    id: name,
    name,
    bornAt: time,
    windowSeconds: seconds,
    dvrSeconds: seconds,
  }),
  pace,
  promise,
  z.object({ kind: z.literal('init'), rendition, uri, facts }),
  z.object({
    kind: z.literal('announce'),
    rendition,
    facts,
    bitsPerSecond: z.number().min(1).max(1e12),
  }),
  z.object({ kind: z.literal('publish'), epoch }),
  z.object({
    kind: z.literal('segment'),
    ...segment,
    gapSeconds: seconds,
  }),
  z.object({
    kind: z.literal('part'),
    rendition,
    sequence: count,
    index: count,
    durationSeconds: seconds,
    independent: z.boolean(),
    samples: count,
  }),
  z.object({
    kind: z.literal('past'),
    ...segment,
    parts: z
      .array(z.tuple([seconds, z.boolean(), count, z.int().min(0).max(MEDIA_MAX)]))
      .max(PARTS_MAX),
  }),
  z.object({
    kind: z.literal('archived'),
    ...segment,
    durationSeconds: seconds,
    byteLength: count,
    place,
  }),
  z.object({ kind: z.literal('fill'), rendition, sequence: count, index: count }),
  dateRange,
  z.object({ kind: z.literal('close'), rendition, sequence: count }),
  z.object({ kind: z.literal('retire'), rendition }),
  z.object({ kind: z.literal('end') }),
  z.object({ kind: z.literal('beat') }),
  z.object({ kind: z.literal('saved'), at: time }),
])

/** What a tail begins with. */
export function writeTailHead(): Uint8Array {
  return MAGIC
}

/** An event as the buffers to send; its media is not copied. */
export function writeTailEvent(event: WindowEvent): readonly Uint8Array[] {
  const media = 'bytes' in event ? event.bytes : undefined
  const json = Buffer.from(
    JSON.stringify(event, (key, value) => (key === 'bytes' ? undefined : value)),
  )
  const head = Buffer.allocUnsafe(8 + json.length)
  head.writeUInt32BE(json.length, 0)
  head.writeUInt32BE(media?.length ?? 0, 4)
  json.copy(head, 8)
  return media && media.length > 0 ? [head, media] : [head]
}

/**
 * The events of a tail, as they come; ends where the bytes end between two events. Throws `origin-failed` when the bytes
 * are no tail or stop inside an event.
 */
export async function* readTail(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<WindowEvent, void, undefined> {
  const reader = new ByteReader()
  let greeted = false
  for await (const chunk of bytes) {
    reader.push(chunk)
    if (!greeted) {
      if (reader.length < MAGIC.length) continue
      if (!reader.take(MAGIC.length).equals(MAGIC)) throw broken('the bytes are no tail')
      greeted = true
    }
    for (;;) {
      const event = readEvent(reader)
      if (!event) break
      yield event
    }
  }
  if (!greeted || reader.length > 0) throw broken('the tail stops inside an event')
}

function readEvent(reader: ByteReader): WindowEvent | undefined {
  if (reader.length < 8) return undefined
  const head = reader.peek(8)
  const jsonLength = head.readUInt32BE(0)
  const mediaLength = head.readUInt32BE(4)
  if (jsonLength > JSON_MAX) throw broken(`an event of ${jsonLength} bytes`)
  if (mediaLength > MEDIA_MAX) throw broken(`media of ${mediaLength} bytes`)
  if (reader.length < 8 + jsonLength + mediaLength) return undefined
  reader.take(8)
  const parsed = eventSchema.safeParse(parseJson(reader.take(jsonLength).toString('utf8')))
  if (!parsed.success) throw broken(`an event that is none: ${parsed.error.issues[0]?.message}`)
  const event = parsed.data
  const media = reader.take(mediaLength)
  if (event.kind === 'part' || event.kind === 'init' || event.kind === 'fill')
    return { ...event, bytes: media }
  if (mediaLength > 0) throw broken(`media behind ${event.kind}`)
  return event
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw broken('an event that is no JSON')
  }
}

/** Chunks that are joined only where an event lies across them. */
class ByteReader {
  #chunks: Uint8Array[] = []
  length = 0

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.length += chunk.length
  }

  peek(count: number): Buffer {
    const [first] = this.#chunks
    if (first && first.length >= count) return view(first, 0, count)
    const joined = Buffer.concat(this.#chunks)
    this.#chunks = [joined]
    return joined.subarray(0, count)
  }

  /** A copy: what arrives is cut from larger buffers, which would live as long as the smallest piece of them. */
  take(count: number): Buffer {
    const out = Buffer.allocUnsafeSlow(count)
    let filled = 0
    while (filled < count) {
      const [chunk] = this.#chunks
      if (!chunk) throw broken(`only ${filled} of ${count} bytes`)
      const part = chunk.subarray(0, count - filled)
      out.set(part, filled)
      filled += part.length
      if (part.length === chunk.length) this.#chunks.shift()
      else this.#chunks[0] = chunk.subarray(part.length)
    }
    this.length -= count
    return out
  }
}

function view(bytes: Uint8Array, start: number, end: number): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
}

function broken(message: string): NearcastError {
  return new NearcastError('origin-failed', `live tail: ${message}`)
}
