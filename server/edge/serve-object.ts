import type { Source } from '../cache/fill.ts'
import type { Reader } from '../cache/reader.ts'
import type { StoredObject } from '../cache/stored-object.ts'
import { evaluateConditions, ifRangeHolds } from '../http/conditionals.ts'
import { parseHttpDate } from '../http/dates.ts'
import { fieldLine } from '../http/fields.ts'
import {
  type ByteRange,
  formatContentRange,
  formatUnsatisfiedRange,
  parseRange,
} from '../http/range.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import { errorAnswerOf, sendError } from './error-answer.ts'
import { lastModifiedOf } from './stored-answer.ts'
import type { Viewer } from './viewer.ts'

export interface ServeOptions {
  readonly object: StoredObject
  /** Of the object's own method: HEAD sends no body. */
  readonly method: string
  readonly source: Source | undefined
  /** Names and values in turn: the object's own fields for this viewer. */
  readonly flat: readonly string[]
  /** What the edge adds: Age, Cache-Status, X-Cache. */
  readonly more: readonly string[]
  /** In place of the stored status: an error page. */
  readonly status?: number | undefined
}

/**
 * Answers from an object: conditions (RFC 9110 §13), ranges (§14), the whole. `again` when the origin's bytes turned out to be others
 * before anything was sent; rejects when they could not be had.
 */
export async function serveObject(
  viewer: Viewer,
  options: ServeOptions,
): Promise<'sent' | 'again'> {
  const { object, method, more, flat } = options
  const { facts, generation } = object
  if (facts.failure) {
    sendError(viewer, errorAnswerOf(facts.failure, [...flat, ...more]))
    return 'sent'
  }
  const status = options.status ?? facts.status
  if (status !== 200) return sendRange(viewer, options, status, undefined)

  const etag = fieldLine(facts.responseFields, 'etag')
  const lastModified = lastModifiedOf(facts)
  const date = parseHttpDate(fieldLine(facts.responseFields, 'date'), facts.responseTime)
  const { headers } = viewer
  const condition = evaluateConditions({ method, headers, etag, lastModified, date })
  if (condition === 'not-modified') {
    viewer.head(304, withoutContent(flat), more)
    viewer.end()
    return 'sent'
  }
  if (condition === 'precondition-failed') {
    const failure = new NearcastError('precondition-failed', 'the stored answer is another one')
    sendError(viewer, errorAnswerOf(failure, [...ofEveryAnswer(flat), ...more]))
    return 'sent'
  }
  const range = fieldLine(viewer.headers, 'range')
  const { size } = generation
  if (range === undefined || method !== 'GET' || size === undefined)
    return sendRange(viewer, options, 200, undefined)
  if (!ifRangeHolds(fieldLine(viewer.headers, 'if-range'), { etag, lastModified }))
    return sendRange(viewer, options, 200, undefined)
  const asked = parseRange(range, size)
  if (asked.kind === 'unsatisfiable') {
    const failure = new NearcastError('range-not-satisfiable', `${range} of ${size} bytes`)
    const fields = [...ofEveryAnswer(flat), ...more, 'Content-Range', formatUnsatisfiedRange(size)]
    sendError(viewer, errorAnswerOf(failure, fields))
    return 'sent'
  }
  if (asked.kind === 'none') return sendRange(viewer, options, 200, undefined)
  const [one, ...others] = asked.ranges
  if (others.length > 0) return sendParts(viewer, options, asked.ranges, size)
  return sendRange(viewer, options, 206, one)
}

/** Several ranges as multipart/byteranges (RFC 9110 §14.6), each from its own slices. */
async function sendParts(
  viewer: Viewer,
  options: ServeOptions,
  ranges: readonly ByteRange[],
  size: number,
): Promise<'sent' | 'again'> {
  const { object, more, source } = options
  const { type, flat } = withoutType(options.flat)
  // The id of the request is random: no body holds it but by telling it beforehand.
  const boundary = `nearcast-${viewer.id}`
  const parts = ranges.map((range, i) => {
    const lines = [
      `${i === 0 ? '' : '\r\n'}--${boundary}`,
      ...(type === undefined ? [] : [`Content-Type: ${type}`]),
      `Content-Range: ${formatContentRange(range, size)}`,
    ]
    return { range, head: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1') }
  })
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1')
  const length = parts.reduce(
    (sum, { range, head }) => sum + head.length + range.end + 1 - range.start,
    tail.length,
  )
  const [first] = parts
  if (!first) return 'sent'
  const { generation } = object
  const read = ({ start, end }: ByteRange) => generation.read(start, end + 1, source)
  const begun = await begin(viewer, read(first.range))
  if (begun === 'again' || begun === 'gone') return begun === 'again' ? 'again' : 'sent'
  viewer.head(206, flat, [
    ...more,
    'Content-Type',
    `multipart/byteranges; boundary=${boundary}`,
    'Content-Length',
    String(length),
    'Accept-Ranges',
    'bytes',
  ])
  await viewer.send(first.head)
  await viewer.sendReader(begun.reader, begun.first, false)
  for (const { range, head } of parts.slice(1)) {
    if (viewer.gone) return 'sent'
    await viewer.send(head)
    await viewer.sendReader(read(range), undefined, false)
  }
  viewer.end(tail)
  return 'sent'
}

function withoutType(flat: readonly string[]): {
  readonly type: string | undefined
  readonly flat: readonly string[]
} {
  const at = flat.findIndex((name, i) => i % 2 === 0 && name === 'Content-Type')
  if (at < 0) return { type: undefined, flat: withoutRange(flat) }
  return { type: flat[at + 1], flat: withoutRange([...flat.slice(0, at), ...flat.slice(at + 2)]) }
}

/** An origin may put Content-Range on a 200, where it means nothing (RFC 9110 §14.4). */
function withoutRange(flat: readonly string[]): readonly string[] {
  const at = flat.findIndex((name, i) => i % 2 === 0 && name === 'Content-Range')
  return at < 0 ? flat : [...flat.slice(0, at), ...flat.slice(at + 2)]
}

/** Waits for the first byte: until it is there a failure still has a status. */
async function begin(
  viewer: Viewer,
  reader: Reader,
): Promise<{ readonly reader: Reader; readonly first: Uint8Array | undefined } | 'again' | 'gone'> {
  let first = reader.take()
  if (first) return { reader, first }
  const leave = () => reader.close()
  viewer.response.once('close', leave)
  try {
    while (!first && !reader.done && !viewer.gone) {
      await reader.ready()
      first = reader.take()
    }
  } catch (error) {
    reader.close()
    if (hasCode(error, 'object-changed')) return 'again'
    throw error
  } finally {
    viewer.response.off('close', leave)
  }
  if (!viewer.gone) return { reader, first }
  reader.close()
  return 'gone'
}

async function sendRange(
  viewer: Viewer,
  options: ServeOptions,
  status: number,
  range: ByteRange | undefined,
): Promise<'sent' | 'again'> {
  const { object, flat, more, method } = options
  const { generation } = object
  const fields = [...more]
  const length = range ? range.end + 1 - range.start : generation.size
  if (length !== undefined && status !== 204) fields.push('Content-Length', String(length))
  if (range) fields.push('Content-Range', formatContentRange(range, generation.size))
  if (status === 200 || status === 206) fields.push('Accept-Ranges', 'bytes')
  if (method === 'HEAD' || length === 0) {
    viewer.head(status, flat, fields)
    viewer.end()
    return 'sent'
  }
  const start = range?.start ?? 0
  const end = range ? range.end + 1 : Number.POSITIVE_INFINITY
  const begun = await begin(viewer, generation.read(start, end, options.source))
  if (begun === 'again' || begun === 'gone') return begun === 'again' ? 'again' : 'sent'
  viewer.head(status, range ? withoutRange(flat) : flat, fields)
  await viewer.sendReader(begun.reader, begun.first)
  return 'sent'
}

/** Fields that a refusal of the same object has, too: a page elsewhere may read why, and caches know what it depends on. */
function ofEveryAnswer(flat: readonly string[]): readonly string[] {
  return flat.filter((_, i) => /^(?:Access-Control-.*|Vary|Via)$/.test(flat[i - (i % 2)] ?? ''))
}

/** RFC 9110 §15.4.5: a 304 does not describe a body it does not have. */
function withoutContent(flat: readonly string[]): readonly string[] {
  const kept: string[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i] ?? ''
    if (!name.startsWith('Content-') || name === 'Content-Location')
      kept.push(name, flat[i + 1] ?? '')
  }
  return kept
}
