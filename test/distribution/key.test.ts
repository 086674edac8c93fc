import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  cacheKeyOf,
  forwardedFields,
  forwardedQuery,
  type KeyInput,
} from '../../server/distribution/key.ts'
import type { KeyPolicy } from '../../server/distribution/types.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { behavior } from './samples.ts'

const NOTHING: KeyPolicy = { query: 'none', queryOrder: 'kept', headers: 'none', cookies: 'none' }

function key(changes: Partial<KeyInput> & { readonly policy?: Partial<KeyPolicy> } = {}): string {
  const { policy, ...rest } = changes
  return cacheKeyOf({
    distributionId: 'd',
    behavior: behavior({ key: { ...NOTHING, ...policy } }),
    keyQuery: [],
    method: 'GET',
    path: '/a',
    query: '',
    headers: {},
    ...rest,
  })
}

describe('the cache key', () => {
  it('is distribution and path by default', () => {
    expect(key({ query: 'x=1', headers: { cookie: 'a=1', accept: '*/*' } })).toBe(key())
    expect(key({ path: '/A' })).not.toBe(key())
    expect(key({ distributionId: 'e' })).not.toBe(key())
  })

  it('is shared by GET and HEAD, not by OPTIONS', () => {
    expect(key({ method: 'HEAD' })).toBe(key())
    expect(key({ method: 'OPTIONS' })).not.toBe(key())
  })

  it('takes the whole query in its order', () => {
    const policy = { query: 'all' } as const
    expect(key({ policy, query: 'a=1&b=2' })).not.toBe(key({ policy, query: 'b=2&a=1' }))
    expect(key({ policy, query: 'a=1' })).not.toBe(key({ policy, query: 'A=1' }))
  })

  it('takes the named parameters only, also when their names are encoded', () => {
    const policy = { query: ['v', 'a b'] }
    expect(key({ policy, query: 'x=9&v=1&y' })).toBe(key({ policy, query: 'v=1' }))
    expect(key({ policy, query: 'v=1' })).not.toBe(key({ policy, query: 'v=2' }))
    expect(key({ policy, query: 'v=1&v=2' })).not.toBe(key({ policy, query: 'v=2&v=1' }))
    expect(key({ policy, query: 'a%20b=1' })).not.toBe(key({ policy }))
    expect(key({ policy, query: '%zz=1' })).toBe(key({ policy }))
  })

  it('takes the parameters of the origin whatever the behavior says', () => {
    const keyQuery = ['faststart']
    expect(key({ keyQuery, query: 'faststart=1' })).not.toBe(key({ keyQuery }))
    expect(key({ keyQuery, query: 'utm=1' })).toBe(key({ keyQuery }))
  })

  it('takes the named headers, and tells absent from empty', () => {
    const policy = { headers: ['Origin', 'accept'] }
    expect(key({ policy, headers: { origin: 'a' } })).not.toBe(key({ policy }))
    expect(key({ policy, headers: { origin: '' } })).not.toBe(key({ policy }))
    expect(key({ policy, headers: { 'x-other': 'a' } })).toBe(key({ policy }))
  })

  it('has no range and no condition in it: those the edge answers itself', () => {
    const policy = { headers: 'all' } as const
    const whole = key({ policy, headers: { accept: 'a' } })
    const asked = { accept: 'a', range: 'bytes=0-1', 'if-range': '"a"', 'if-none-match': '"a"' }
    expect(key({ policy, headers: asked })).toBe(whole)
    expect(key({ policy, headers: { accept: 'b' } })).not.toBe(whole)
  })

  it('takes the named cookies in any order', () => {
    const policy = { cookies: ['a', 'b'] }
    const withCookie = (cookie: string) => key({ policy, headers: { cookie } })
    expect(withCookie('a=1; x=5; b=2')).toBe(withCookie('b=2;a=1'))
    expect(withCookie('a=1')).not.toBe(withCookie('a=2'))
    expect(withCookie('x=5')).toBe(key({ policy }))
    // Of two with one name an origin takes the first, or the last.
    expect(withCookie('a=1; b=2; a=3')).toBe(withCookie('a=1; a=3; b=2'))
    expect(withCookie('a=1; a=3')).not.toBe(withCookie('a=3; a=1'))
  })

  it('is never the same for different requests', () => {
    const part = fc
      .array(fc.constantFrom('a', '=', '&', '\n', '\\', 'n', '"', ',', 'q', 'h', 'c', '[', ']'), {
        maxLength: 6,
      })
      .map((p) => p.join(''))
    const cookie = fc.array(
      part.map((p) => p.replaceAll(/[;\s]/g, '')).filter((p) => p !== ''),
      { maxLength: 3 },
    )
    const request = fc.record({
      distributionId: part,
      path: part,
      query: part,
      origin: fc.option(part),
      cookie,
    })
    const all = behavior({
      key: { query: 'all', queryOrder: 'kept', headers: ['origin'], cookies: 'all' },
    })
    const nameOf = (one: string) => one.split('=', 1)[0] ?? ''
    const byCookie = <T extends { readonly cookie: readonly string[] }>(r: T) => ({
      ...r,
      cookie: r.cookie.toSorted((x, y) =>
        nameOf(x) < nameOf(y) ? -1 : Number(nameOf(x) > nameOf(y)),
      ),
    })
    const keyFor = (r: {
      distributionId: string
      path: string
      query: string
      origin: string | null
      cookie: string[]
    }) =>
      cacheKeyOf({
        distributionId: r.distributionId,
        path: r.path,
        query: r.query,
        method: 'GET',
        keyQuery: [],
        behavior: all,
        headers: {
          ...(r.origin === null ? {} : { origin: r.origin }),
          ...(r.cookie.length > 0 ? { cookie: r.cookie.join('; ') } : {}),
        },
      })
    fc.assert(
      fc.property(request, request, (a, b) => {
        const same = JSON.stringify(byCookie(a)) === JSON.stringify(byCookie(b))
        expect(keyFor(a) === keyFor(b)).toBe(same)
      }),
      { numRuns: FUZZ_RUNS * 3 },
    )
  })
})

describe('what the origin gets', () => {
  const headers = {
    host: 'viewer.test',
    cookie: 'a=1; b=2',
    authorization: 'Bearer x',
    accept: 'text/html',
    'x-forwarded-host': 'evil.test',
    connection: 'keep-alive, x-hop',
    'x-hop': '1',
    range: 'bytes=0-1',
  }

  it('is only what is in the key where answers are stored', () => {
    expect(forwardedFields(behavior(), 'GET', headers)).toEqual({})
    const key = {
      query: 'all',
      queryOrder: 'kept',
      headers: ['Accept', 'authorization'],
      cookies: ['b'],
    } as const
    expect(forwardedFields(behavior({ key }), 'GET', headers)).toEqual({
      accept: 'text/html',
      authorization: 'Bearer x',
      cookie: 'b=2',
    })
  })

  it('is all end-to-end fields where nothing is stored', () => {
    const all = {
      cookie: 'a=1; b=2',
      authorization: 'Bearer x',
      accept: 'text/html',
      'x-forwarded-host': 'evil.test',
      range: 'bytes=0-1',
    }
    expect(
      forwardedFields(behavior({ ttl: { min: 0, default: 0, max: 0 } }), 'GET', headers),
    ).toEqual(all)
    expect(forwardedFields(behavior(), 'POST', headers)).toEqual(all)
  })

  it('has the viewer’s host only when the key names it', () => {
    const key = { ...NOTHING, headers: ['host'] }
    expect(forwardedFields(behavior({ key }), 'GET', headers)).toEqual({ host: 'viewer.test' })
  })

  it('has the query that is in the key', () => {
    expect(forwardedQuery(behavior(), ['from'], 'utm=1&from=2')).toBe('from=2')
    expect(forwardedQuery(behavior({ key: { ...NOTHING, query: 'all' } }), [], 'b&a=')).toBe('b&a=')
    expect(forwardedQuery(behavior(), [], 'utm=1', 'POST')).toBe('utm=1')
  })
})
