import type { Source } from '../cache/fill.ts'
import type { StoredObject } from '../cache/stored-object.ts'
import { evaluateConditions, ifRangeHolds } from '../http/conditionals.ts'
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
  const condition = evaluateConditions({ method, headers: viewer.headers, etag, lastModified })
  if (condition === 'not-modified') {
    viewer.head(304, withoutContent(flat), more)
    viewer.end()
    return 'sent'
  }
  if (condition === 'precondition-failed') {
    const failure = new NearcastError('precondition-failed', 'the stored answer is another one')
    sendError(viewer, errorAnswerOf(failure, more))
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
    const fields = [...more, 'Content-Range', formatUnsatisfiedRange(size)]
    sendError(viewer, errorAnswerOf(failure, fields))
    return 'sent'
  }
  // RFC 9110 §14.2: a server may ignore Range; several parts are answered with the whole.
  const one = asked.kind === 'ranges' && asked.ranges.length === 1 ? asked.ranges[0] : undefined
  return sendRange(viewer, options, one ? 206 : 200, one)
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
  const reader = generation.read(start, end, options.source)
  // The header waits for the first byte: until then a failure still has a status.
  let first = reader.take()
  try {
    const leave = () => reader.close()
    viewer.response.once('close', leave)
    while (!first && !reader.done && !viewer.gone) {
      await reader.ready()
      first = reader.take()
    }
    viewer.response.off('close', leave)
  } catch (error) {
    reader.close()
    if (hasCode(error, 'object-changed')) return 'again'
    throw error
  }
  if (viewer.gone) {
    reader.close()
    return 'sent'
  }
  viewer.head(status, flat, fields)
  await viewer.sendReader(reader, first)
  return 'sent'
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
