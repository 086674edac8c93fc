import { isInnerList, parseList, Token } from 'structured-headers'

/** Why a request went on to the origin (RFC 9211 §2.2). */
export type ForwardReason =
  | 'bypass'
  | 'method'
  | 'uri-miss'
  | 'vary-miss'
  | 'miss'
  | 'request'
  | 'stale'
  | 'partial'

export interface CacheStatus {
  /** Name of this cache, for example `nearcast`. */
  readonly cache: string
  readonly outcome:
    | { readonly kind: 'hit' }
    | {
        readonly kind: 'forward'
        readonly reason: ForwardReason
        /** Status of the origin's answer when it is not the one sent on (304 for a revalidation). */
        readonly status?: number | undefined
        readonly stored?: boolean | undefined
        /** Another request's answer is shared. */
        readonly collapsed?: boolean | undefined
      }
    /** Answered here, neither from the cache nor by an origin. */
    | { readonly kind: 'none' }
  /** Seconds of freshness left; negative when stale. */
  readonly ttl?: number | undefined
  readonly key?: string | undefined
  readonly detail?: string | undefined
}

/** One member of a Cache-Status field (RFC 9211 §2), to be put behind those of caches nearer to the origin. */
export function writeCacheStatus(status: CacheStatus): string {
  let text = writeTokenOrString(status.cache)
  const { outcome } = status
  if (outcome.kind === 'hit') text += '; hit'
  if (outcome.kind === 'forward') {
    text += `; fwd=${outcome.reason}`
    if (outcome.status !== undefined) text += `; fwd-status=${outcome.status}`
    if (outcome.stored) text += '; stored'
    if (outcome.collapsed) text += '; collapsed'
  }
  if (status.ttl !== undefined) text += `; ttl=${integer(status.ttl)}`
  if (status.key !== undefined) text += `; key=${writeString(status.key)}`
  if (status.detail !== undefined) text += `; detail=${writeTokenOrString(status.detail)}`
  return text
}

/** Caches that an answer came through before, and the characters in which they said so. */
const MEMBERS_MAX = 16
const LONGEST = 2048

/**
 * What caches nearer to the origin said, as it came; undefined when it is no list of tokens and strings with parameters (RFC 9211 §2),
 * empty, or longer than any chain of caches.
 */
export function formerCacheStatus(line: string): string | undefined {
  if (line.length > LONGEST) return undefined
  try {
    const members = parseList(line)
    const named = members.every(
      (member) => !isInnerList(member) && (typeof member[0] === 'string' || isToken(member[0])),
    )
    return named && members.length > 0 && members.length <= MEMBERS_MAX ? line : undefined
  } catch {
    return undefined
  }
}

function isToken(value: unknown): boolean {
  return value instanceof Token
}

// RFC 8941 §3.3.1: at most 15 digits.
function integer(value: number): number {
  const limit = 999_999_999_999_999
  return Math.min(Math.max(Math.floor(value), -limit), limit)
}

function writeTokenOrString(value: string): string {
  return /^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*$/.test(value) ? value : writeString(value)
}

// RFC 8941 §3.3.3: a string is printable ASCII; anything else is percent-encoded as UTF-8.
function writeString(value: string): string {
  const escaped = value.replaceAll(/[\\"]/g, '\\$&')
  return `"${escaped.replaceAll(/[^\x20-\x7e]+/g, (run) => percentEncode(run))}"`
}

function percentEncode(text: string): string {
  let encoded = ''
  for (const byte of Buffer.from(text, 'utf8'))
    encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return encoded
}
