import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { targetedCacheControl } from '../../server/http/targeted-cache-control.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const read = (value: string) => targetedCacheControl({ 'cdn-cache-control': value })

// RFC 9213 §2.1, RFC 9651.
describe('CDN-Cache-Control', () => {
  it.each([
    ['max-age=60', { maxAge: 60 }],
    ['max-age=99999999999', { maxAge: 2 ** 31 }],
    ['no-store', { noStore: true }],
    ['private, max-age=3', { private: true, maxAge: 3 }],
    ['no-cache="Set-Cookie", max-age=3', { noCache: false, noCacheFields: ['set-cookie'] }],
    ['foo=?0, bar;a=1, max-age=5', { maxAge: 5 }],
    ['must-revalidate=?0, max-age=5', { mustRevalidate: false, maxAge: 5 }],
    ['max-age=1, max-age=2', { maxAge: 2 }],
  ])('%s', (value, expected) => {
    expect(read(value)).toMatchObject(expected)
  })

  it.each([
    '',
    'max-age=10000, &&&&&',
    'max-age="10000"',
    'max-age=1.5',
    'max-age=-1',
    'max-age =100',
    'max-age= 100',
    'MAX-AGE=100',
    'no-store=1',
    'max-age',
  ])('%s is as if it were not there', (value) => {
    expect(read(value)).toBeUndefined()
  })

  it('takes any text', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        read(value)
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
})
