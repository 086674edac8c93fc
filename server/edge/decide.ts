import type { ChangeStamp, ObjectFacts } from '../cache/stored-object.ts'
import { currentAge, type Freshness, freshnessOf } from '../distribution/freshness.ts'
import type { Behavior } from '../distribution/types.ts'
import { parseCacheControl } from '../http/cache-control.ts'
import type { ForwardReason } from '../http/cache-status.ts'
import type { Fields } from '../http/message.ts'

/** Answers whether something stored when a log stood at `sinceSeq` was invalidated since. */
export interface Invalidations {
  isInvalidated(distributionId: string, path: string, sinceSeq: number): boolean
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

export interface DecideInput {
  /** The viewer's fields. */
  readonly headers: Fields
  readonly behavior: Behavior
  readonly object: { readonly facts: ObjectFacts; readonly restUntil: number } | undefined
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
  if (isOutdated(facts, facts.stamp, input.changes)) return miss('miss')
  const freshness = freshnessOf(facts, behavior)
  if (!freshness.store) return miss('miss')

  const age = currentAge(facts, now)
  const left = freshness.ttlSeconds - age
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
export function mayServeOnError(facts: ObjectFacts, behavior: Behavior, now: number): boolean {
  // An error is no better than the one that came now.
  if (facts.status >= 500) return false
  const freshness: Freshness = freshnessOf(facts, behavior)
  if (!freshness.store) return false
  return currentAge(facts, now) - freshness.ttlSeconds < freshness.staleIfError
}

/** True when an invalidation since that moment names the path, or the log is another one. */
export function isOutdated(
  what: { readonly distribution: string; readonly path: string },
  stamp: ChangeStamp,
  changes: Changes,
): boolean {
  const { distribution, path } = what
  return (
    stamp.epoch !== changes.epoch ||
    changes.log.isInvalidated(distribution, path, stamp.seq) ||
    changes.local.isInvalidated(distribution, path, stamp.localSeq)
  )
}

function hasValidator({ responseFields }: ObjectFacts): boolean {
  return responseFields['etag'] !== undefined || responseFields['last-modified'] !== undefined
}
