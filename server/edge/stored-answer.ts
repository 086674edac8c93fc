import { RefusedForNow, type Source } from '../cache/fill.ts'
import type { Generation } from '../cache/generation.ts'
import type { ChangeStamp, ObjectFacts } from '../cache/stored-object.ts'
import { restSeconds } from '../distribution/freshness.ts'
import { formerCacheStatus } from '../http/cache-status.ts'
import { formatHttpDate, parseHttpDate } from '../http/dates.ts'
import { formatEntityTag, parseEntityTag } from '../http/etag.ts'
import { endToEndFields, fieldLine } from '../http/fields.ts'
import type { Body, Fields, OriginMessage } from '../http/message.ts'
import { parseContentRange } from '../http/range.ts'
import type { Clock } from '../lib/clock.ts'
import { NearcastError, hasCode } from '../lib/errors.ts'
import { tagsOf } from './cache-tags.ts'
import type { OriginFetch } from './origin-fetch.ts'

/** What identifies the bytes an answer carries. */
export interface BodyFacts {
  /** Strong etag, without quotes. */
  readonly etag: string | undefined
  /** Of the whole representation. */
  readonly size: number | undefined
  /** First byte that the answer carries, and the one behind its last. */
  readonly start: number
  readonly end: number
  /** Missing bytes can be asked for by range. */
  readonly rangeable: boolean
}

// What the edge says itself, of each answer anew.
const REWRITTEN: ReadonlySet<string> = new Set([
  'accept-ranges',
  'age',
  'cache-status',
  'content-length',
  'via',
  'x-cache',
  'x-nearcast-request-id',
])

/** undefined when the answer can't be put together with others: a 206 of unknown bytes. */
export function bodyFactsOf(message: OriginMessage, originRanges: boolean): BodyFacts | undefined {
  const { headers, status } = message
  const tag = parseEntityTag(fieldLine(headers, 'etag'))
  const etag = tag && !tag.weak ? tag.opaque : undefined
  const ranges = originRanges || /\bbytes\b/i.test(fieldLine(headers, 'accept-ranges') ?? '')
  if (status === 206) {
    const part = parseContentRange(fieldLine(headers, 'content-range'))
    if (!part || part.size === undefined || etag === undefined) return undefined
    const { start, end } = part.range
    return { etag, size: part.size, start, end: end + 1, rangeable: ranges }
  }
  const size = bodySize(message)
  const rangeable = ranges && etag !== undefined && size !== undefined && status === 200
  return { etag, size, start: 0, end: size ?? Number.POSITIVE_INFINITY, rangeable }
}

/** Length of a body: as it is when in memory, else as announced. */
export function bodySize({ body, headers }: OriginMessage): number | undefined {
  if (body === null) return 0
  if (body instanceof Uint8Array) return body.length
  if (isList(body)) return body.reduce((sum, part) => sum + part.length, 0)
  const length = fieldLine(headers, 'content-length')
  return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined
}

/** A body as it is pulled; an origin's stream is handed on itself, so that ending it early ends the transfer. */
export function bodyChunks(body: Body): AsyncIterable<Uint8Array> {
  if (body === null) return inMemory([])
  if (body instanceof Uint8Array) return inMemory([body])
  return isList(body) ? inMemory(body) : body
}

async function* inMemory(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

/** Narrows what `Array.isArray` does not. */
export function isList(body: Exclude<Body, null>): body is readonly Uint8Array[] {
  return Array.isArray(body)
}

/** The facts of an answer, its fields with all that the first viewer may see. */
export function factsOf(
  asked: OriginFetch,
  message: OriginMessage,
  times: { readonly requestTime: number; readonly responseTime: number },
  stamp: ChangeStamp,
): ObjectFacts {
  const { exchange } = asked
  const whole = endToEndFields(message.headers)
  const fields = withDate(message.status === 206 ? ofWhole(whole) : whole, times.responseTime)
  return {
    distribution: exchange.distribution.id,
    path: exchange.path,
    method: 'GET',
    // A part of a representation that can be completed is kept as the whole one.
    status: message.status === 206 ? 200 : message.status,
    responseFields: fields,
    ...times,
    authorized: asked.request.headers['authorization'] !== undefined,
    flat: flatten(fields, exchange.open),
    stamp,
    tags: tagsOf(fields),
  }
}

function ofWhole(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name !== 'content-range'))
}

/** RFC 9111 §3.2: a 304 or HEAD brings newer fields; what describes the stored bytes stays. */
export function refreshedFacts(
  old: ObjectFacts,
  headers: Fields,
  times: { readonly requestTime: number; readonly responseTime: number },
  stamp: ChangeStamp,
  open: boolean,
): ObjectFacts {
  const fields: Record<string, string | readonly string[]> = { ...old.responseFields }
  delete fields['age']
  for (const [name, value] of Object.entries(endToEndFields(headers)))
    if (!KEPT_WITH_BYTES.has(name)) fields[name] = value
  if (headers['date'] === undefined) delete fields['date']
  const dated = withDate(fields, times.responseTime)
  const tags = tagsOf(dated)
  return { ...old, responseFields: dated, ...times, stamp, tags, flat: flatten(dated, open) }
}

const KEPT_WITH_BYTES: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'etag',
])

/** Names and values in turn, as they are sent to viewers: the origin's own, CORS, Via. `omit`: lower-case names. */
export function flatten(
  fields: Fields,
  open: boolean,
  omit: readonly string[] = [],
): readonly string[] {
  const flat: string[] = []
  // RFC 9211 §2: the edge puts its own member behind those of caches nearer to the origin.
  const former = formerCacheStatus(fieldLine(fields, 'cache-status') ?? '')
  if (former !== undefined && !omit.includes('cache-status')) flat.push('Cache-Status', former)
  for (const [name, value] of Object.entries(fields)) {
    if (REWRITTEN.has(name) || omit.includes(name)) continue
    const shown = shownName(name)
    for (const one of typeof value === 'string' ? [value] : value)
      if (FIELD_VALUE.test(one)) flat.push(shown, one)
  }
  if (open && fields['access-control-allow-origin'] === undefined) flat.push(...CORS)
  const via = fieldLine(fields, 'via')
  flat.push('Via', via === undefined ? '1.1 nearcast' : `${via}, 1.1 nearcast`)
  return flat
}

// RFC 9110 §5.5, as Latin-1: any other character would lose its upper half on the wire, and could become a line end.
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

const CORS = [
  'Access-Control-Allow-Origin',
  '*',
  'Access-Control-Expose-Headers',
  'Age, Date, Content-Length, Content-Range',
]

/**
 * Answers to a range under If-Match that speak of the object (RFC 9110 §13.1.1, §14.2, §15.5.5, §15.5.11). All others speak of the
 * request or of the origin's condition: what is stored stays, and the same bytes may be had a moment later.
 */
const SAYS_OTHER_BYTES: ReadonlySet<number> = new Set([200, 206, 404, 410, 412, 416])

/** Missing bytes of a generation, asked from its origin by range under the same etag; one of another length is another one. */
export function rangeSource(
  fetch: (headers: Fields, signal: AbortSignal) => Promise<OriginMessage>,
  etag: string,
  generation: Pick<Generation, 'size' | 'refusal'>,
  clock: Clock,
): Source {
  const tag = formatEntityTag(etag)
  return {
    clock,
    async open(start, end, signal) {
      const { size, refusal } = generation
      if (refusal && clock.now() < refusal.until) throw refusal.error
      let message: OriginMessage
      try {
        message = await fetch({ range: `bytes=${start}-${end - 1}`, 'if-match': tag }, signal)
      } catch (error) {
        if (hasCode(error, 'object-not-found') || hasCode(error, 'range-not-satisfiable'))
          throw changed(tag, error)
        throw error
      }
      const { status, headers, body } = message
      const part =
        status === 206 ? parseContentRange(fieldLine(headers, 'content-range')) : undefined
      const first = status === 206 ? part?.range.start : 0
      const length = status === 206 ? part?.size : bodySize(message)
      const same = fieldLine(headers, 'etag') === tag && (length ?? size) === size
      if (same && part && (part.range.start > start || part.range.end < start)) {
        await dropBody(body)
        const { start: first, end: last } = part.range
        throw new RefusedForNow('origin-failed', `asked for byte ${start}, got ${first} to ${last}`)
      }
      if ((status === 206 || status === 200) && same && first !== undefined)
        return { start: first, body: bodyChunks(body) }
      await dropBody(body)
      if (SAYS_OTHER_BYTES.has(status)) throw changed(tag, undefined)
      const said = `the origin answered ${status} to a range`
      if (status >= 500 && fieldLine(headers, 'retry-after') === undefined)
        throw new NearcastError('origin-failed', said)
      const error = new RefusedForNow('origin-failed', said)
      const now = clock.now()
      const seconds = restSeconds({ status, responseFields: headers, responseTime: now })
      if (seconds > 0) generation.refusal = { error, until: now + seconds * 1000 }
      throw error
    },
  }
}

/** Ends a transfer that nobody wants. */
export async function dropBody(body: Body): Promise<void> {
  if (body === null || body instanceof Uint8Array || isList(body)) return
  try {
    await body[Symbol.asyncIterator]().return?.()
  } catch {
    // It ends either way.
  }
}

export function lastModifiedOf(facts: ObjectFacts): number | undefined {
  return parseHttpDate(fieldLine(facts.responseFields, 'last-modified'), facts.responseTime)
}

function changed(tag: string, cause: unknown): NearcastError {
  return new NearcastError('object-changed', `the origin has no ${tag} any more`, { cause })
}

// RFC 9110 §6.6.1: a recipient with a clock dates what came without.
function withDate(fields: Fields, receivedAt: number): Fields {
  return fields['date'] === undefined ? { ...fields, date: formatHttpDate(receivedAt) } : fields
}

const shownNames = new Map<string, string>()
const SHOWN_NAMES_MAX = 500

/** `content-type` → `Content-Type`: as people expect to read it. */
function shownName(name: string): string {
  const known = shownNames.get(name)
  if (known !== undefined) return known
  const shown =
    name === 'etag' ? 'ETag' : name.replaceAll(/(^|-)([a-z])/g, (letters) => letters.toUpperCase())
  if (shownNames.size < SHOWN_NAMES_MAX) shownNames.set(name, shown)
  return shown
}
