import { describe, expect, it } from 'vitest'
import { evaluateConditions, ifRangeHolds } from '../../server/http/conditionals.ts'
import { formatEntityTag, parseEntityTag } from '../../server/http/etag.ts'

const MODIFIED = Date.UTC(2026, 0, 10, 12, 0, 0)
const SAME = 'Sat, 10 Jan 2026 12:00:00 GMT'
const BEFORE = 'Fri, 09 Jan 2026 12:00:00 GMT'
const AFTER = 'Sun, 11 Jan 2026 12:00:00 GMT'

function evaluate(
  headers: Record<string, string>,
  method = 'GET',
  etag: string | undefined = '"a"',
) {
  return evaluateConditions({ method, headers, etag, lastModified: MODIFIED + 300 })
}

describe('preconditions (RFC 9110 §13)', () => {
  it('proceeds without any', () => {
    expect(evaluate({})).toBe('proceed')
  })

  it.each([
    ['"a"', 'not-modified'],
    ['W/"a"', 'not-modified'],
    ['"b", W/"a"', 'not-modified'],
    ['*', 'not-modified'],
    ['"b"', 'proceed'],
    ['"b,a"', 'proceed'],
    ['a', 'proceed'],
    ['', 'proceed'],
  ])('If-None-Match: %s compares weakly', (value, expected) => {
    expect(evaluate({ 'if-none-match': value })).toBe(expected)
    expect(evaluate({ 'if-none-match': value }, 'HEAD')).toBe(expected)
  })

  it('If-None-Match fails other methods than GET and HEAD', () => {
    expect(evaluate({ 'if-none-match': '*' }, 'PUT')).toBe('precondition-failed')
  })

  it.each([
    ['"a"', 'proceed'],
    ['"b", "a"', 'proceed'],
    ['*', 'proceed'],
    ['W/"a"', 'precondition-failed'],
    ['"b"', 'precondition-failed'],
  ])('If-Match: %s compares strongly', (value, expected) => {
    expect(evaluate({ 'if-match': value })).toBe(expected)
  })

  it('a weak current etag never satisfies If-Match', () => {
    expect(evaluate({ 'if-match': 'W/"a"' }, 'GET', 'W/"a"')).toBe('precondition-failed')
  })

  it.each([
    [SAME, 'not-modified'],
    [AFTER, 'not-modified'],
    [BEFORE, 'proceed'],
    ['yesterday', 'proceed'],
  ])('If-Modified-Since: %s', (value, expected) => {
    expect(evaluate({ 'if-modified-since': value })).toBe(expected)
    expect(evaluate({ 'if-modified-since': value }, 'POST')).toBe('proceed')
  })

  it.each([
    [SAME, 'proceed'],
    [AFTER, 'proceed'],
    [BEFORE, 'precondition-failed'],
    ['yesterday', 'proceed'],
  ])('If-Unmodified-Since: %s', (value, expected) => {
    expect(evaluate({ 'if-unmodified-since': value })).toBe(expected)
  })

  it('entity tags win over dates (§13.2.2)', () => {
    expect(evaluate({ 'if-none-match': '"b"', 'if-modified-since': AFTER })).toBe('proceed')
    expect(evaluate({ 'if-match': '"a"', 'if-unmodified-since': BEFORE })).toBe('proceed')
  })

  it('a held If-Match still lets If-None-Match say 304', () => {
    expect(evaluate({ 'if-match': '"a"', 'if-none-match': '"a"' })).toBe('not-modified')
  })

  it('ignores dates when nothing is known of the last change', () => {
    const headers = { 'if-modified-since': AFTER, 'if-unmodified-since': BEFORE }
    expect(evaluateConditions({ method: 'GET', headers })).toBe('proceed')
  })
})

describe('If-Range (RFC 9110 §13.1.5)', () => {
  const current = { etag: '"a"', lastModified: MODIFIED + 300 }
  it.each([
    [undefined, true],
    ['"a"', true],
    ['W/"a"', false],
    ['"b"', false],
    [SAME, true],
    [BEFORE, false],
    [AFTER, false],
    ['a', false],
  ])('%s', (value, expected) => {
    expect(ifRangeHolds(value, current)).toBe(expected)
  })

  it('does not hold for weak or missing validators', () => {
    expect(ifRangeHolds('W/"a"', { etag: 'W/"a"' })).toBe(false)
    expect(ifRangeHolds('"a"', {})).toBe(false)
    expect(ifRangeHolds(SAME, {})).toBe(false)
  })
})

describe('entity tags (RFC 9110 §8.8.3)', () => {
  it('are written and read', () => {
    expect(formatEntityTag('x')).toBe('"x"')
    expect(formatEntityTag('x', true)).toBe('W/"x"')
    expect(parseEntityTag('W/"x"')).toEqual({ weak: true, opaque: 'x' })
    expect(parseEntityTag('""')).toEqual({ weak: false, opaque: '' })
    for (const wrong of ['x', '"x', 'w/"x"', '"x" "y"', '"a b"', undefined])
      expect(parseEntityTag(wrong)).toBeUndefined()
  })
})
