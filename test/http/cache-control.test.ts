import { describe, expect, it } from 'vitest'
import { parseCacheControl } from '../../server/http/cache-control.ts'

describe('Cache-Control (RFC 9111 §5.2)', () => {
  it('reads what is there and nothing else', () => {
    expect(parseCacheControl('public, max-age=60, S-MaxAge="120", immutable')).toMatchObject({
      public: true,
      maxAge: 60,
      sMaxAge: 120,
      immutable: true,
      noStore: false,
      noCache: false,
      staleIfError: undefined,
    })
    expect(parseCacheControl(undefined)).toEqual(parseCacheControl(''))
  })

  it('joins several field lines', () => {
    expect(parseCacheControl(['max-age=1', 'no-store'])).toMatchObject({ maxAge: 1, noStore: true })
  })

  it('tells qualified from unqualified forms', () => {
    const cacheControl = parseCacheControl('no-cache="Set-Cookie, X-A", private="x-b"')
    expect(cacheControl).toMatchObject({
      noCache: false,
      noCacheFields: ['set-cookie', 'x-a'],
      private: false,
      privateFields: ['x-b'],
    })
    for (const unqualified of ['no-cache, private', 'no-cache="", private=" , "'])
      expect(parseCacheControl(unqualified)).toMatchObject({ noCache: true, private: true })
  })

  it.each([
    ['max-age=3600.5', 0],
    ['max-age=-1', 0],
    ["max-age='60'", 0],
    ['max-age=60a', 0],
    ['max-age =60', 0],
    ['max-age= 60', 0],
    ['max-age', 0],
    ['max-age=', 0],
    ['max-age=60, max-age=10', 60],
    ['max-age=99999999999999999999', 2 ** 31],
    ['a="max-age=5", max-age=7', 7],
    ['a="\\", max-age=5", max-age=7', 7],
    ['max-age=00060', 60],
  ])('%s means %i seconds', (value, expected) => {
    expect(parseCacheControl(value).maxAge).toBe(expected)
  })

  it('reads the viewer’s directives', () => {
    expect(parseCacheControl('max-stale, min-fresh=5, only-if-cached')).toMatchObject({
      maxStale: Infinity,
      minFresh: 5,
      onlyIfCached: true,
    })
    expect(parseCacheControl('max-stale=9').maxStale).toBe(9)
  })

  it('does not store behind a field nobody could mean', () => {
    expect(parseCacheControl(`max-age=9, ${'x'.repeat(9000)}`)).toMatchObject({ noStore: true })
  })
})
