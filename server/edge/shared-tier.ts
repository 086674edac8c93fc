import type { Cache } from '../cache/cache.ts'
import type { Reader } from '../cache/reader.ts'
import type { StoredObject } from '../cache/stored-object.ts'
import { currentAge, freshnessOf } from '../distribution/freshness.ts'
import { InvalidationIndex } from '../distribution/invalidation-index.ts'
import { cacheKeyOf, passesThrough } from '../distribution/key.ts'
import { findBehavior } from '../distribution/match.ts'
import type { Behavior } from '../distribution/types.ts'
import { evaluateConditions, ifRangeHolds } from '../http/conditionals.ts'
import { parseEntityTag } from '../http/etag.ts'
import { fieldLine } from '../http/fields.ts'
import type {
  Fields,
  Origin,
  OriginMessage,
  OriginRequest,
  OriginResponse,
} from '../http/message.ts'
import { type ByteRange, formatContentRange, parseRange } from '../http/range.ts'
import { selectingFields } from '../http/selecting-fields.ts'
import type { Clock } from '../lib/clock.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import { asksTheOrigin } from './asks-the-origin.ts'
import { iterate } from './cached-store.ts'
import { type Changes, decide } from './decide.ts'
import type { EdgeState } from './edge-context.ts'
import { type FetchDeps, sourceOf } from './fetch-object.ts'
import { Flights } from './flights.ts'
import type { Exchange } from './match-request.ts'
import { lastModifiedOf } from './stored-answer.ts'

export interface SharedTierDeps {
  readonly cache: Cache
  readonly clock: Clock
  readonly state: () => EdgeState
}

interface Tier {
  readonly deps: FetchDeps
  readonly state: () => EdgeState
  readonly flights: Flights
  readonly changes: () => Changes
  forget(distribution: string, path: string): void
}

interface Found {
  readonly object: StoredObject
  /** Seconds, where it lay here before it was asked for. */
  readonly age: number | undefined
  /** Fields that are for the one who made the origin answer. Lower case. */
  readonly omit: readonly string[]
}

const LOCAL_INVALIDATIONS_MAX = 10_000
const ATTEMPTS_MAX = 6
const WAITS_MAX = 3
const NO_FIELDS: readonly string[] = []
/** What an edge adds for itself when it asks; all else chooses variants. */
const OF_THE_EDGE: ReadonlySet<string> = new Set([
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
])

/**
 * Origins for edges that share this process: their answers go through its cache under the behavior that the edge matched, so that the
 * origin is asked once for all of them. Answers carry the origin's own fields, and an Age when they lay here. What keeps nothing,
 * changes things or names no behavior goes to the origin as it is.
 */
export function createSharedTier(deps: SharedTierDeps): (origin: Origin) => Origin {
  const tier = openTier(deps)
  const wrapped = new WeakMap<Origin, Origin>()
  return (origin) => {
    if (origin.caching !== 'shared') return origin
    let shared = wrapped.get(origin)
    if (!shared) {
      shared = { ...origin, fetch: (request) => answer(tier, origin, request) }
      wrapped.set(origin, shared)
    }
    return shared
  }
}

function openTier({ cache, clock, state }: SharedTierDeps): Tier {
  const local = new InvalidationIndex({ entries: LOCAL_INVALIDATIONS_MAX })
  let localSeq = 0
  const epoch = () => state().position.slice(0, state().position.lastIndexOf(':'))
  const changes = () => ({ epoch: epoch(), log: state().invalidations, local })
  const stamp = () => ({ epoch: epoch(), seq: state().seq, localSeq })
  const fetch = { cache, clock, position: () => state().position }
  return {
    deps: fetch,
    state,
    flights: new Flights({ ...fetch, changes, stamp }),
    changes,
    forget(distribution, path) {
      localSeq++
      local.add({ seq: localSeq, distribution, paths: [path] })
      cache.forgetPath(distribution, path, clock.now())
    },
  }
}

async function answer(tier: Tier, origin: Origin, request: OriginRequest): Promise<OriginResponse> {
  const exchange = exchangeOf(tier, origin, request)
  if (!exchange) return origin.fetch(request)
  if (exchange.direct) {
    const message = await origin.fetch(request)
    if (exchange.direct === 'method' && message.kind === 'message' && message.status < 400)
      for (const path of changedPaths(exchange, message.headers))
        tier.forget(exchange.distribution.id, path)
    return message
  }
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const found = pinned(tier, exchange) ?? (await resolve(tier, exchange, request))
    if ('kind' in found) return found
    const said = await answerFrom(tier, exchange, found, request.signal)
    if (said !== 'again') return said
    tier.deps.cache.remove(found.object)
  }
  throw new NearcastError('origin-failed', `${exchange.path}: keeps changing while it is read`)
}

/** The exchange as the edge matched it, from what it forwards: all that is in the key is forwarded. */
function exchangeOf(tier: Tier, origin: Origin, request: OriginRequest): Exchange | undefined {
  const { matched, method, path: originPath, query, headers } = request
  if (!matched || headers['upgrade'] !== undefined) return undefined
  const distribution = tier.state().distributions.find(({ id }) => id === matched.distribution)
  if (distribution?.kind !== 'web') return undefined
  const behavior = findBehavior(distribution, matched.path)
  if (behavior?.origin !== origin.id) return undefined
  const reading = method === 'GET' || method === 'HEAD'
  if (reading && request.body !== null) return undefined
  const { path } = matched
  const forwarded = Object.fromEntries(
    Object.entries(headers).filter(([name]) => !OF_THE_EDGE.has(name)),
  )
  const { keyQuery } = origin
  const wanted = { distributionId: distribution.id, behavior, keyQuery, path, query, headers }
  return {
    method,
    path,
    query,
    headers,
    forwarded,
    selecting: selectingFields(forwarded),
    distribution,
    behavior,
    origin,
    originPath,
    originQuery: query,
    direct: directOf(behavior, origin, method, headers),
    key: cacheKeyOf({ method: 'GET', ...wanted }),
    open: false,
  }
}

function directOf(
  behavior: Behavior,
  origin: Origin,
  method: string,
  headers: Fields,
): Exchange['direct'] {
  if (method !== 'GET' && method !== 'HEAD') return 'method'
  if (passesThrough(behavior, method)) return 'behavior'
  // An edge reads the bytes of a generation by If-Match beside Range: not a viewer's condition.
  if (headers['if-match'] !== undefined && headers['range'] !== undefined) return undefined
  return asksTheOrigin(behavior, origin, headers) ? 'request' : undefined
}

/** Bytes of a strong etag never change: who asks for that one gets it, fresh or not. */
function pinned({ deps }: Tier, { key, selecting, headers, method }: Exchange): Found | undefined {
  if (method !== 'GET' || headers['range'] === undefined) return undefined
  const tag = parseEntityTag(fieldLine(headers, 'if-match'))
  if (!tag || tag.weak) return undefined
  const object = deps.cache.find(key, selecting)
  if (object?.generation.etag !== tag.opaque || !object.generation.rangeable) return undefined
  return { object, age: currentAge(object.facts, deps.clock.now()), omit: NO_FIELDS }
}

async function resolve(
  tier: Tier,
  exchange: Exchange,
  request: OriginRequest,
): Promise<Found | OriginMessage> {
  const { cache, clock } = tier.deps
  const { behavior, key, selecting, headers } = exchange
  for (let waited = 0; ; waited++) {
    const held = cache.find(key, selecting) ?? (await cache.recall(key, selecting))
    // The edge keeps failures itself, from the moment it hears of them.
    const object = held?.facts.failure ? undefined : held
    const changes = tier.changes()
    const decision = decide({ headers, behavior, object, changes, now: clock.now() })
    if (decision.kind === 'respond')
      throw new NearcastError('origin-timeout', 'only-if-cached, and it is not')
    // What may be served while it is fetched anew is the edge's own copy.
    if (decision.kind === 'serve' && object && !decision.refresh)
      return { object, age: decision.age, omit: omitted(object, exchange) }
    const reason = decision.kind === 'serve' ? 'stale' : decision.reason
    const { fetched, collapsed, controller } = await tier.flights.join(exchange, {
      stale: decision.kind !== 'fetch' || reason === 'stale' ? object : undefined,
      reason,
      signal: request.signal,
      mayShare: waited < WAITS_MAX,
      onInformational: request.onInformational,
    })
    if (!collapsed && fetched.kind === 'pass') {
      const abort = () => controller.abort(request.signal.reason)
      if (request.signal.aborted) abort()
      else request.signal.addEventListener('abort', abort, { once: true })
      return fetched.message
    }
    if (fetched.kind === 'pass') continue
    if (collapsed && !(fetched.shareable && cache.find(key, selecting) === fetched.object)) continue
    const omit = collapsed ? omitted(fetched.object, exchange) : NO_FIELDS
    // A stale one that stands in for the origin's answer has lain here.
    const lay = fetched.failure !== undefined || !fetched.forwarded.stored
    const age = lay ? currentAge(fetched.object.facts, clock.now()) : undefined
    return { object: fetched.object, age, omit }
  }
}

function omitted({ facts }: StoredObject, { behavior }: Exchange): readonly string[] {
  const freshness = freshnessOf(facts, behavior)
  return freshness.store ? freshness.omitFields : NO_FIELDS
}

/** The stored answer as the origin would give it: conditions (RFC 9110 §13) and one range (§14), or the whole. */
async function answerFrom(
  tier: Tier,
  exchange: Exchange,
  found: Found,
  signal: AbortSignal,
): Promise<OriginMessage | 'again'> {
  const { facts, generation } = found.object
  const { method, headers } = exchange
  if (facts.failure) throw facts.failure
  const fields = fieldsOf(found)
  if (facts.status === 200) {
    const etag = fieldLine(facts.responseFields, 'etag')
    const current = { etag, lastModified: lastModifiedOf(facts) }
    const condition = evaluateConditions({ method, headers, ...current })
    if (condition === 'not-modified') return message(304, fields, null)
    if (condition === 'precondition-failed') return message(412, {}, null)
    const { size } = generation
    const range = fieldLine(headers, 'range')
    // Without a strong etag its parts could not be put together at the edge.
    const partial = range !== undefined && method === 'GET' && generation.rangeable
    if (partial && size !== undefined && ifRangeHolds(fieldLine(headers, 'if-range'), current)) {
      const asked = parseRange(range, size)
      if (asked.kind === 'unsatisfiable')
        throw new NearcastError('range-not-satisfiable', `${range} of ${size} bytes`)
      const [one, ...others] = asked.kind === 'none' ? [] : asked.ranges
      if (one && others.length === 0) return bodyOf(tier, exchange, found, signal, one)
    }
  }
  return bodyOf(tier, exchange, found, signal, undefined)
}

async function bodyOf(
  { deps }: Tier,
  exchange: Exchange,
  found: Found,
  signal: AbortSignal,
  range: ByteRange | undefined,
): Promise<OriginMessage | 'again'> {
  const { facts, generation } = found.object
  const length = range ? range.end + 1 - range.start : generation.size
  const fields: Record<string, string | readonly string[]> = { ...fieldsOf(found) }
  if (length !== undefined && facts.status !== 204) fields['content-length'] = String(length)
  if (range) fields['content-range'] = formatContentRange(range, generation.size)
  const status = range ? 206 : facts.status
  if (exchange.method === 'HEAD' || length === 0) return message(status, fields, null)
  const source = sourceOf(deps, exchange, generation)
  const end = range ? range.end + 1 : Number.POSITIVE_INFINITY
  const reader = generation.read(range?.start ?? 0, end, source)
  const first = await firstOf(reader, signal)
  return first === 'again' ? 'again' : message(status, fields, resumed(first, reader, signal))
}

/** Until a byte is there a failure still has a status. */
async function firstOf(
  reader: Reader,
  signal: AbortSignal,
): Promise<Uint8Array | undefined | 'again'> {
  const leave = () => reader.close()
  signal.addEventListener('abort', leave, { once: true })
  try {
    let first = reader.take()
    while (!first && !reader.done) {
      signal.throwIfAborted()
      await reader.ready()
      first = reader.take()
    }
    return first
  } catch (error) {
    reader.close()
    if (hasCode(error, 'object-changed')) return 'again'
    throw error
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

function resumed(
  first: Uint8Array | undefined,
  reader: Reader,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const rest = iterate(reader, signal)
  let waiting = first
  const next = async (): Promise<IteratorResult<Uint8Array, undefined>> => {
    const value = waiting
    waiting = undefined
    return value ? { value, done: false } : rest.next()
  }
  return { [Symbol.asyncIterator]: () => ({ ...rest, next }) }
}

/** The origin's own; what describes a body that was in parts before is written anew. */
function fieldsOf({ object, age, omit }: Found): Fields {
  const fields = Object.entries(object.facts.responseFields).filter(
    ([name]) => name !== 'content-length' && name !== 'content-range' && !omit.includes(name),
  )
  const aged = age === undefined ? [] : [['age', String(Math.floor(age))] as const]
  return Object.fromEntries([...fields, ...aged])
}

/** RFC 9111 §4.4. Whatever host a location has: the edge decides what viewers are given, and here it costs one request. */
function changedPaths({ method, path }: Exchange, headers: Fields): readonly string[] {
  if (method === 'OPTIONS') return []
  const base = `http://origin${path}`
  const named = ['location', 'content-location'].flatMap((name) => {
    const value = fieldLine(headers, name)
    if (value === undefined || !URL.canParse(base) || !URL.canParse(value, base)) return []
    return [new URL(value, base).pathname]
  })
  return [path, ...named]
}

function message(status: number, headers: Fields, body: OriginMessage['body']): OriginMessage {
  return { kind: 'message', status, headers, body }
}
