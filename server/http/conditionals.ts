import { parseHttpDate } from './dates.ts'
import { type EntityTag, parseEntityTag, strongMatch, weakMatch } from './etag.ts'
import { fieldLine, listMembers } from './fields.ts'
import type { Fields } from './message.ts'

/** A request and what is known of the representation it asks for. */
export interface ConditionInput {
  readonly method: string
  /** The request's fields. */
  readonly headers: Fields
  /** The ETag field as it would be sent, quotes and `W/` included. */
  readonly etag?: string | undefined
  /** Milliseconds since 1970. */
  readonly lastModified?: number | undefined
  /** Its Date, milliseconds since 1970: what If-Modified-Since means where no Last-Modified is known (RFC 9111 §4.3.2). */
  readonly date?: number | undefined
}

export type ConditionResult = 'proceed' | 'not-modified' | 'precondition-failed'

/**
 * Evaluates If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the order of RFC 9110 §13.2.2, for a
 * representation that exists.
 */
export function evaluateConditions(input: ConditionInput): ConditionResult {
  const { headers } = input
  const reading = input.method === 'GET' || input.method === 'HEAD'
  const etag = parseEntityTag(input.etag)

  const ifMatch = fieldLine(headers, 'if-match')
  if (ifMatch !== undefined) {
    if (!anyMatch(ifMatch, etag, strongMatch)) return 'precondition-failed'
  } else if (isModifiedAfter(headers, 'if-unmodified-since', input.lastModified) === true)
    return 'precondition-failed'

  const ifNoneMatch = fieldLine(headers, 'if-none-match')
  if (ifNoneMatch !== undefined) {
    if (!anyMatch(ifNoneMatch, etag, weakMatch)) return 'proceed'
    return reading ? 'not-modified' : 'precondition-failed'
  }
  const changed = input.lastModified ?? input.date
  if (reading && isModifiedAfter(headers, 'if-modified-since', changed) === false)
    return 'not-modified'
  return 'proceed'
}

/**
 * Whether a Range may be honoured in spite of If-Range (RFC 9110 §13.1.5): an equal strong entity tag, or exactly the
 * Last-Modified date. True when the field is absent.
 */
export function ifRangeHolds(
  value: string | undefined,
  current: { readonly etag?: string | undefined; readonly lastModified?: number | undefined },
): boolean {
  if (value === undefined) return true
  const asked = parseEntityTag(value)
  if (asked) {
    const etag = parseEntityTag(current.etag)
    return etag !== undefined && strongMatch(asked, etag)
  }
  const date = parseHttpDate(value)
  if (date === undefined || current.lastModified === undefined) return false
  return wholeSeconds(current.lastModified) === date
}

function anyMatch(
  value: string,
  etag: EntityTag | undefined,
  match: (a: EntityTag, b: EntityTag) => boolean,
): boolean {
  if (value.trim() === '*') return true
  if (!etag) return false
  return listMembers(value).some((member) => {
    const asked = parseEntityTag(member)
    return asked !== undefined && match(asked, etag)
  })
}

// undefined: the field is absent, is no date, or there is nothing to compare it with; then it is ignored.
function isModifiedAfter(
  headers: Fields,
  name: 'if-modified-since' | 'if-unmodified-since',
  changed: number | undefined,
): boolean | undefined {
  const date = parseHttpDate(fieldLine(headers, name))
  if (date === undefined || changed === undefined) return undefined
  return wholeSeconds(changed) > date
}

function wholeSeconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000) * 1000
}
