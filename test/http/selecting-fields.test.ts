import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { selectingValue } from '../../server/http/selecting-fields.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

describe('fields that select', () => {
  it.each([
    ['accept-language', 'en, de', 'de,en'],
    ['accept-language', 'EN , de;q=0.5', 'en, DE; q=0.50'],
    ['accept-encoding', 'gzip, deflate, br', 'br,gzip,deflate;q=1'],
    ['accept-encoding', 'gzip;q=1.0, br', 'br, gzip'],
    ['foo', 'a,  b', 'a ,b'],
    ['foo', ' a', 'a'],
  ])('%s: %s is the same as %s', (name, a, b) => {
    expect(selectingValue(name, a)).toBe(selectingValue(name, b))
  })

  it.each([
    ['accept-language', 'en;q=0.5, de', 'en, de;q=0.5'],
    ['accept-encoding', 'gzip;q=0', 'gzip'],
    ['accept-encoding', 'gzip', 'identity'],
    ['foo', 'a, b', 'b, a'],
    ['foo', 'a', 'A'],
    ['foo', '"a,  b"', '"a, b"'],
    ['accept', 'text/html;level=1', 'text/html'],
    ['accept', 'a/b;p="A"', 'a/b;p="a"'],
    ['cookie', 'a=1,2', 'a=1, 2'],
    ['authorization', 'X a,b', 'X a, b'],
  ])('%s: %s is another one than %s', (name, a, b) => {
    expect(selectingValue(name, a)).not.toBe(selectingValue(name, b))
  })

  it('written again it is the same', () => {
    const names = fc.constantFrom('accept-language', 'accept-encoding', 'foo')
    const values = fc.string({ unit: fc.constantFrom(...'aB,; q=10."\t'.split('')) })
    fc.assert(
      fc.property(names, values, (name, value) => {
        const once = selectingValue(name, value)
        expect(selectingValue(name, once)).toBe(once)
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
})
