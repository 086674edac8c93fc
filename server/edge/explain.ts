import type { Cache } from '../cache/cache.ts'
import { InvalidationIndex } from '../distribution/invalidation-index.ts'
import { currentAge, freshnessOf } from '../distribution/freshness.ts'
import { passesThrough } from '../distribution/key.ts'
import type { NameSet } from '../distribution/types.ts'
import type { Origin } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'
import { decide } from './decide.ts'
import type { EdgeState } from './edge-context.ts'
import { allowedMethods, type Exchange, matchRequest } from './match-request.ts'

export interface ExplainDeps {
  readonly state: () => EdgeState
  readonly origins: (id: string) => Origin | undefined
  readonly cache: Cache
  readonly clock: Clock
}

/** Why a GET of this URL is answered as it is: distribution, behavior, key, and each step of its lifetime. Asks no origin. */
export async function explainUrl(deps: ExplainDeps, url: string): Promise<object> {
  const { host, target } = readUrl(url)
  const { distributions, invalidations, position } = deps.state()
  const headers = { host }
  const match = matchRequest({
    method: 'GET',
    target,
    headers,
    distributions,
    origins: deps.origins,
  })
  if (match.kind !== 'matched') return { url, served: false, why: whyNot(match) }
  const { exchange } = match
  const { distribution, behavior, origin } = exchange
  const place = {
    url,
    served: true,
    distribution: distribution.id,
    behavior: { path: behavior.path, semantics: behavior.semantics, ttl: behavior.ttl },
    origin: { id: origin.id, path: exchange.originPath, query: exchange.originQuery },
    methods: methodsOf(exchange),
    ...(notSentOn(exchange).length > 0 && { notSentOn: notSentOn(exchange) }),
    key: exchange.key,
    invalidatedBy: [exchange.path, prefixOf(exchange.path)],
  }
  if (exchange.direct !== undefined)
    return { ...place, stored: false, why: DIRECT[exchange.direct] }
  const now = deps.clock.now()
  const hot = deps.cache.find(exchange.key, exchange.selecting)
  const facts = hot?.facts ?? (await deps.cache.look(exchange.key, exchange.selecting))
  const object = hot ?? (facts && { facts, restUntil: 0 })
  const decision = decide({
    headers,
    behavior,
    object,
    changes: {
      epoch: position.slice(0, position.lastIndexOf(':')),
      log: invalidations,
      local: new InvalidationIndex(),
    },
    now,
  })
  if (!object)
    return {
      ...place,
      stored: false,
      decision,
      why: 'nobody asked for it since it was last removed',
    }
  return {
    ...place,
    stored: true,
    tier: hot ? 'memory' : 'disk',
    decision,
    ageSeconds: currentAge(object.facts, now),
    freshness: freshnessOf(object.facts, behavior),
  }
}

const DIRECT = {
  origin: 'the origin answers each viewer itself, from memory',
  behavior: 'the behavior keeps nothing: its longest ttl is 0',
  method: 'only GET and HEAD are kept',
  request: 'the request asks the origin itself',
} as const

/** Which methods are answered, and why the others are refused. */
function methodsOf({ behavior, open }: Exchange): string {
  const allowed = allowedMethods(behavior).join(', ')
  const cure = behavior.methods === 'all' || open ? '' : '; all of them with methods: all'
  return `${allowed}; others get 405 (methods is ${behavior.methods})${cure}`
}

/** What of a viewer's request the origin never sees. Folders, buckets and built-in origins would make nothing of it. */
function notSentOn({ behavior, direct, query, originQuery, open }: Exchange): readonly string[] {
  if (direct === 'origin' || passesThrough(behavior, 'GET')) return []
  const { key } = behavior
  const said: string[] = []
  if (key.query !== 'all' && (open ? query !== originQuery : true))
    said.push(`query string not sent on${exceptFor('key.query', key.query)}`)
  if (!open && key.cookies !== 'all' && behavior.semantics !== 'rfc')
    said.push(`cookies not sent on${exceptFor('key.cookies', key.cookies)}`)
  return said
}

function exceptFor(option: string, policy: NameSet): string {
  if (policy === 'none' || policy === 'all') return ` (${option} is ${policy})`
  return `, except ${policy.join(', ')} (${option})`
}

function whyNot(match: Exclude<ReturnType<typeof matchRequest>, { kind: 'matched' }>): string {
  return match.kind === 'refused' ? `${match.code}: ${match.message}` : 'OPTIONS is answered here'
}

function readUrl(url: string): { readonly host: string; readonly target: string } {
  if (url.startsWith('/')) return { host: 'localhost', target: url }
  if (!URL.canParse(url))
    throw new NearcastError('bad-request', `url: ${url} is no URL and no path`)
  const { host, pathname, search } = new URL(url)
  return { host, target: `${pathname}${search}` }
}

function prefixOf(path: string): string {
  return `${path.slice(0, path.lastIndexOf('/') + 1)}*`
}
