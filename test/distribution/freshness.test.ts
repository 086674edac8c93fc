import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  currentAge,
  type Freshness,
  type FreshnessBehavior,
  freshnessOf,
  type ResponseFacts,
} from '../../server/distribution/freshness.ts'
import type { ErrorPage, TtlBounds } from '../../server/distribution/types.ts'
import { formatHttpDate } from '../../server/http/dates.ts'
import type { Fields } from '../../server/http/message.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { behavior } from './samples.ts'

const NOW = Date.UTC(2026, 0, 1, 12)
const DATE = formatHttpDate(NOW)
const later = (seconds: number) => formatHttpDate(NOW + seconds * 1000)

interface Case {
  readonly status?: number
  readonly method?: string
  readonly ttl?: Partial<TtlBounds>
  readonly errors?: Readonly<Record<number, ErrorPage>>
  readonly semantics?: 'cloudfront' | 'rfc'
  readonly authorized?: boolean
}

function facts(responseFields: Fields, status = 200, method = 'GET'): ResponseFacts {
  return { method, status, responseFields, requestTime: NOW, responseTime: NOW }
}

function freshness(fields: Fields, options: Case = {}): Freshness {
  const { ttl, errors = {}, semantics = 'cloudfront' } = options
  const bounds = { min: 0, default: 86_400, max: 31_536_000, ...ttl }
  const made = { ...facts(fields, options.status, options.method), authorized: options.authorized }
  return freshnessOf(made, behavior({ ttl: bounds, errors, semantics }))
}

/** Seconds, or why it is not stored. */
function ttl(fields: Fields | string, options: Case = {}): number | string {
  const made = freshness(typeof fields === 'string' ? { 'cache-control': fields } : fields, options)
  return made.store ? made.ttlSeconds : made.reason
}

describe('CloudFront’s table with min 0', () => {
  it.each([
    ['max-age=60', 60],
    ['max-age=0', 0],
    ['max-age=99999999', 31_536_000],
    ['s-maxage=10, max-age=60', 10],
    ['max-age=60, s-maxage=10', 10],
    ['public', 86_400],
    ['no-cache', 'no-cache'],
    ['no-store', 'no-store'],
    ['private', 'private'],
    ['private, max-age=60', 'private'],
    ['no-cache, max-age=60', 'no-cache'],
    ['max-age=nonsense', 0],
  ])('%s gives %s', (cacheControl, expected) => {
    expect(ttl(cacheControl)).toBe(expected)
  })

  it('takes Expires against the origin’s Date, behind max-age', () => {
    expect(ttl({ date: DATE, expires: later(90) })).toBe(90)
    expect(ttl({ date: later(-3600), expires: later(-3600 + 90) })).toBe(3600 + 90)
    expect(ttl({ expires: later(90) })).toBe(90)
    expect(ttl({ expires: later(90), 'cache-control': 'max-age=5' })).toBe(5)
    expect(ttl({ date: DATE, expires: later(-90) })).toBe(0)
    expect(ttl({ expires: '0' })).toBe(0)
    expect(ttl({ expires: later(99_999_999) })).toBe(31_536_000)
  })

  it('gives the default when the origin says nothing', () => {
    expect(ttl({})).toBe(86_400)
    expect(ttl({}, { ttl: { default: 3600 } })).toBe(3600)
  })
})

describe('CloudFront’s table with min above 0', () => {
  const bounds = { min: 30, default: 60, max: 600 }
  it.each([
    ['max-age=5', 30],
    ['max-age=100', 100],
    ['max-age=9000', 600],
    ['public', 60],
    ['no-cache', 30],
    ['no-store', 30],
    ['private', 30],
  ])('%s gives %s', (cacheControl, expected) => {
    expect(ttl(cacheControl, { ttl: bounds })).toBe(expected)
  })

  it('clamps Expires, and the default to min', () => {
    expect(ttl({ expires: later(5) }, { ttl: bounds })).toBe(30)
    expect(ttl({ expires: later(9000) }, { ttl: bounds })).toBe(600)
    expect(ttl({}, { ttl: { min: 90, default: 60, max: 600 } })).toBe(90)
  })

  it('overrules the origin wholly when min, default and max are the same', () => {
    const same = { min: 7, default: 7, max: 7 }
    for (const cacheControl of ['max-age=1', 'max-age=100', 'no-store', 'public'])
      expect(ttl(cacheControl, { ttl: same })).toBe(7)
  })

  it('still serves the old copy when the origin is away, unless stale-if-error=0', () => {
    expect(freshness({ 'cache-control': 'no-store' }, { ttl: bounds })).toMatchObject({
      staleIfError: 2 ** 31,
    })
    expect(
      freshness({ 'cache-control': 'no-store, stale-if-error=0' }, { ttl: bounds }),
    ).toMatchObject({ staleIfError: 0 })
  })
})

describe('errors', () => {
  it.each([404, 414, 500, 501, 502, 503, 504])('%i is kept for 10 s', (status) => {
    expect(ttl({}, { status })).toBe(10)
    expect(ttl('max-age=5', { status })).toBe(10)
    expect(ttl('max-age=50', { status })).toBe(50)
  })

  it.each([400, 403, 405, 410, 412, 415])(
    '%i is kept only when the origin says how long',
    (status) => {
      expect(ttl({}, { status })).toBe('status')
      expect(ttl({ expires: later(60) }, { status })).toBe('status')
      expect(ttl('s-maxage=50', { status })).toBe(50)
    },
  )

  it('are kept no longer than ttl.max by what the origin says', () => {
    expect(ttl('max-age=900', { status: 404, ttl: { max: 60, default: 60 } })).toBe(60)
    expect(ttl('s-maxage=900', { status: 403, ttl: { max: 60, default: 60 } })).toBe(60)
    const errors = { 404: { ttl: 300 } }
    expect(ttl('max-age=900', { status: 404, errors, ttl: { max: 60, default: 60 } })).toBe(300)
  })

  it('that are always kept are kept until Expires when that is later', () => {
    expect(ttl({ expires: later(60) }, { status: 404 })).toBe(60)
    expect(ttl({ expires: later(5) }, { status: 503 })).toBe(10)
  })

  it.each([404, 410, 414, 501])('%i with no-cache is not kept', (status) => {
    expect(ttl('no-cache', { status })).toBe('no-cache')
    expect(ttl('no-cache, max-age=60', { status })).toBe('no-cache')
    expect(ttl('no-cache', { status: 503 })).toBe(10)
  })

  it('are kept as long as the behavior says for their status', () => {
    const errors = { 404: { ttl: 60 }, 403: { ttl: 5 } }
    expect(ttl({}, { status: 404, errors })).toBe(60)
    expect(ttl({}, { status: 403, errors })).toBe(5)
    expect(ttl({}, { status: 500, errors })).toBe(10)
    expect(ttl({}, { status: 404, errors: { 404: { ttl: 0 } } })).toBe(0)
  })

  it('that say no-store or private are not kept', () => {
    expect(ttl('no-store', { status: 404 })).toBe('no-store')
    expect(ttl('private', { status: 500 })).toBe('private')
  })

  it('are never kept under ttl.max 0 unless the behavior names a ttl for them', () => {
    const nothing = { min: 0, default: 0, max: 0 }
    expect(ttl({}, { status: 404, ttl: nothing })).toBe('behavior')
    expect(ttl({}, { status: 404, ttl: nothing, errors: { 404: { ttl: 3 } } })).toBe(3)
  })

  it('416 is about one range and never kept', () => {
    expect(ttl('max-age=60', { status: 416 })).toBe('status')
  })
})

describe('what is not stored', () => {
  it('is other methods, ttl.max 0, Vary: *, partial news', () => {
    expect(ttl('max-age=60', { method: 'POST' })).toBe('method')
    expect(ttl('max-age=60', { method: 'OPTIONS' })).toBe('method')
    expect(ttl('max-age=60', { ttl: { default: 0, max: 0 } })).toBe('behavior')
    expect(ttl({ vary: 'accept, *' })).toBe('vary')
    expect(ttl({}, { status: 304 })).toBe('status')
  })

  it('is a cookie that came without a word on caching', () => {
    expect(ttl({ 'set-cookie': 'a=1' })).toBe('set-cookie')
    expect(ttl({ 'set-cookie': 'a=1', 'cache-control': 'max-age=5' })).toBe(5)
  })

  it('is any field for one viewer', () => {
    const fields = {
      'set-cookie': ['a=1'],
      'cache-control': 'max-age=5, no-cache="x-a", private="X-B"',
    }
    expect(freshness(fields)).toMatchObject({ omitFields: ['x-a', 'x-b', 'set-cookie'] })
    expect(freshness({})).toMatchObject({ omitFields: [] })
  })
})

describe('serving stale (RFC 5861)', () => {
  it('follows the origin’s words', () => {
    const fields = { 'cache-control': 'max-age=1, stale-while-revalidate=30, stale-if-error=90' }
    expect(freshness(fields)).toMatchObject({ staleWhileRevalidate: 30, staleIfError: 90 })
  })

  it('is off under must-revalidate and proxy-revalidate', () => {
    for (const word of ['must-revalidate', 'proxy-revalidate'])
      expect(
        freshness({ 'cache-control': `max-age=1, stale-while-revalidate=30, ${word}` }),
      ).toMatchObject({ staleWhileRevalidate: 0, staleIfError: 0, mustRevalidate: true })
  })
})

describe('RFC 9111 alone', () => {
  const rfc = { semantics: 'rfc' } as const
  it.each([
    ['max-age=60', 60],
    ['s-maxage=10, max-age=60', 10],
    ['no-cache', 0],
    ['no-cache, max-age=60', 0],
    ['no-store', 'no-store'],
    ['no-store, must-understand, max-age=9', 9],
    ['private, max-age=60', 'private'],
  ])('%s gives %s', (cacheControl, expected) => {
    expect(ttl(cacheControl, rfc)).toBe(expected)
  })

  it('does not use min, default and error ttls', () => {
    expect(ttl({}, { ...rfc, ttl: { min: 30 } })).toBe(0)
    expect(ttl('max-age=5', { ...rfc, ttl: { min: 30 } })).toBe(5)
    expect(ttl({}, { ...rfc, status: 500 })).toBe('no-lifetime')
    expect(ttl('max-age=5', { ...rfc, status: 500 })).toBe(5)
  })

  it('guesses a tenth of the time since the last change (§4.2.2)', () => {
    expect(ttl({ date: DATE, 'last-modified': later(-1000) }, rfc)).toBe(100)
    expect(ttl({ date: DATE, 'last-modified': later(-1e8) }, rfc)).toBe(86_400)
    expect(ttl({ date: DATE, 'last-modified': later(1000) }, rfc)).toBe(0)
    expect(ttl({ date: DATE, 'last-modified': later(-1000) }, { ...rfc, status: 201 })).toBe(
      'no-lifetime',
    )
    const marked = { date: DATE, 'last-modified': later(-1000), 'cache-control': 'public' }
    expect(ttl(marked, { ...rfc, status: 201 })).toBe(100)
  })

  it('stores an authorized answer only when it says so (§3.5)', () => {
    expect(ttl('max-age=60', { ...rfc, authorized: true })).toBe('authorization')
    for (const word of ['public', 'must-revalidate', 's-maxage=60'])
      expect(ttl(`max-age=60, ${word}`, { ...rfc, authorized: true })).toBe(60)
  })

  it('does not serve stale what s-maxage made fresh (§5.2.2.10)', () => {
    expect(
      freshness({ 'cache-control': 's-maxage=1, stale-while-revalidate=9' }, rfc),
    ).toMatchObject({
      mustRevalidate: true,
      staleWhileRevalidate: 0,
    })
  })

  it('refuses an unknown status under must-understand', () => {
    expect(ttl('max-age=60, must-understand', { ...rfc, status: 299 })).toBe('status')
    expect(ttl('max-age=60', { ...rfc, status: 299 })).toBe(60)
  })
})

describe('age (RFC 9111 §4.2.3)', () => {
  const slow = (responseFields: Fields): ResponseFacts => ({
    ...facts(responseFields),
    requestTime: NOW - 2000,
  })
  it('is the Age field, the time the answer took, and the time here', () => {
    expect(currentAge(facts({}), NOW + 5500)).toBe(5.5)
    expect(currentAge(slow({ age: '10' }), NOW + 5000)).toBe(17)
    expect(currentAge(facts({ age: '10, 20' }), NOW)).toBe(10)
    expect(currentAge(facts({ age: '-1' }), NOW)).toBe(0)
    expect(currentAge(facts({ age: '99999999999999999999' }), NOW)).toBe(2 ** 31)
  })

  it('is at least what Date shows', () => {
    expect(currentAge(facts({ date: later(-100), age: '10' }), NOW)).toBe(100)
    expect(currentAge(facts({ date: later(100) }), NOW)).toBe(0)
  })

  it('does not go back with the clock', () => {
    expect(currentAge(facts({ age: '3' }), NOW - 60_000)).toBe(3)
  })

  it('counts against max-age when a cache before this one declares it', () => {
    const aged = facts({ age: '50', 'cache-control': 'max-age=60' })
    const made = freshnessOf(aged, behavior())
    expect(made).toMatchObject({ ttlSeconds: 60 })
    expect(currentAge(aged, NOW + 9000)).toBeLessThan(60)
    expect(currentAge(aged, NOW + 11_000)).toBeGreaterThan(60)
  })

  it('does not count against ttl.min, nor an origin’s wrong clock against max-age', () => {
    const late = facts({ age: '500', 'cache-control': 'max-age=60' })
    expect(freshnessOf(late, behavior({ ttl: { min: 30, default: 30, max: 60 } }))).toMatchObject({
      ttlSeconds: 530,
    })
    const wrong = facts({ date: later(-7200), 'cache-control': 'max-age=60' })
    expect(freshnessOf(wrong, behavior())).toMatchObject({ ttlSeconds: 7260 })
  })
})

it('a changed behavior decides anew for the same facts, an unchanged one is not worked out again', () => {
  const stored = facts({ 'cache-control': 'max-age=60' })
  const before = behavior()
  expect(freshnessOf(stored, before)).toBe(freshnessOf(stored, before))
  expect(freshnessOf(stored, behavior({ ttl: { min: 0, default: 1, max: 10 } }))).toMatchObject({
    ttlSeconds: 10,
    why: [
      { rule: 'max-age', seconds: 60 },
      { rule: 'ttl.max', seconds: 10 },
    ],
  })
})

it('whatever an origin says, seconds are numbers within the bounds', () => {
  const word = fc.constantFrom(
    'max-age=',
    's-maxage=',
    '5',
    '99',
    ',',
    ' ',
    'no-cache',
    'public',
    '"',
    'private',
    'x',
  )
  const text = fc.oneof(
    fc.string(),
    fc.array(word, { maxLength: 12 }).map((w) => w.join('')),
  )
  const names = ['cache-control', 'expires', 'date', 'age', 'vary', 'set-cookie', 'last-modified']
  const fields = fc.dictionary(
    fc.constantFrom(...names),
    fc.oneof(text, fc.constant(DATE), fc.constant(later(77))),
  )
  fc.assert(
    fc.property(
      fields,
      fc.constantFrom(200, 204, 301, 404, 410, 500, 599),
      fc.constantFrom('cloudfront' as const, 'rfc' as const),
      fc.boolean(),
      (responseFields, status, semantics, hasMin) => {
        const ttlBounds = { min: hasMin ? 3 : 0, default: 60, max: 600 }
        const using: FreshnessBehavior = behavior({ ttl: ttlBounds, semantics })
        const made = facts(responseFields, status)
        const outcome = freshnessOf(made, using)
        if (!outcome.store) return
        const residence = outcome.ttlSeconds - currentAge(made, NOW)
        expect(Number.isFinite(outcome.ttlSeconds)).toBe(true)
        expect(outcome.ttlSeconds).toBeGreaterThanOrEqual(0)
        if (status < 400) expect(residence).toBeLessThanOrEqual(600)
        if (status < 400 && hasMin && semantics === 'cloudfront')
          expect(residence).toBeGreaterThanOrEqual(3)
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
})
