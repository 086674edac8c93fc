import type { ChangeStamp, CheckedValidity, ObjectFacts } from '../cache/stored-object.ts'
import { currentAge, type Freshness, freshnessOf } from '../distribution/freshness.ts'
import type { Named, Validity } from '../distribution/invalidation-index.ts'
import type { Behavior } from '../distribution/types.ts'
import { parseCacheControl } from '../http/cache-control.ts'
import type { ForwardReason } from '../http/cache-status.ts'
import type { Fields } from '../http/message.ts'

/** Answers how something stored when a log stood at `sinceSeq` stands since; the same while `state` is the same object. */
export interface Invalidations {
  readonly state: object
  check(what: Named, sinceSeq: number): Validity
}

/** What of the past may not be served any more. */
export interface Changes {
  readonly epoch: string
  readonly log: Invalidations
  readonly local: Invalidations
}

export type Decision =
  /** `refresh`: the origin is asked in the background. */
  | {
      readonly kind: 'serve'
      readonly ttlSeconds: number
      readonly age: number
      readonly refresh: boolean
    }
  | { readonly kind: 'fetch'; readonly reason: ForwardReason }
  | { readonly kind: 'revalidate'; readonly reason: ForwardReason }
  /** RFC 9111 §5.2.1.7: only-if-cached, and it is not. */
  | { readonly kind: 'respond'; readonly status: 504 }

export interface DecidedObject {
  readonly facts: ObjectFacts
  readonly restUntil: number
  /** What was found last, kept here: looked up again only after another invalidation. */
  checked?: CheckedValidity | undefined
}

export interface DecideInput {
  /** The viewer's fields. */
  readonly headers: Fields
  readonly behavior: Behavior
  readonly object: DecidedObject | undefined
  readonly changes: Changes
  /** Milliseconds since 1970. */
  readonly now: number
}

/** What to do for a viewer, with what is stored. Lifetimes are applied here, so a changed behavior works at once. */
export function decide(input: DecideInput): Decision {
  const { object, behavior, now } = input
  // CloudFront ignores what viewers say of caching.
  const asked =
    behavior.semantics === 'rfc' ? parseCacheControl(input.headers['cache-control']) : undefined
  const miss = (reason: ForwardReason): Decision =>
    asked?.onlyIfCached ? { kind: 'respond', status: 504 } : { kind: 'fetch', reason }
  if (!object) return miss('uri-miss')
  const { facts } = object
  const validity = validityOf(object, input.changes)
  if (validity.kind === 'gone') return miss('miss')
  const freshness = freshnessOf(facts, behavior)
  if (!freshness.store) return miss('miss')

  const age = currentAge(facts, now)
  const left = leftOf(freshness, age, validity, now)
  const serve = (refresh: boolean): Decision => ({ kind: 'serve', ttlSeconds: left, age, refresh })
  const again = (reason: ForwardReason): Decision => {
    if (asked?.onlyIfCached) return { kind: 'respond', status: 504 }
    return hasValidator(facts) ? { kind: 'revalidate', reason } : { kind: 'fetch', reason }
  }
  if (asked) {
    const pragma = input.headers['cache-control'] === undefined && input.headers['pragma']
    if (asked.noCache || pragma === 'no-cache') return again('request')
    if (asked.maxAge !== undefined && age > asked.maxAge) return again('request')
    if (asked.minFresh !== undefined && left < asked.minFresh) return again('request')
  }
  if (left > 0) return serve(false)
  if (object.restUntil > now && -left < freshness.staleIfError) return serve(false)
  if (-left < freshness.staleWhileRevalidate) return serve(true)
  if (asked?.maxStale !== undefined && !freshness.mustRevalidate && -left <= asked.maxStale)
    return serve(false)
  return again('stale')
}

/** Whether what is stored may be served although the origin failed (RFC 5861 §4, CloudFront). */
export function mayServeOnError(
  { facts, checked }: Pick<DecidedObject, 'facts' | 'checked'>,
  behavior: Behavior,
  now: number,
): boolean {
  // An error is no better than the one that came now.
  if (facts.status >= 500) return false
  const freshness: Freshness = freshnessOf(facts, behavior)
  if (!freshness.store) return false
  const validity = checked?.facts === facts ? checked.validity : VALID
  return -leftOf(freshness, currentAge(facts, now), validity, now) < freshness.staleIfError
}

const VALID: Validity = { kind: 'valid' }
const GONE: Validity = { kind: 'gone' }
const NO_TAGS: readonly string[] = []

/** Seconds it is fresh for, negative when it is stale: by its age, or because it was said to be stale. */
function leftOf(
  { ttlSeconds }: Freshness & { readonly store: true },
  age: number,
  validity: Validity,
  now: number,
): number {
  const left = ttlSeconds - age
  return validity.kind === 'stale' ? Math.min(left, (validity.since - now) / 1000, 0) : left
}

/** How what is stored stands after all invalidations since; `gone` too when the log is another one. */
export function validityOf(object: DecidedObject, changes: Changes): Validity {
  const { facts, checked } = object
  const log = changes.log.state
  const local = changes.local.state
  if (facts.stamp.epoch !== changes.epoch) return GONE
  if (checked?.facts === facts && checked.log === log && checked.local === local)
    return checked.validity
  const { distribution, path, tags = NO_TAGS, stamp } = facts
  const validity = standing({ distribution, path, tags }, stamp, changes)
  object.checked = { facts, log, local, validity }
  return validity
}

/** True when what is asked for at that moment may be, once it comes, what was invalidated since. */
export function isOutdated(
  what: Pick<Named, 'distribution' | 'path'>,
  stamp: ChangeStamp,
  changes: Changes,
): boolean {
  if (stamp.epoch !== changes.epoch) return true
  return standing({ ...what, tags: 'unknown' }, stamp, changes).kind !== 'valid'
}

function standing(what: Named, stamp: ChangeStamp, { log, local }: Changes): Validity {
  const far = log.check(what, stamp.seq)
  return far.kind === 'gone' ? far : worse(far, local.check(what, stamp.localSeq))
}

function worse(a: Validity, b: Validity): Validity {
  return b.kind === 'valid' ? a : b
}

function hasValidator({ responseFields }: ObjectFacts): boolean {
  return responseFields['etag'] !== undefined || responseFields['last-modified'] !== undefined
}
