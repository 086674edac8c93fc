import { endToEndFields, fieldLine } from '../http/fields.ts'
import type { Fields } from '../http/message.ts'
import { selectingValue } from '../http/selecting-fields.ts'
import type { Behavior, KeyPolicy, NameSet } from './types.ts'

/** Of what is stored the edge answers these itself: they are in no key, and a stored answer was not asked for with them. */
export const ASKED_BY_THE_EDGE: ReadonlySet<string> = new Set([
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
])

/** A viewer's request and where it was matched. */
export interface KeyInput {
  readonly distributionId: string
  readonly behavior: Pick<Behavior, 'key'>
  /** Query names of the origin that change its answer, whatever the behavior says. */
  readonly keyQuery: readonly string[]
  readonly method: string
  readonly path: string
  /** Raw, without the question mark. */
  readonly query: string
  readonly headers: Fields
}

/**
 * The cache key: distribution, path and what the behavior's key policy names, as one string that different parts can
 * never spell alike. HEAD shares GET's; OPTIONS has its own. Names of the query are kept as sent, and its order unless it is sorted.
 */
export function cacheKeyOf(input: KeyInput): string {
  const { behavior, headers } = input
  const method = input.method === 'HEAD' ? 'GET' : input.method
  let key = `${oneLine(method)}\n${oneLine(input.distributionId)}\n${oneLine(input.path)}`
  const query = keptQuery(behavior.key, input.keyQuery, input.query)
  if (query !== '') key += `\nq${oneLine(query)}`
  const fields = keyFields(behavior.key, headers)
  if (fields.length > 0) key += `\nh${JSON.stringify(fields)}`
  const cookies = keptCookies(behavior.key.cookies, headers)
  if (cookies.length > 0) key += `\nc${JSON.stringify(sortedCookies(cookies))}`
  return key
}

/** The query that the origin gets: what is in the key, so that nothing unkeyed can change a stored answer. */
export function forwardedQuery(
  behavior: Pick<Behavior, 'key' | 'ttl'>,
  keyQuery: readonly string[],
  query: string,
  method = 'GET',
): string {
  return passesThrough(behavior, method) ? query : keptQuery(behavior.key, keyQuery, query)
}

/**
 * The viewer's fields that the origin gets, by CloudFront's rule that only what is in the key is forwarded, so that no
 * field can change (poison) what others are given: the fields and cookies that the key names. Where nothing is stored
 * (`passesThrough`) all end-to-end fields go along, and with `semantics: rfc`, where the origin's Vary says which of them made its
 * answer (RFC 9111 §4.1). Host goes only when the key names it: an origin has its own name.
 */
export function forwardedFields(
  behavior: Pick<Behavior, 'key' | 'ttl' | 'semantics'>,
  method: string,
  headers: Fields,
): Fields {
  const { key } = behavior
  const fields: Record<string, string | readonly string[]> = {}
  const through = passesThrough(behavior, method) || behavior.semantics === 'rfc'
  if (through)
    for (const [name, value] of Object.entries(endToEndFields(headers)))
      if (name !== 'host') fields[name] = value
  for (const name of namedFields(key.headers, headers)) {
    const value = headers[name]
    if (value !== undefined) fields[name] = value
  }
  const cookies = through ? [] : keptCookies(key.cookies, headers)
  if (cookies.length > 0) fields['cookie'] = cookies.join('; ')
  return fields
}

/** Whether an answer under this behavior and method is never stored, so that everything of the request may pass. */
export function passesThrough(behavior: Pick<Behavior, 'ttl'>, method: string): boolean {
  return behavior.ttl.max === 0 || (method !== 'GET' && method !== 'HEAD')
}

function keptQuery(key: KeyPolicy, keyQuery: readonly string[], query: string): string {
  if (query === '') return ''
  const { query: policy, queryOrder } = key
  if (policy === 'all') return queryOrder === 'kept' ? query : sortedByName(query.split('&'))
  const names = policy === 'none' ? keyQuery : [...policy, ...keyQuery]
  if (names.length === 0) return ''
  const pairs = query.split('&').filter((pair) => names.includes(queryName(pair)))
  return queryOrder === 'kept' ? pairs.join('&') : sortedByName(pairs)
}

/** Values of one name stay in their order: it may mean something. */
function sortedByName(pairs: readonly string[]): string {
  return pairs
    .map((pair) => ({ pair, name: queryName(pair) }))
    .sort((a, b) => byText(a.name, b.name))
    .map(({ pair }) => pair)
    .join('&')
}

function queryName(pair: string): string {
  const equals = pair.indexOf('=')
  const name = equals < 0 ? pair : pair.slice(0, equals)
  if (!name.includes('%') && !name.includes('+')) return name
  try {
    return decodeURIComponent(name.replaceAll('+', ' '))
  } catch {
    return name
  }
}

function namedFields(policy: NameSet, headers: Fields): readonly string[] {
  if (policy === 'none') return []
  if (policy === 'all') return Object.keys(endToEndFields(headers)).filter(isKeyField)
  return policy.map((name) => name.toLowerCase()).filter(isKeyField)
}

function keyFields(key: KeyPolicy, headers: Fields): readonly (readonly [string, string | null])[] {
  if (key.headers === 'none') return []
  return namedFields(key.headers, headers)
    .toSorted(byText)
    .map((name) => {
      const line = fieldLine(headers, name)
      return [name, line === undefined ? null : selectingValue(name, line)] as const
    })
}

function keptCookies(policy: NameSet, headers: Fields): readonly string[] {
  const cookie = headers['cookie']
  if (policy === 'none' || cookie === undefined) return []
  const pairs = (typeof cookie === 'string' ? cookie : cookie.join(';'))
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
  if (policy === 'all') return pairs
  return pairs.filter((pair) => policy.includes(cookieName(pair)))
}

/** Those of one name stay in their order: an origin takes the first of them, or the last. */
function sortedCookies(pairs: readonly string[]): readonly string[] {
  return pairs.toSorted((a, b) => byText(cookieName(a), cookieName(b)))
}

function cookieName(pair: string): string {
  return pair.split('=', 1)[0]?.trim() ?? ''
}

// Cookies have a policy of their own.
function isKeyField(name: string): boolean {
  return name !== 'cookie' && !ASKED_BY_THE_EDGE.has(name)
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

// The parts are lines, so a line end inside one must not look like the end of it.
function oneLine(text: string): string {
  return /[\n\\]/.test(text) ? text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n') : text
}
