import {
  ASKED_BY_THE_EDGE,
  cacheKeyOf,
  forwardedFields,
  forwardedQuery,
  passesThrough,
} from '../distribution/key.ts'
import { findBehavior, findDistribution, normalPath, writtenPath } from '../distribution/match.ts'
import type { Behavior, Distribution, WebDistribution } from '../distribution/types.ts'
import type { Fields, Origin } from '../http/message.ts'
import { isHost } from '../http/request-fields.ts'
import { selectingFields } from '../http/selecting-fields.ts'
import type { ErrorCode } from '../lib/errors.ts'
import { asksTheOrigin } from './asks-the-origin.ts'

/** A viewer's request and where it leads. */
export interface Exchange {
  readonly method: string
  /** Percent-encoded in its one spelling (RFC 3986 §6.2.2); the default root object in place of `/`. */
  readonly path: string
  readonly query: string
  readonly headers: Fields
  /** Those that the origin gets to see: what of Vary can choose a variant. */
  readonly forwarded: Fields
  /** The same, written so that what means the same is the same: by these a variant is found. */
  readonly selecting: Fields
  readonly distribution: WebDistribution
  readonly behavior: Behavior
  readonly origin: Origin
  /** What the origin sees: `strip` taken off, and only the query that is in the key. */
  readonly originPath: string
  readonly originQuery: string
  /** Answered by the origin for each viewer, without the cache. */
  readonly direct: 'origin' | 'behavior' | 'method' | 'request' | undefined
  readonly key: string
  /** Built-in origins and object stores may be read from any page. */
  readonly open: boolean
}

export type Match =
  | { readonly kind: 'matched'; readonly exchange: Exchange }
  /** CORS preflight, or a plain OPTIONS to what is only read: answered here. */
  | { readonly kind: 'options'; readonly allow: string; readonly open: boolean }
  | {
      readonly kind: 'refused'
      readonly code: ErrorCode
      readonly message: string
      readonly allow?: string | undefined
    }

export interface MatchInput {
  readonly method: string
  /** Request target as it came: a path, or an absolute URL (RFC 9112 §3.2). */
  readonly target: string
  readonly headers: Fields
  readonly distributions: readonly Distribution[]
  readonly origins: (id: string) => Origin | undefined
}

const BUILT_IN: ReadonlySet<string> = new Set(['live', 'vod', 'pages'])
const METHODS = {
  get: ['GET', 'HEAD'],
  'get-options': ['GET', 'HEAD', 'OPTIONS'],
  all: ['GET', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'POST', 'DELETE'],
} as const

/** CONNECT and TRACE are for proxies that a viewer chose. */
const NEVER: ReadonlySet<string> = new Set(['CONNECT', 'TRACE'])

/** Host → distribution → first matching behavior → origin → key; or why not. Pure. */
export function matchRequest(input: MatchInput): Match {
  // RFC 9110 §9.3.7: of the server as a whole.
  if (input.target === '*' && input.method === 'OPTIONS')
    return { kind: 'options', allow: 'GET, HEAD, OPTIONS', open: true }
  const target = splitTarget(input.target)
  if (!target) return refuse('bad-request', 'the request target is no path')
  const { query } = target
  const unfit = unfitPath(target.path)
  if (unfit) return refuse('bad-request', unfit)
  const asked = normalPath(target.path)
  // RFC 9112 §3.2.2: the host of an absolute target stands in place of the Host field, for everything that follows.
  const headers =
    target.host === undefined ? input.headers : { ...input.headers, host: target.host }
  const host = hostOf(headers)
  const distribution = findDistribution(input.distributions, host)
  if (!distribution) return refuse('not-found', 'no distribution has this host name')
  const root = distribution.defaultRootObject
  const path = asked === '/' && root !== '' ? writtenPath(`/${root}`) : asked
  const behavior = findBehavior(distribution, path)
  if (!behavior) return refuse('not-found', 'no behavior of this distribution has this path')
  // Many origins take these for one slash, and so would answer past the behavior that is meant for the path.
  const meant = path.replaceAll(/(?:\/|\\|%2F|%5C)+/g, '/')
  if (meant !== path && findBehavior(distribution, meant) !== behavior)
    return refuse('bad-request', `the path may mean ${meant}, which another behavior answers`)
  const origin = input.origins(behavior.origin)
  if (!origin) return refuse('unavailable', `origin ${behavior.origin} is not there`)
  return allowed(input.method, headers, { distribution, behavior, origin, path, query })
}

interface Found {
  readonly distribution: WebDistribution
  readonly behavior: Behavior
  readonly origin: Origin
  readonly path: string
  readonly query: string
}

function allowed(method: string, headers: Fields, found: Found): Match {
  const { behavior, origin } = found
  const open = origin.ranges || BUILT_IN.has(origin.id)
  const methods = allowedMethods(behavior)
  if (method === 'OPTIONS' && open)
    return { kind: 'options', allow: 'GET, HEAD, OPTIONS', open: true }
  // Under the standard alone `all` means methods that nobody here knows, too (RFC 9110 §9.1).
  const any = behavior.methods === 'all' && behavior.semantics === 'rfc' && !NEVER.has(method)
  if (!methods.includes(method) && !any) {
    const message = `${method.slice(0, 20)} is not allowed here, only ${methods.join(', ')}`
    return { ...refuse('method-not-allowed', message), allow: methods.join(', ') }
  }
  const reading = method === 'GET' || method === 'HEAD'
  let direct: Exchange['direct']
  if (!reading) direct = 'method'
  else if (origin.caching === 'none') direct = 'origin'
  else if (passesThrough(behavior, method)) direct = 'behavior'
  else if (asksTheOrigin(behavior, origin, headers)) direct = 'request'
  const { query, path } = found
  const keyQuery = origin.keyQuery
  const forwarded = direct === 'origin' ? headers : forwardedOf(behavior, method, headers, direct)
  return {
    kind: 'matched',
    exchange: {
      method,
      headers,
      forwarded,
      selecting: direct ? forwarded : selectingFields(forwarded),
      originPath: stripped(path, behavior.strip),
      originQuery: direct ? query : forwardedQuery(behavior, keyQuery, query, method),
      direct,
      key:
        direct === 'origin'
          ? ''
          : cacheKeyOf({
              distributionId: found.distribution.id,
              behavior,
              keyQuery,
              method: 'GET',
              path,
              query,
              headers,
            }),
      open,
      // Last: in front of other properties Node 20 makes a hidden class of its own for each object, 5 µs and a kilobyte.
      ...found,
    },
  }
}

/** What a behavior answers; under the standard alone, `all` takes unknown methods too. */
export function allowedMethods({ methods }: Pick<Behavior, 'methods'>): readonly string[] {
  return METHODS[methods]
}

/** A stored answer is the whole one, whatever part of it or condition the viewer asks for: that the edge answers itself. */
function forwardedOf(
  behavior: Behavior,
  method: string,
  headers: Fields,
  direct: Exchange['direct'],
): Fields {
  const forwarded = forwardedFields(behavior, method, headers)
  if (direct || (behavior.key.headers === 'none' && behavior.semantics === 'cloudfront'))
    return forwarded
  const { headers: keyed } = behavior.key
  const named = keyed === 'none' || keyed === 'all' ? [] : keyed.map((name) => name.toLowerCase())
  return Object.fromEntries(
    Object.entries(forwarded).filter(
      ([name]) =>
        !ASKED_BY_THE_EDGE.has(name) &&
        (keyed === 'all' || named.includes(name) || !SAID_BY_PROXIES.test(name)),
    ),
  )
}

/**
 * Origins believe these of a proxy in front of them and never name them in Vary: from a viewer they would put another host, path or
 * method into what is stored for all. They go along only where the key names them.
 */
const SAID_BY_PROXIES =
  /^(?:forwarded|x-forwarded(?:-.*)?|x-(?:original|rewrite)-(?:url|host)|x-(?:host|http-host-override|real-ip|client-ip|cluster-client-ip)|true-client-ip|x-http-method(?:-override)?|x-method-override|x-envoy-original-path|x-nearcast-.*)$/

function splitTarget(
  target: string,
):
  | { readonly path: string; readonly query: string; readonly host: string | undefined }
  | undefined {
  let rest = target
  let host: string | undefined
  if (!rest.startsWith('/')) {
    const absolute = /^https?:\/\/([^/?#]+)([^#]*)$/i.exec(rest)
    if (!absolute || !isHost(absolute[1] ?? '')) return undefined
    host = absolute[1]
    rest = absolute[2] ?? ''
    if (!rest.startsWith('/')) rest = `/${rest}`
  }
  const fragment = rest.indexOf('#')
  if (fragment >= 0) rest = rest.slice(0, fragment)
  const mark = rest.indexOf('?')
  if (mark < 0) return { path: rest, query: '', host }
  return { path: rest.slice(0, mark), query: rest.slice(mark + 1), host }
}

/**
 * Paths that tiers could read differently are refused rather than repaired: the same bytes decide behavior, key and what the origin gets.
 */
function unfitPath(path: string): string | undefined {
  if (!SUSPECT.test(path)) return undefined
  if (/%(?![0-9a-f]{2})/i.test(path)) return 'the path has a malformed percent-encoding'
  if (/%00/.test(path)) return 'the path has a NUL'
  const segments = path.replaceAll(/%2e/gi, '.').split(/\/|\\|%2f|%5c/i)
  if (segments.includes('..') || segments.includes('.')) return 'the path has a dot segment'
  return undefined
}

const SUSPECT = /%|\/\.|\\/

function stripped(path: string, strip: string): string {
  if (strip === '' || !path.startsWith(strip)) return path
  const rest = path.slice(strip.length)
  if (rest === '') return '/'
  return rest.startsWith('/') ? rest : strip.endsWith('/') ? `/${rest}` : path
}

function hostOf(headers: Fields): string | undefined {
  const host = headers['host']
  return typeof host === 'string' ? host : undefined
}

function refuse(code: ErrorCode, message: string): Match & { kind: 'refused' } {
  return { kind: 'refused', code, message }
}
