import { parseDictionary } from 'structured-headers'
import { type CacheControl, MAX_DELTA_SECONDS, parseCacheControl } from './cache-control.ts'
import type { Fields } from './message.ts'

const LONGEST = 8192
const SECONDS: ReadonlySet<string> = new Set([
  'max-age',
  's-maxage',
  'stale-while-revalidate',
  'stale-if-error',
])
const FLAGS: ReadonlySet<string> = new Set([
  'immutable',
  'must-revalidate',
  'must-understand',
  'no-store',
  'no-transform',
  'proxy-revalidate',
  'public',
])
/** Alone, or with the names of fields. */
const QUALIFIED: ReadonlySet<string> = new Set(['no-cache', 'private'])

/**
 * CDN-Cache-Control (RFC 9213), the field for caches like this one: undefined when it is absent, empty, no Structured Field
 * dictionary (RFC 9651 §3.2) or has a directive of the wrong type; then Cache-Control and Expires count (§2.2).
 */
export function targetedCacheControl(headers: Fields): CacheControl | undefined {
  const value = headers['cdn-cache-control']
  if (value === undefined) return undefined
  const line = typeof value === 'string' ? value : value.join(', ')
  if (line.length > LONGEST) return undefined
  const directives: string[] = []
  for (const [name, given] of dictionaryOf(line)) {
    const directive = directiveOf(name, given)
    if (directive === undefined) return undefined
    if (directive !== '') directives.push(directive)
  }
  return directives.length === 0 ? undefined : parseCacheControl(directives)
}

function dictionaryOf(line: string): readonly (readonly [string, unknown])[] {
  try {
    return [...parseDictionary(line)].map(([name, [given]]) => [name, given] as const)
  } catch {
    return []
  }
}

/** The directive as Cache-Control has it; '' for one that is not known, undefined for a value of the wrong type. */
function directiveOf(name: string, value: unknown): string | undefined {
  if (SECONDS.has(name)) {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) return undefined
    return `${name}=${Math.min(value, MAX_DELTA_SECONDS)}`
  }
  if (FLAGS.has(name)) return value === true ? name : value === false ? '' : undefined
  if (!QUALIFIED.has(name)) return 'extension'
  if (value === true) return name
  return typeof value === 'string' && !/["\\]/.test(value) ? `${name}="${value}"` : undefined
}
