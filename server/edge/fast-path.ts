import type { StoredObject } from '../cache/stored-object.ts'
import { writeCacheStatus } from '../http/cache-status.ts'
import { formatContentRange, parseRange } from '../http/range.ts'
import type { Source } from '../cache/fill.ts'
import { decide } from './decide.ts'
import type { EdgeContext } from './edge-context.ts'
import { sourceOf } from './fetch-object.ts'
import { type KnownRequest, KnownRequests } from './known-requests.ts'
import { type Exchange, matchRequest } from './match-request.ts'
import { type RequestHead, readRequestHead } from './request-head.ts'

/** A hit, ready to be sent. */
export interface FastAnswer {
  readonly kind: 'hit'
  /** Status line and fields up to the request id's value. */
  readonly head: string
  readonly object: StoredObject
  readonly status: 200 | 206
  /** First byte of the body in the object, and the one behind its last. */
  readonly start: number
  readonly end: number
  /** Where slices that are given up meanwhile are had again. */
  readonly source: () => Source | undefined
  readonly request: RequestHead
}

/** A request that an origin in this process answers for each viewer. */
export interface FastDirect {
  readonly kind: 'direct'
  readonly exchange: Exchange
  readonly request: RequestHead
}

/** Requests remembered by their bytes, and what all that is kept for them may take. */
const KNOWN_MAX = 4096
const KNOWN_BYTES_MAX = 8 * 1024 * 1024
const CACHE = 'nearcast'
/** Viewers of a live stream ask for the same in the same words, and a moment later for something else. */
const DIRECT_MAX = 256
const DIRECT_BYTES_MAX = 1024 * 1024
/** What players of live streams ask for again and again. */
const LIVE_FILES = /\.(?:m3u8|m4s)$/

/**
 * Answers plain requests for what is in the cache by the bytes of the request: the same bytes were parsed and matched before, and mean the
 * same while the distributions are the same. What may have changed is asked each time: the object, its freshness, invalidations.
 */
export class FastPath {
  readonly #context: EdgeContext
  readonly #known = new KnownRequests(KNOWN_MAX, KNOWN_BYTES_MAX)
  readonly #direct = new KnownRequests(DIRECT_MAX, DIRECT_BYTES_MAX)

  constructor(context: EdgeContext) {
    this.#context = context
  }

  /** undefined: not a hit, or not as simple as that. */
  find(bytes: string): FastAnswer | FastDirect | undefined {
    const { cache, clock, state } = this.#context.deps
    const { distributions } = state()
    const direct = this.#direct.get(bytes)
    if (direct?.distributions === distributions) return directOf(direct)
    let known = this.#known.get(bytes)
    if (known && known.distributions !== distributions) {
      this.#known.forget(bytes)
      known = undefined
    }
    const found = known ?? this.#match(bytes)
    if (!found) return undefined
    const { exchange, request } = found
    if (exchange.direct) {
      this.#direct.keep(bytes, found)
      return directOf(found)
    }
    const object = cache.find(exchange.key, exchange.selecting)
    const size = object?.generation.size
    if (!object || size === undefined) return undefined
    const { facts } = object
    if (facts.status !== 200 || facts.failure) return undefined
    const part = partOf(request, size)
    if (!part || !object.generation.holds(part.start, part.end)) return undefined
    const decision = decide({
      headers: request.headers,
      behavior: exchange.behavior,
      object,
      changes: this.#context.changes(),
      now: clock.now(),
    })
    if (decision.kind !== 'serve') return undefined
    if (decision.refresh) this.#context.flights.refresh(exchange, object)
    // What is asked for once among millions of others would only push out what is asked for often.
    if (!known && !object.passing) this.#known.keep(bytes, found)
    const age = Math.floor(decision.age)
    const ttl = Math.ceil(decision.ttlSeconds)
    if (found.age !== age || found.ttl !== ttl) {
      found.age = age
      found.ttl = ttl
      // Once a second of the same request: whoever watches on is seen, and hits cost nothing more.
      this.#context.prefetch.served(exchange, object)
    }
    return {
      kind: 'hit',
      head: headFor(object, { age, ttl, size, part }),
      object,
      status: part.status,
      start: part.start,
      end: part.end,
      source: () => sourceOf(this.#sources(), exchange, object.generation),
      request,
    }
  }

  #match(bytes: string): KnownRequest | undefined {
    const request = readRequestHead(bytes)
    if (!request) return undefined
    const { deps } = this.#context
    const { distributions } = deps.state()
    const match = matchRequest({ distributions, origins: deps.origins, ...request })
    if (match.kind !== 'matched') return undefined
    const { exchange } = match
    const { direct, originPath } = exchange
    if (direct && (direct !== 'origin' || !LIVE_FILES.test(originPath))) return undefined
    return { request, exchange, distributions, age: -1, ttl: -1 }
  }

  #sources(): Parameters<typeof sourceOf>[0] {
    const { cache, clock, state } = this.#context.deps
    return { cache, clock, position: () => state().position }
  }
}

function directOf({ exchange, request }: KnownRequest): FastDirect {
  return { kind: 'direct', exchange, request }
}

interface Part {
  readonly status: 200 | 206
  readonly start: number
  readonly end: number
}

/** What of `size` bytes is asked for; undefined for what is not one satisfiable range (RFC 9110 §14.2). */
function partOf({ headers }: RequestHead, size: number): Part | undefined {
  const range = headers['range']
  if (range === undefined) return { status: 200, start: 0, end: size }
  if (typeof range !== 'string') return undefined
  const asked = parseRange(range, size)
  const [one, ...others] = asked.kind === 'ranges' ? asked.ranges : []
  return one && others.length === 0
    ? { status: 206, start: one.start, end: one.end + 1 }
    : undefined
}

interface Said {
  readonly age: number
  readonly ttl: number
  readonly size: number
  readonly part: Part
}

/** Written once for all who are told the same. The object keeps it: what is known of requests holds nothing of an answer that is given up. */
function headFor(object: StoredObject, said: Said): string {
  const { facts, sent } = object
  const { age, ttl, part } = said
  const { status, start, end } = part
  const same = sent?.facts === facts && sent.age === age && sent.ttl === ttl
  if (same && sent.status === status && sent.start === start && sent.end === end) return sent.text
  const text = headOf(facts.flat, said)
  object.sent = { facts, age, ttl, status, start, end, text }
  return text
}

/** As node:http writes it, so that nobody sees which way an answer went. */
function headOf(
  flat: readonly string[],
  { age, ttl, size, part: { status, start, end } }: Said,
): string {
  const lines = [status === 200 ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 206 Partial Content']
  for (let i = 0; i + 1 < flat.length; i += 2)
    if (status === 200 || flat[i] !== 'Content-Range') lines.push(`${flat[i]}: ${flat[i + 1]}`)
  const outcome = { kind: 'hit' } as const
  lines.push(
    `Cache-Status: ${writeCacheStatus({ cache: CACHE, outcome, ttl })}`,
    'X-Cache: Hit from nearcast',
    `Age: ${age}`,
    `Content-Length: ${end - start}`,
  )
  if (status === 206)
    lines.push(`Content-Range: ${formatContentRange({ start, end: end - 1 }, size)}`)
  lines.push(
    'Accept-Ranges: bytes',
    'Connection: keep-alive',
    'Keep-Alive: timeout=65',
    'X-Nearcast-Request-Id: ',
  )
  return lines.join('\r\n')
}
