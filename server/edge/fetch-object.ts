import type { Cache } from '../cache/cache.ts'
import type { Source } from '../cache/fill.ts'
import type { Generation } from '../cache/generation.ts'
import type { ChangeStamp, ObjectFacts, StoredObject } from '../cache/stored-object.ts'
import { type Freshness, currentAge, freshnessOf, restSeconds } from '../distribution/freshness.ts'
import type { ForwardReason } from '../http/cache-status.ts'
import { ifRangeHolds } from '../http/conditionals.ts'
import { parseHttpDate } from '../http/dates.ts'
import { fieldLine, listMembers } from '../http/fields.ts'
import type { Fields, OriginMessage, OriginRequest } from '../http/message.ts'
import { formatUnsatisfiedRange, parseContentRange, parseRangeSpecs } from '../http/range.ts'
import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'
import { mayServeOnError } from './decide.ts'
import type { Exchange } from './match-request.ts'
import { askOrigin, originFetch } from './origin-fetch.ts'
import { compareWithHead, updatedBy304 } from './same-answer.ts'
import {
  type BodyFacts,
  bodyChunks,
  bodyFactsOf,
  bodySize,
  dropBody,
  factsOf,
  flatten,
  rangeSource,
  refreshedFacts,
} from './stored-answer.ts'
import { generationIdOf, storeKeyOf } from './store-path.ts'

/** How the origin was asked, for Cache-Status and X-Cache. */
export interface Forwarded {
  readonly reason: ForwardReason
  /** What the origin answered; undefined when it gave none. */
  readonly status: number | undefined
  readonly stored: boolean
}

export type Fetched =
  | {
      readonly kind: 'object'
      readonly object: StoredObject
      readonly forwarded: Forwarded
      /** Fields for the first viewer when they are more than others may see. */
      readonly flat?: readonly string[] | undefined
      /** Others who wait may have it too. */
      readonly shareable: boolean
      /** Why the origin gave no answer, and this object stands in for it. */
      readonly failure?: NearcastError | undefined
    }
  /** Not to be kept: for the one viewer who began it. */
  | {
      readonly kind: 'pass'
      readonly message: OriginMessage
      readonly forwarded: Forwarded
      /** Because of what this viewer asked for: others may well get what is kept. */
      readonly ofRequest: boolean
    }

export interface FetchDeps {
  readonly cache: Cache
  readonly clock: Clock
  /** `EPOCH:SEQ` that origins must know when they answer. */
  readonly position: () => string
}

export interface FetchTask {
  readonly exchange: Exchange
  /** What is stored and may be valid still. */
  readonly stale: StoredObject | undefined
  readonly reason: ForwardReason
  /** Taken before the origin is asked. */
  readonly stamp: ChangeStamp
  readonly controller: AbortController
  /** Not to be asked for in part. */
  readonly whole?: boolean | undefined
  /** For the viewer who began it: 1xx that come before the answer. */
  readonly onInformational?: OriginRequest['onInformational']
}

interface Answered extends FetchTask {
  readonly message: OriginMessage
  readonly facts: ObjectFacts
  readonly freshness: Freshness
}

/** After an origin failed and its stale answer was served, it is left alone so long. */
const ERROR_REST_SECONDS = 10

/** Asks the origin for what an exchange needs and files the answer. Rejects when there is none and none before it may be served. */
export async function fetchObject(deps: FetchDeps, task: FetchTask): Promise<Fetched> {
  const { exchange, stale, controller } = task
  const headers = stale ? conditionsOf(stale) : rangeOf(task)
  const requestTime = deps.clock.now()
  const asked = originFetch(exchange, {
    method: exchange.method,
    headers,
    signal: controller.signal,
    minChange: deps.position(),
    onInformational: task.onInformational,
  })
  let message: OriginMessage
  try {
    message = await askOrigin(asked)
  } catch (error) {
    if (controller.signal.aborted) throw error
    if (unsatisfied(error, undefined) && headers['range'] !== undefined)
      return askForHead(deps, task)
    return failed(deps, task, error, requestTime)
  }
  if (unsatisfied(undefined, message.status) && headers['range'] !== undefined) {
    await dropBody(message.body)
    return askForHead(deps, task)
  }
  const times = { requestTime, responseTime: deps.clock.now() }
  const { stamp } = task
  if (message.status === 304 && stale && Object.keys(headers).length > 0) {
    // Its bytes may have been given up while the origin was asked, or be others than those that the origin means.
    if (!stale.generation.usable || !updatedBy304(stale, message.headers))
      return fetchObject(deps, { ...task, stale: undefined })
    const facts = refreshedFacts(stale.facts, message.headers, times, stamp, exchange.open)
    stale.refresh(facts)
    const forwarded = { reason: task.reason, status: 304, stored: true }
    return { kind: 'object', object: stale, forwarded, shareable: isFresh(facts, exchange, times) }
  }
  // RFC 9110 §15.3.7, §15.4.5: answers to questions that were not asked.
  if (message.status === 304 || (message.status === 206 && headers['range'] === undefined)) {
    await dropBody(message.body)
    const unasked = `${exchange.origin.id} answered ${message.status} to a request for the whole`
    return failed(deps, task, new NearcastError('origin-failed', unasked), requestTime)
  }
  if (message.status === 206 && !isAskedFor(message, exchange)) {
    await dropBody(message.body)
    return fetchObject(deps, { ...task, whole: true })
  }
  if (message.status >= 500 && stale) {
    const kept = restStale(deps, task, stale, message)
    if (kept) {
      await dropBody(message.body)
      return kept
    }
  }
  const facts = factsOf(asked, message, times, stamp)
  const freshness = freshnessOf(facts, exchange.behavior)
  const answered = { message, facts, freshness, ...task }
  return exchange.method === 'HEAD' ? fileHead(deps, answered) : file(deps, answered)
}

/** Where missing bytes of a generation are asked for; undefined when they can't be. */
export function sourceOf(
  deps: FetchDeps,
  exchange: Exchange,
  generation: Generation,
): Source | undefined {
  if (!generation.rangeable || generation.etag === undefined) return undefined
  return rangeSource(askerOf(deps, exchange), generation.etag, generation, deps.clock)
}

/**
 * Where the rest of a body is asked for when the origin dies in its midst, though it said nothing of ranges (RFC 9110 §14.3: it need not):
 * under a strong etag nothing wrong can come of it, and one that does not know ranges gives the whole again.
 */
function resumeSourceOf(
  deps: FetchDeps,
  exchange: Exchange,
  message: OriginMessage,
  generation: Generation,
): Source | undefined {
  const { etag, size } = generation
  const refused = /^\s*none\s*$/i.test(fieldLine(message.headers, 'accept-ranges') ?? '')
  if (message.status !== 200 || etag === undefined || size === undefined || refused)
    return undefined
  return rangeSource(askerOf(deps, exchange), etag, generation, deps.clock)
}

function askerOf(deps: FetchDeps, exchange: Exchange): Parameters<typeof rangeSource>[0] {
  return (headers, signal) =>
    askOrigin(originFetch(exchange, { method: 'GET', headers, signal, minChange: deps.position() }))
}

/** A whole answer: kept and filled from its body, or passed. */
async function file(deps: FetchDeps, answered: Answered): Promise<Fetched> {
  const { exchange, message, freshness, stale } = answered
  // An origin that answered a range with 206 does so again.
  const body = bodyFactsOf(message, exchange.origin.ranges || message.status === 206)
  if (!freshness.store || !body) {
    if (stale && message.status < 500) deps.cache.remove(stale)
    return pass(answered)
  }
  const generation = generationOf(deps.cache, exchange, body)
  // Readers who wait for this answer take their places before the hold is released.
  const hold = generation.hold()
  setImmediate(() => hold[Symbol.dispose]())
  const source =
    sourceOf(deps, exchange, generation) ?? resumeSourceOf(deps, exchange, message, generation)
  const run = { start: body.start, body: bodyChunks(message.body) }
  generation.fillFrom(run, body.end, source, answered.controller)
  return keep(deps, answered, freshness, generation)
}

/** RFC 9111 §4.3.5: what HEAD says of an object updates it or does away with it; with a strong etag it begins one. */
async function fileHead(deps: FetchDeps, answered: Answered): Promise<Fetched> {
  const { exchange, message, freshness, stale } = answered
  await dropBody(message.body)
  const shape = { ...message, body: never(), headers: message.headers }
  const body = bodyFactsOf(shape, exchange.origin.ranges)
  if (stale && message.status === 200 && freshness.store && mayUpdate(answered, stale)) {
    const { facts, stamp } = answered
    stale.refresh(refreshedFacts(stale.facts, message.headers, facts, stamp, exchange.open))
    const forwarded = { reason: answered.reason, status: 200, stored: true }
    const shareable = isFresh(stale.facts, exchange, facts)
    return { kind: 'object', object: stale, forwarded, shareable }
  }
  // Also what is fresh still and was passed over because the viewer asked for that.
  const known = stale ?? deps.cache.find(exchange.key, exchange.selecting)
  if (
    known &&
    message.status < 500 &&
    (message.status !== 200 || compareWithHead(known, message) === 'other')
  )
    deps.cache.remove(known)
  if (!freshness.store || !body?.rangeable || message.status !== 200) return pass(answered)
  const generation = generationOf(deps.cache, exchange, body)
  return keep(deps, answered, freshness, generation)
}

/** Without any validator only the standard alone updates, and nothing that an invalidation has made stale. */
function mayUpdate({ exchange, message }: Answered, stale: StoredObject): boolean {
  if (stale.facts.status !== 200 || !stale.generation.usable) return false
  const compared = compareWithHead(stale, message)
  if (compared !== 'silent') return compared === 'same'
  const valid = stale.checked?.facts === stale.facts && stale.checked.validity.kind === 'valid'
  return exchange.behavior.semantics === 'rfc' && valid
}

function keep(
  deps: FetchDeps,
  answered: Answered,
  freshness: Freshness & { store: true },
  generation: Generation,
): Fetched {
  const { exchange, message, facts } = answered
  const vary = listMembers(fieldLine(message.headers, 'vary'))
  const { omitFields } = freshness
  const common =
    omitFields.length === 0
      ? facts
      : { ...facts, flat: flatten(facts.responseFields, exchange.open, omitFields) }
  const object = deps.cache.store(exchange.key, vary, exchange.selecting, common, generation)
  const forwarded = { reason: answered.reason, status: message.status, stored: true }
  const shareable = isFresh(facts, exchange, facts)
  const flat = omitFields.length === 0 ? undefined : facts.flat
  return { kind: 'object', object, forwarded, flat, shareable }
}

function pass({ message, reason }: Answered): Fetched {
  const forwarded = { reason, status: message.status, stored: false }
  return { kind: 'pass', message, forwarded, ofRequest: message.status === 206 }
}

function generationOf(cache: Cache, exchange: Exchange, body: BodyFacts): Generation {
  const { etag, size, rangeable } = body
  const key = exchange.origin.ranges ? storeKeyOf(exchange.originPath) : undefined
  if (!rangeable || key === undefined || etag === undefined)
    return cache.ownGeneration({ etag, size, rangeable })
  const { originQuery } = exchange
  const name = originQuery === '' ? key : `${key}\n?${originQuery}`
  return cache.sharedGeneration(generationIdOf(exchange.origin.id, name, etag), {
    etag,
    size,
    rangeable,
  })
}

/** A cold range outside the object: only its head knows the size that a 416 must name. */
async function askForHead(deps: FetchDeps, task: FetchTask): Promise<Fetched> {
  const { exchange } = task
  const fetched = await fetchObject(deps, { ...task, exchange: { ...exchange, method: 'HEAD' } })
  if (fetched.kind === 'object') return fetched
  const { forwarded, message } = fetched
  const length = message.status === 200 ? bodySize({ ...message, body: never() }) : undefined
  const headers = length === undefined ? {} : { 'content-range': formatUnsatisfiedRange(length) }
  const refusal: OriginMessage = { kind: 'message', status: 416, headers, body: null }
  return { kind: 'pass', message: refusal, forwarded, ofRequest: true }
}

/** No answer at all: the stale one, or the failure itself, kept as the behavior says of its status. */
function failed(deps: FetchDeps, task: FetchTask, error: unknown, requestTime: number): Fetched {
  const { exchange, stale, stamp } = task
  const failure =
    error instanceof NearcastError
      ? error
      : new NearcastError('origin-failed', 'the origin gave no answer', { cause: error })
  if (failure.status >= 500 && stale) {
    const kept = restStale(deps, task, stale, undefined)
    if (kept) return { ...kept, failure }
  }
  const facts: ObjectFacts = {
    distribution: exchange.distribution.id,
    path: exchange.path,
    method: 'GET',
    status: failure.status,
    responseFields: {},
    requestTime,
    responseTime: deps.clock.now(),
    authorized: false,
    flat: flatten({}, exchange.open),
    stamp,
    failure,
  }
  if (!freshnessOf(facts, exchange.behavior).store) throw failure
  const generation = deps.cache.ownGeneration({ etag: undefined, size: 0, rangeable: false })
  const object = deps.cache.store(exchange.key, [], exchange.selecting, facts, generation)
  const forwarded = { reason: task.reason, status: undefined, stored: true }
  return { kind: 'object', object, forwarded, shareable: true, failure }
}

function restStale(
  deps: FetchDeps,
  { exchange, reason }: FetchTask,
  stale: StoredObject,
  message: OriginMessage | undefined,
): (Fetched & { kind: 'object' }) | undefined {
  const now = deps.clock.now()
  const status = message?.status
  if (!stale.generation.usable || !mayServeOnError(stale, exchange.behavior, now)) return undefined
  const asked = message
    ? restSeconds({ status: message.status, responseFields: message.headers, responseTime: now })
    : 0
  const configured = exchange.behavior.errors[status ?? 502]?.ttl
  const seconds = configured ?? Math.max(ERROR_REST_SECONDS, asked)
  stale.restUntil = now + seconds * 1000
  const forwarded = { reason, status, stored: false }
  return { kind: 'object', object: stale, forwarded, shareable: true }
}

function isFresh(facts: ObjectFacts, exchange: Exchange, at: { responseTime: number }): boolean {
  const freshness = freshnessOf(facts, exchange.behavior)
  return freshness.store && freshness.ttlSeconds > currentAge(facts, at.responseTime)
}

function conditionsOf(stale: StoredObject): Fields {
  const { responseFields } = stale.facts
  const headers: Record<string, string> = {}
  const etag = fieldLine(responseFields, 'etag')
  const modified = fieldLine(responseFields, 'last-modified')
  if (etag !== undefined) headers['if-none-match'] = etag
  if (modified !== undefined) headers['if-modified-since'] = modified
  return headers
}

/**
 * A cold range goes to the origin as it was asked for. Only object stores are known to understand it: from others it may come back as
 * a 206 without a strong etag, which is for this viewer alone, and so must not depend on his If-Range.
 */
function rangeOf({ exchange, whole }: FetchTask): Fields {
  const { method, origin, headers } = exchange
  const value = fieldLine(headers, 'range')
  if (whole || method !== 'GET' || value === undefined) return {}
  if (!origin.ranges && headers['if-range'] !== undefined) return {}
  return parseRangeSpecs(value)?.length === 1 ? { range: value } : {}
}

/**
 * A part that goes to its viewer as it is must say which one it is (RFC 9110 §15.3.7.1), and be of what his If-Range names (§13.1.5): a weak
 * etag names no bytes.
 */
function isAskedFor(message: OriginMessage, { origin, headers }: Exchange): boolean {
  if (!parseContentRange(fieldLine(message.headers, 'content-range'))) return false
  if (headers['if-range'] === undefined || bodyFactsOf(message, origin.ranges)) return true
  const modified = parseHttpDate(fieldLine(message.headers, 'last-modified'))
  const current = { etag: fieldLine(message.headers, 'etag'), lastModified: modified }
  return ifRangeHolds(fieldLine(headers, 'if-range'), current)
}

function unsatisfied(error: unknown, status: number | undefined): boolean {
  return (
    status === 416 || (error instanceof NearcastError && error.code === 'range-not-satisfiable')
  )
}

// A body of unknown content: only the fields say how long it is.
async function* never(): AsyncGenerator<Uint8Array, void, undefined> {}
