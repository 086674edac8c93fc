import { type CacheControl, MAX_DELTA_SECONDS, parseCacheControl } from '../http/cache-control.ts'
import { parseHttpDate } from '../http/dates.ts'
import { fieldLine, listMembers } from '../http/fields.ts'
import type { Fields } from '../http/message.ts'
import { targetedCacheControl } from '../http/targeted-cache-control.ts'
import type { Behavior } from './types.ts'

/** What an origin's answer said and when: all that deciding on freshness needs. Never changed once made. */
export interface ResponseFacts {
  readonly method: string
  readonly status: number
  /** The answer's fields. */
  readonly responseFields: Fields
  /** When the origin was asked and when its header came, milliseconds since 1970. */
  readonly requestTime: number
  readonly responseTime: number
  /** The request to the origin carried Authorization (RFC 9111 §3.5). */
  readonly authorized?: boolean | undefined
}

/** What of a behavior decides on freshness. */
export type FreshnessBehavior = Pick<Behavior, 'ttl' | 'semantics' | 'errors' | 'key'>

export type NotStoredReason =
  | 'method'
  | 'status'
  | 'behavior'
  | 'no-store'
  | 'no-cache'
  | 'private'
  | 'authorization'
  | 'vary'
  | 'set-cookie'
  | 'no-lifetime'

/** How a lifetime was found, step by step, for people: rule and the seconds it gave. */
export interface FreshnessStep {
  readonly rule: string
  readonly seconds?: number | undefined
}

export type Freshness =
  | {
      readonly store: false
      readonly reason: NotStoredReason
      readonly why: readonly FreshnessStep[]
    }
  | {
      readonly store: true
      /** Fresh while `currentAge(facts, now)` is below this. */
      readonly ttlSeconds: number
      /** Seconds past the lifetime in which it may be served while it is fetched anew (RFC 5861 §3). */
      readonly staleWhileRevalidate: number
      /** Seconds past the lifetime in which it may be served when the origin fails (RFC 5861 §4). */
      readonly staleIfError: number
      /** Never served stale (RFC 9111 §5.2.2.2). */
      readonly mustRevalidate: boolean
      /** Fields that must not be given to other viewers. Lower case. */
      readonly omitFields: readonly string[]
      readonly why: readonly FreshnessStep[]
    }

const ERROR_TTL_SECONDS = 10
const SERVED_ON_ERROR = MAX_DELTA_SECONDS
const ONE_DAY = 86_400
const NO_FIELDS: readonly string[] = []

// CloudFront keeps these errors always, and those only when the origin says how long.
const ERRORS_KEPT: ReadonlySet<number> = new Set([404, 414, 500, 501, 502, 503, 504])
/** Not even for the error ttl under no-cache; of others CloudFront ignores it. */
const NO_CACHE_HONOURED: ReadonlySet<number> = new Set([404, 410, 414, 501])
// RFC 9110 §15.1: heuristically cacheable.
const HEURISTIC: ReadonlySet<number> = new Set([
  200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501,
])
// RFC 9111 §5.2.2.3: must-understand means these; other final codes are stored without.
const UNDERSTOOD: ReadonlySet<number> = new Set([
  ...HEURISTIC,
  302,
  303,
  307,
  400,
  403,
  500,
  502,
  503,
  504,
])

const decided = new WeakMap<ResponseFacts, WeakMap<FreshnessBehavior, Freshness>>()

/**
 * Whether an answer may be stored and how long it is fresh, by CloudFront's TTL table or by RFC 9111 alone. To be asked
 * at each decision with the stored facts, so that a changed behavior works at once; the outcome is kept for a pair of
 * facts and behavior, which are both never changed.
 */
export function freshnessOf(facts: ResponseFacts, behavior: FreshnessBehavior): Freshness {
  let known = decided.get(facts)
  if (!known) {
    known = new WeakMap()
    decided.set(facts, known)
  }
  let freshness = known.get(behavior)
  if (!freshness) {
    freshness = behavior.semantics === 'rfc' ? byRfc(facts, behavior) : byTable(facts, behavior)
    known.set(behavior, freshness)
  }
  return freshness
}

/** RFC 9111 §4.2.3: seconds since the origin made the answer, as well as can be known; whole part is the Age field. */
export function currentAge(facts: ResponseFacts, now: number): number {
  return initialAge(facts) + Math.max(0, now - facts.responseTime) / 1000
}

const initialAges = new WeakMap<ResponseFacts, number>()

function initialAge(facts: ResponseFacts): number {
  let age = initialAges.get(facts)
  if (age === undefined) {
    age = ageOnArrival(facts)
    initialAges.set(facts, age)
  }
  return age
}

function ageOnArrival(facts: ResponseFacts): number {
  const { responseFields, requestTime, responseTime } = facts
  const date = parseHttpDate(fieldLine(responseFields, 'date'), responseTime) ?? responseTime
  const sinceDate = Math.floor((responseTime - date) / 1000)
  // Date is cut to whole seconds: one second may be nothing but that, and most of a short lifetime.
  const apparent = sinceDate > 1 ? sinceDate : 0
  const delay = Math.max(0, responseTime - requestTime) / 1000
  return Math.max(apparent, (declaredAge(responseFields) ?? 0) + delay)
}

/**
 * Seconds that caches on the way say an answer has lain there (RFC 9111 §5.1): of several values the first counts, what is no number is
 * ignored. Parameters behind a number do not make it younger.
 */
export function declaredAge(fields: Fields): number | undefined {
  const [value] = listMembers(fieldLine(fields, 'age'))
  const seconds = value === undefined ? undefined : /^(\d+)(?:\s*;|$)/.exec(value)?.[1]
  return seconds === undefined ? undefined : Math.min(Number(seconds), MAX_DELTA_SECONDS)
}

function byTable(facts: ResponseFacts, behavior: FreshnessBehavior): Freshness {
  const { status, responseFields } = facts
  const { min, max } = behavior.ttl
  const errorPage = behavior.errors[status]
  if (facts.method !== 'GET' && facts.method !== 'HEAD') return refuse('method')
  if (max === 0 && errorPage?.ttl === undefined) return refuse('behavior', 'ttl.max', 0)
  if (status < 200 || status === 304 || status === 416) return refuse('status')
  if (listMembers(fieldLine(responseFields, 'vary')).includes('*')) return refuse('vary', 'vary: *')
  const cacheControl = parseCacheControl(responseFields['cache-control'])
  const explicit = explicitLifetime(facts, cacheControl)

  if (status >= 400) {
    const forbidding = forbiddenBy(cacheControl)
    if (forbidding && (forbidding !== 'no-cache' || NO_CACHE_HONOURED.has(status)))
      return refuse(forbidding)
    const kept = ERRORS_KEPT.has(status)
      ? Math.max(ERROR_TTL_SECONDS, restSeconds(facts))
      : undefined
    const floor = errorPage?.ttl ?? kept
    // Expires alone makes no error one that is kept.
    const said = floor === undefined && explicit?.rule === 'expires' ? undefined : explicit
    if (floor === undefined && said === undefined) return refuse('status')
    const steps: FreshnessStep[] = said ? [said] : []
    if (said && said.seconds > max) steps.push({ rule: 'ttl.max', seconds: max })
    if (floor !== undefined) steps.push({ rule: 'error ttl', seconds: floor })
    const seconds = Math.max(floor ?? 0, Math.min(said?.seconds ?? 0, max))
    return keep(facts, cacheControl, seconds, steps)
  }

  // The table's last row: with min above 0 the behavior overrules the origin.
  const forbidding = forbiddenBy(cacheControl)
  if (forbidding) {
    if (min === 0) return refuse(forbidding)
    return keep(facts, cacheControl, Math.min(min, max), [
      { rule: forbidding },
      { rule: 'ttl.min', seconds: min },
    ])
  }
  if (!explicit) {
    // A cookie for one viewer, kept by default for all, is how sessions are stolen.
    if (min === 0 && !cacheControl.public && responseFields['set-cookie'] !== undefined)
      return refuse('set-cookie')
    const seconds = Math.max(min, behavior.ttl.default)
    return keep(facts, cacheControl, seconds, [
      { rule: min > behavior.ttl.default ? 'ttl.min' : 'ttl.default', seconds },
    ])
  }
  const steps = [explicit]
  if (explicit.seconds < min) steps.push({ rule: 'ttl.min', seconds: min })
  if (explicit.seconds > max) steps.push({ rule: 'ttl.max', seconds: max })
  return keep(facts, cacheControl, Math.min(Math.max(explicit.seconds, min), max), steps)
}

const REST_SECONDS_MAX = 300

/** How long an origin that is overloaded asks to be left alone (RFC 9110 §10.2.3, RFC 6585 §4); 0 for not. */
export function restSeconds({
  status,
  responseFields,
  responseTime,
}: Pick<ResponseFacts, 'status' | 'responseFields' | 'responseTime'>): number {
  const value = fieldLine(responseFields, 'retry-after')
  if ((status !== 503 && status !== 429) || value === undefined) return 0
  const until = parseHttpDate(value, responseTime)
  const seconds = /^\d{1,9}$/.test(value)
    ? Number(value)
    : until === undefined
      ? 0
      : (until - responseTime) / 1000
  return Math.min(REST_SECONDS_MAX, Math.max(0, seconds))
}

// `residence`: seconds from arrival. CloudFront's three numbers count from there, not from the answer's birth.
function keep(
  facts: ResponseFacts,
  cacheControl: CacheControl,
  residence: number,
  why: readonly FreshnessStep[],
): Freshness {
  const mustRevalidate = cacheControl.mustRevalidate || cacheControl.proxyRevalidate
  const omit = [...cacheControl.noCacheFields, ...cacheControl.privateFields]
  if (facts.responseFields['set-cookie'] !== undefined) omit.push('set-cookie')
  return {
    store: true,
    ttlSeconds: initialAge(facts) + residence,
    staleWhileRevalidate: mustRevalidate ? 0 : (cacheControl.staleWhileRevalidate ?? 0),
    // CloudFront serves the old copy when the origin fails unless the origin forbids it.
    staleIfError: mustRevalidate ? 0 : (cacheControl.staleIfError ?? SERVED_ON_ERROR),
    mustRevalidate,
    omitFields: omit.length > 0 ? omit : NO_FIELDS,
    why,
  }
}

function forbiddenBy(cacheControl: CacheControl): 'no-store' | 'private' | 'no-cache' | undefined {
  if (cacheControl.noStore) return 'no-store'
  if (cacheControl.private) return 'private'
  return cacheControl.noCache ? 'no-cache' : undefined
}

// Seconds left at arrival by what the origin said; never negative. An origin whose clock is wrong or that takes longer
// than a short lifetime is still cached, as CloudFront does: only the age that caches before it declare counts.
function explicitLifetime(
  facts: ResponseFacts,
  cacheControl: CacheControl,
): { readonly rule: string; readonly seconds: number } | undefined {
  const lifetime = saidLifetime(facts, cacheControl)
  if (!lifetime) return undefined
  const seconds = Math.max(0, lifetime.seconds - (declaredAge(facts.responseFields) ?? 0))
  return { rule: lifetime.rule, seconds }
}

// RFC 9111 §4.2.1, in the order of a shared cache.
function saidLifetime(
  facts: ResponseFacts,
  { sMaxAge, maxAge }: CacheControl,
  targeted?: CacheControl,
): { readonly rule: string; readonly seconds: number } | undefined {
  if (sMaxAge !== undefined) return { rule: 's-maxage', seconds: sMaxAge }
  if (maxAge !== undefined) return { rule: 'max-age', seconds: maxAge }
  const field = facts.responseFields['expires']
  if (field === undefined || targeted) return undefined
  // §5.3: what is no date, above all 0, has expired. Of several the first counts.
  const expires = parseHttpDate(typeof field === 'string' ? field : field[0], facts.responseTime)
  const date = parseHttpDate(fieldLine(facts.responseFields, 'date'), facts.responseTime)
  const from = date ?? facts.responseTime
  return { rule: 'expires', seconds: expires === undefined ? 0 : (expires - from) / 1000 }
}

/** RFC 9111 §3 and §4.2 for a shared cache; ttl.max still bounds it, as any cache may call an answer stale early. */
function byRfc(facts: ResponseFacts, behavior: FreshnessBehavior): Freshness {
  const { status, responseFields } = facts
  // RFC 9213 §2.2: where it is there, Cache-Control and Expires say nothing.
  const targeted = targetedCacheControl(responseFields)
  const cacheControl = targeted ?? parseCacheControl(responseFields['cache-control'])
  const refusal = refusedByRfc(facts, cacheControl)
  if (refusal) return refuse(refusal)
  if (behavior.ttl.max === 0) return refuse('behavior', 'ttl.max', 0)

  const step = saidLifetime(facts, cacheControl, targeted) ?? heuristic(facts, cacheControl)
  if (!step && !HEURISTIC.has(status) && !cacheControl.public) return refuse('no-lifetime')
  const steps: FreshnessStep[] = [step ?? { rule: 'no lifetime', seconds: 0 }]
  if (cacheControl.noCache) steps.push({ rule: 'no-cache', seconds: 0 })
  const said = cacheControl.noCache ? 0 : Math.max(0, step?.seconds ?? 0)
  const bound = initialAge(facts) + behavior.ttl.max
  if (said > bound) steps.push({ rule: 'ttl.max', seconds: behavior.ttl.max })
  // §5.2.2.10: s-maxage means proxy-revalidate too; §4.2.4: none of these may be served stale.
  const mustRevalidate =
    cacheControl.mustRevalidate ||
    cacheControl.proxyRevalidate ||
    cacheControl.noCache ||
    cacheControl.sMaxAge !== undefined
  const omitFields = [...cacheControl.noCacheFields, ...cacheControl.privateFields]
  return {
    store: true,
    ttlSeconds: Math.min(said, bound),
    staleWhileRevalidate: mustRevalidate ? 0 : (cacheControl.staleWhileRevalidate ?? 0),
    staleIfError: mustRevalidate ? 0 : (cacheControl.staleIfError ?? SERVED_ON_ERROR),
    mustRevalidate,
    omitFields: omitFields.length > 0 ? omitFields : NO_FIELDS,
    why: steps,
  }
}

function refusedByRfc(
  facts: ResponseFacts,
  cacheControl: CacheControl,
): NotStoredReason | undefined {
  if (facts.method !== 'GET' && facts.method !== 'HEAD') return 'method'
  if (facts.status < 200 || facts.status === 304 || facts.status === 416) return 'status'
  const understood = UNDERSTOOD.has(facts.status)
  if (cacheControl.mustUnderstand && !understood) return 'status'
  // §5.2.2.3: no-store beside must-understand is for caches that do not know the latter.
  if (cacheControl.noStore && !cacheControl.mustUnderstand) return 'no-store'
  if (cacheControl.private) return 'private'
  const shareable =
    cacheControl.public || cacheControl.mustRevalidate || cacheControl.sMaxAge !== undefined
  if (facts.authorized && !shareable) return 'authorization'
  if (listMembers(fieldLine(facts.responseFields, 'vary')).includes('*')) return 'vary'
  return undefined
}

// §4.2.2: a tenth of the time since the last change, at most a day.
function heuristic(facts: ResponseFacts, cacheControl: CacheControl): FreshnessStep | undefined {
  if (!HEURISTIC.has(facts.status) && !cacheControl.public) return undefined
  const { responseFields, responseTime } = facts
  const modified = parseHttpDate(fieldLine(responseFields, 'last-modified'), responseTime)
  if (modified === undefined) return undefined
  const date = parseHttpDate(fieldLine(responseFields, 'date'), responseTime) ?? responseTime
  const seconds = Math.min(Math.max(0, (date - modified) / 10_000), ONE_DAY)
  return { rule: 'heuristic', seconds }
}

function refuse(reason: NotStoredReason, rule: string = reason, seconds?: number): Freshness {
  return { store: false, reason, why: [{ rule, seconds }] }
}
