import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nearestWord } from '../../server/lib/nearest-word.ts'
import { formatBytes, formatSeconds, parseBytes, parseSeconds } from '../../server/lib/units.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

describe('sizes and durations', () => {
  it.each([
    ['512MiB', 536_870_912],
    ['10GiB', 10_737_418_240],
    ['1.5 KiB', 1536],
    ['2kB', 2000],
    ['7', 7],
    [7, 7],
    ['0', 0],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })

  it.each([
    ['10s', 10],
    ['500ms', 0.5],
    ['2h', 7200],
    ['1d', 86_400],
    ['5m', 300],
    ['0.2', 0.2],
    [0.2, 0.2],
    ['200ms', 0.2],
  ])('%s is %d seconds', (text, seconds) => {
    expect(parseSeconds(text)).toBe(seconds)
  })

  it.each(['', 'MiB', '-1', '1e3', '5 parsecs', '1.2.3', 'Infinity', -1, Number.NaN, Infinity])(
    '%s is neither',
    (text) => {
      expect(parseBytes(text)).toBeUndefined()
      expect(parseSeconds(text)).toBeUndefined()
    },
  )

  it('are read as they are written', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 40 }), (value) => {
        expect(parseBytes(formatBytes(value))).toBe(value)
        expect(parseSeconds(formatSeconds(value))).toBe(value)
      }),
      { numRuns: FUZZ_RUNS },
    )
    expect([formatBytes(536_870_912), formatSeconds(7200), formatSeconds(0.2)]).toEqual([
      '512MiB',
      '2h',
      '200ms',
    ])
  })
})

describe('the nearest word', () => {
  it.each([
    ['prot', 'port'],
    ['PORT', 'port'],
    ['hots', 'host'],
    ['distribution', 'distributions'],
    ['xyz', undefined],
    ['a', undefined],
    ['x'.repeat(5000), undefined],
  ])('of %s', (word, expected) => {
    expect(nearestWord(word, ['host', 'port', 'distributions'])).toBe(expected)
  })
})
