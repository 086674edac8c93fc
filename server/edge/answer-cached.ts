import type { Cache } from '../cache/cache.ts'
import type { StoredObject } from '../cache/stored-object.ts'
import { currentAge, declaredAge, freshnessOf } from '../distribution/freshness.ts'
import type { Behavior } from '../distribution/types.ts'
import { writeCacheStatus } from '../http/cache-status.ts'
import type { OriginMessage } from '../http/message.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import { failureLogOf } from '../lib/failure-log.ts'
import { type Decision, decide } from './decide.ts'
import type { EdgeContext } from './edge-context.ts'
import { errorAnswerOf, sendError } from './error-answer.ts'
import { type Fetched, type Forwarded, sourceOf } from './fetch-object.ts'
import { type Exchange, matchRequest } from './match-request.ts'
import { sendMessage } from './send-message.ts'
import { serveObject } from './serve-object.ts'
import { dropBody } from './stored-answer.ts'
import type { ResultType, Viewer } from './viewer.ts'

/** What came of asking the cache and, where it had to be, the origin. */
type Resolved =
  | {
      readonly kind: 'object'
      readonly object: StoredObject
      readonly flat: readonly string[]
      readonly cacheStatus: string
      readonly result: ResultType
      /** Whole seconds are sent, when it has lain somewhere. */
      readonly age: number | undefined
    }
  | {
      readonly kind: 'pass'
      readonly message: OriginMessage
      readonly controller: AbortController
      readonly cacheStatus: string
    }
  | { readonly kind: 'refused'; readonly status: 504 }

/** So often an answer may turn out to be somebody else's, or its bytes others, before the viewer is told to come again. */
const ATTEMPTS_MAX = 6
/** So often a viewer waits for what others asked and could not have it, before he asks himself. */
const WAITS_MAX = 3
const CACHE = 'nearcast'

/** Answers GET and HEAD from the cache, filling it on the way. */
export async function answerCached(
  context: EdgeContext,
  viewer: Viewer,
  exchange: Exchange,
): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const resolved = await resolve(context, viewer, exchange)
    if ((await send(context, viewer, exchange, resolved)) === 'sent') {
      if (resolved.kind === 'object' && !viewer.gone)
        context.prefetch.served(exchange, resolved.object)
      return
    }
    if (resolved.kind === 'object') context.deps.cache.remove(resolved.object)
  }
  throw new NearcastError('origin-failed', `${exchange.path}: keeps changing while it is read`)
}

async function send(
  context: EdgeContext,
  viewer: Viewer,
  exchange: Exchange,
  resolved: Resolved,
): Promise<'sent' | 'again'> {
  if (resolved.kind === 'refused') {
    const failure = new NearcastError('origin-timeout', 'only-if-cached, and it is not')
    sendError(viewer, { ...errorAnswerOf(failure, []), message: 'this is not in the cache' })
    return 'sent'
  }
  const status = resolved.kind === 'object' ? resolved.object.facts.status : resolved.message.status
  const page = status >= 400 ? exchange.behavior.errors[status] : undefined
  if (page?.page !== undefined) {
    const shown = await errorPage(context, viewer, exchange, page.page)
    if (shown) {
      if (resolved.kind === 'pass') await dropBody(resolved.message.body)
      viewer.result = 'Error'
      const options = serveOptions(
        context,
        shown.exchange,
        shown.resolved,
        exchange.method,
        'Error',
      )
      return serveObject(viewer, { ...options, status: page.as ?? status })
    }
  }
  if (resolved.kind === 'pass') {
    viewer.result = status >= 400 ? 'Error' : 'Miss'
    const abort = () => resolved.controller.abort(viewer.signal.reason)
    if (viewer.signal.aborted) abort()
    else viewer.signal.addEventListener('abort', abort, { once: true })
    const more = moreOf(resolved.cacheStatus, viewer.result, undefined)
    await sendMessage(viewer, exchange, resolved.message, more)
    return 'sent'
  }
  viewer.result = resolved.result
  return serveObject(
    viewer,
    serveOptions(context, exchange, resolved, exchange.method, resolved.result),
  )
}

function serveOptions(
  context: EdgeContext,
  exchange: Exchange,
  resolved: Resolved & { kind: 'object' },
  method: string,
  result: ResultType,
): Parameters<typeof serveObject>[1] {
  const { object, flat } = resolved
  const more = moreOf(resolved.cacheStatus, result, resolved.age)
  const { cache, clock, state } = context.deps
  const source = sourceOf(
    { cache, clock, position: () => state().position },
    exchange,
    object.generation,
  )
  return { object, method, source, flat, more }
}

/** The cache's answer, or the origin's by way of the cache; collapsed with whoever asks for the same. */
async function resolve(
  context: EdgeContext,
  viewer: Viewer,
  exchange: Exchange,
): Promise<Resolved> {
  const { cache, clock } = context.deps
  const { behavior, key } = exchange
  for (let waited = 0; ; waited++) {
    let object = cache.find(key, exchange.selecting)
    if (!object) {
      const recalled = cache.recall(key, exchange.selecting)
      if (recalled) object = await recalled
    }
    const now = clock.now()
    const changes = context.changes()
    const decision = decide({ headers: viewer.headers, behavior, object, changes, now })
    if (decision.kind === 'respond') return { kind: 'refused', status: decision.status }
    if (decision.kind === 'serve' && object) {
      if (decision.refresh)
        context.flights.refresh(exchange, object, (fetched) =>
          logFailure(context, viewer, exchange, fetched),
        )
      return hit(object, decision.ttlSeconds, decision.age)
    }
    const { fetched, collapsed, controller } = await context.flights.join(exchange, {
      stale: mayStandIn(decision) ? object : undefined,
      reason: decision.kind === 'serve' ? 'miss' : decision.reason,
      signal: viewer.signal,
      mayShare: waited < WAITS_MAX,
      onInformational: (status, headers) => viewer.inform(status, headers),
    })
    if (!collapsed) logFailure(context, viewer, exchange, fetched)
    if (!collapsed && fetched.kind === 'pass') {
      const cacheStatus = forwardedStatus(fetched.forwarded, false)
      return { kind: 'pass', message: fetched.message, controller, cacheStatus }
    }
    if (fetched.kind === 'pass' || (collapsed && !isFor(fetched, cache, exchange))) continue
    return forwarded(fetched, collapsed, behavior, clock.now())
  }
}

/** A failure that is kept, or hidden by a stale answer, reaches nobody who would log it. */
function logFailure(
  { deps }: EdgeContext,
  viewer: Viewer,
  { origin }: Exchange,
  fetched: Fetched,
): void {
  const failure = fetched.kind === 'object' ? fetched.failure : undefined
  if (!failure || failure.status < 500) return
  failureLogOf(deps).warn(`${origin.id} ${failure.code}`, 'origin failed', {
    origin: origin.id,
    request: viewer.id,
    url: viewer.request.url,
    error: describeError(failure),
  })
}

/** What is stored may be valid still, or be served when the origin fails (RFC 9111 §4.2.4); what was invalidated is neither. */
function mayStandIn(decision: Decision): boolean {
  return (
    decision.kind === 'revalidate' || (decision.kind === 'fetch' && decision.reason === 'stale')
  )
}

/** What somebody else's request brought is this viewer's too: fresh, and of the variant he asks for. */
function isFor(
  fetched: Fetched & { kind: 'object' },
  cache: Cache,
  { key, selecting }: Exchange,
): boolean {
  return fetched.shareable && cache.find(key, selecting) === fetched.object
}

function hit(object: StoredObject, ttlSeconds: number, age: number): Resolved {
  const { facts } = object
  const result = facts.status >= 400 ? 'Error' : 'Hit'
  const outcome = { kind: 'hit' } as const
  const cacheStatus = writeCacheStatus({ cache: CACHE, outcome, ttl: Math.ceil(ttlSeconds) })
  return { kind: 'object', object, flat: facts.flat, cacheStatus, result, age }
}

function forwarded(
  fetched: Fetched & { kind: 'object' },
  collapsed: boolean,
  behavior: Behavior,
  now: number,
): Resolved {
  const { object } = fetched
  const { facts } = object
  const freshness = freshnessOf(facts, behavior)
  const age = currentAge(facts, now)
  const left = freshness.store ? freshness.ttlSeconds - age : 0
  const revalidated = fetched.forwarded.status === 304
  let result: ResultType = revalidated ? 'RefreshHit' : 'Miss'
  // Who waits for another's request is served from the cache, as CloudFront counts it.
  if (collapsed && !revalidated) result = 'Hit'
  if (facts.status >= 400) result = 'Error'
  const cacheStatus = forwardedStatus(fetched.forwarded, collapsed, left)
  const flat = (!collapsed && fetched.flat) || facts.flat
  return {
    kind: 'object',
    object,
    flat,
    cacheStatus,
    result,
    age: ageSaid(fetched, collapsed, age, left),
  }
}

/**
 * RFC 9111 §5.1: what lay here goes out with its age. What only passes goes out with the Age it came with: who keeps it adds the whole
 * time that his own request took (§4.2.3), and ours is part of that.
 */
function ageSaid(
  { object: { facts }, forwarded: { status, stored } }: Fetched & { kind: 'object' },
  collapsed: boolean,
  age: number,
  left: number,
): number | undefined {
  const declared = declaredAge(facts.responseFields)
  if (!collapsed && stored && status !== 304) return declared
  return declared !== undefined || left <= 0 || collapsed ? age : undefined
}

function forwardedStatus(
  { reason, status, stored }: Forwarded,
  collapsed: boolean,
  ttl?: number,
): string {
  return writeCacheStatus({
    cache: CACHE,
    outcome: {
      kind: 'forward',
      reason,
      status: status === 304 ? 304 : undefined,
      stored,
      collapsed,
    },
    ttl: ttl === undefined ? undefined : Math.ceil(ttl),
  })
}

function moreOf(
  cacheStatus: string,
  result: ResultType,
  age: number | undefined,
): readonly string[] {
  const more = ['Cache-Status', cacheStatus, 'X-Cache', `${result} from nearcast`]
  if (age !== undefined) more.push('Age', String(Math.floor(age)))
  return more
}

/** The page of the same distribution that stands in for an error; undefined when it can't be had itself. */
async function errorPage(
  context: EdgeContext,
  viewer: Viewer,
  { headers, origin }: Exchange,
  page: string,
): Promise<
  { readonly exchange: Exchange; readonly resolved: Resolved & { kind: 'object' } } | undefined
> {
  const { deps } = context
  const match = matchRequest({
    method: 'GET',
    target: page,
    headers: { host: headers['host'] ?? '' },
    distributions: deps.state().distributions,
    origins: deps.origins,
  })
  if (match.kind !== 'matched' || match.exchange.direct) return undefined
  try {
    const resolved = await resolve(context, viewer, match.exchange)
    if (resolved.kind === 'pass') await dropBody(resolved.message.body)
    if (resolved.kind !== 'object' || resolved.object.facts.status !== 200) return undefined
    return { exchange: match.exchange, resolved }
  } catch (error) {
    const facts = { page, error: describeError(error) }
    failureLogOf(deps).warn(`${origin.id} error page`, 'error page failed', facts)
    return undefined
  }
}
