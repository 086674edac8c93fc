import { evaluateConditions, ifRangeHolds } from '../http/conditionals.ts'
import { formatHttpDate } from '../http/dates.ts'
import { formatEntityTag, parseEntityTag } from '../http/etag.ts'
import { fieldLine } from '../http/fields.ts'
import { mediaTypeOf } from '../http/media-type.ts'
import type { Fields, Origin, OriginMessage, OriginRequest } from '../http/message.ts'
import { formatContentRange, parseRangeSpecs, type RangeSpec } from '../http/range.ts'
import { NearcastError, hasCode } from '../lib/errors.ts'
import type { ObjectInfo, ObjectStore, ReadRange } from '../storage/object-store.ts'
import { storeKeyOf } from './store-path.ts'

const CONDITIONS = ['if-none-match', 'if-modified-since', 'if-unmodified-since'] as const

/**
 * An object store as an origin: GET and HEAD with ranges and conditions (RFC 9110 §13, §14); a path is a key. Throws
 * `object-not-found`, also for paths that name no key, `range-not-satisfiable`, and the store's own errors.
 */
export function objectStoreOrigin(id: string, store: ObjectStore): Origin {
  return {
    id,
    caching: 'shared',
    ranges: true,
    keyQuery: [],
    fetch: (request) => answer(store, request),
  }
}

async function answer(store: ObjectStore, request: OriginRequest): Promise<OriginMessage> {
  const { method, headers } = request
  if (method !== 'GET' && method !== 'HEAD')
    throw new NearcastError('method-not-allowed', `${method}: a stored object is only read`)
  const key = storeKeyOf(request.path)
  if (key === undefined)
    throw new NearcastError('object-not-found', `${request.path}: no object has this name`)
  const pinned = pinnedEtag(headers)
  const conditional =
    CONDITIONS.some((name) => headers[name] !== undefined) ||
    (headers['if-match'] !== undefined && pinned === undefined)
  if (method === 'HEAD' || conditional || headers['if-match'] === '*') {
    const info = await statOf(store, key, request.signal)
    const result = evaluateConditions({
      method,
      headers,
      etag: formatEntityTag(info.etag, info.weak),
      lastModified: info.lastModified,
    })
    if (result === 'not-modified') return message(304, describe(info))
    if (result === 'precondition-failed') return message(412, {})
    if (method === 'HEAD')
      return message(200, { ...describe(info), 'content-length': String(info.size) })
  }
  return readObject(store, key, request, pinned)
}

async function readObject(
  store: ObjectStore,
  key: string,
  request: OriginRequest,
  ifMatch: string | undefined,
): Promise<OriginMessage> {
  const { headers, signal } = request
  const range = singleRange(headers)
  try {
    let read = await store.read(key, { range, ifMatch, signal })
    const { info } = read
    const etag = formatEntityTag(info.etag, info.weak)
    const current = { etag, lastModified: info.lastModified }
    const partial = range !== undefined && ifRangeHolds(fieldLine(headers, 'if-range'), current)
    if (range !== undefined && !partial) {
      await discard(read.body)
      read = await store.read(key, { ifMatch, signal })
    }
    const fields: Record<string, string> = {
      ...describe(read.info),
      'content-length': String(read.length),
    }
    if (!partial) return message(200, fields, read.body)
    const end = read.start + read.length - 1
    fields['content-range'] = formatContentRange({ start: read.start, end }, read.info.size)
    return message(206, fields, read.body)
  } catch (error) {
    if (hasCode(error, 'object-changed')) return message(412, {})
    throw error
  }
}

async function statOf(store: ObjectStore, key: string, signal: AbortSignal): Promise<ObjectInfo> {
  const info = await store.stat(key, signal)
  if (!info) throw new NearcastError('object-not-found', `${key}: no object has this name`)
  return info
}

function describe(info: ObjectInfo): Record<string, string> {
  return {
    ...info.headers,
    'content-type': info.contentType ?? mediaTypeOf(info.key),
    etag: formatEntityTag(info.etag, info.weak),
    'last-modified': formatHttpDate(info.lastModified),
    'accept-ranges': 'bytes',
  }
}

/** An If-Match of exactly one strong entity tag goes to the store with the read itself. */
function pinnedEtag(headers: Fields): string | undefined {
  const tag = parseEntityTag(fieldLine(headers, 'if-match'))
  return tag && !tag.weak ? tag.opaque : undefined
}

function singleRange(headers: Fields): ReadRange | undefined {
  const specs = parseRangeSpecs(fieldLine(headers, 'range'))
  const [spec] = specs ?? []
  return spec && specs?.length === 1 ? readRangeOf(spec) : undefined
}

function readRangeOf(spec: RangeSpec): ReadRange {
  return spec.kind === 'suffix' ? { suffix: spec.length } : { start: spec.start, end: spec.end }
}

function message(
  status: number,
  headers: Fields,
  body: OriginMessage['body'] = null,
): OriginMessage {
  return { kind: 'message', status, headers, body }
}

async function discard(body: AsyncIterable<Uint8Array>): Promise<void> {
  await body[Symbol.asyncIterator]().return?.()
}
