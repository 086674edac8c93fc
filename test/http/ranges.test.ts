import { describe, expect, it } from 'vitest'
import {
  formatContentRange,
  formatUnsatisfiedRange,
  parseContentRange,
  parseRange,
  parseRangeSpecs,
} from '../../server/http/range.ts'

const ranges = (...pairs: readonly (readonly [number, number])[]) => ({
  kind: 'ranges',
  ranges: pairs.map(([start, end]) => ({ start, end })),
})

describe('Range (RFC 9110 §14)', () => {
  it.each([
    ['bytes=0-499', ranges([0, 499])],
    ['bytes=500-999', ranges([500, 999])],
    ['bytes=9500-', ranges([9500, 9999])],
    ['bytes=-500', ranges([9500, 9999])],
    ['bytes=-20000', ranges([0, 9999])],
    ['bytes=0-20000', ranges([0, 9999])],
    ['bytes=0-99999999999999999999999999', ranges([0, 9999])],
    ['Bytes=0-0', ranges([0, 0])],
    ['bytes=0-0, -1', ranges([0, 0], [9999, 9999])],
    ['bytes= 0-1 ,, 5-6,', ranges([0, 1], [5, 6])],
    ['bytes=20000-30000, 5-6', ranges([5, 6])],
  ])('reads %s of 10000 bytes', (value, expected) => {
    expect(parseRange(value, 10_000)).toEqual(expected)
  })

  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=,',
    'bytes=-',
    'bytes=a-b',
    'bytes=5-4',
    'bytes=0x1-2',
    'bytes=1-2-3',
    'bytes=+1-2',
    'bytes=1 -2',
    'lines=1-2',
    `bytes=${'0-0,'.repeat(400)}`,
  ])('ignores %s', (value) => {
    expect(parseRange(value, 10_000)).toEqual({ kind: 'none' })
  })

  it.each(['bytes=5-6, 0-1', 'bytes=0-5, 3-9', 'bytes=0-5, 0-5', 'bytes=-10, 0-1'])(
    'gives everything for %s, as CloudFront does for descending and overlapping ranges',
    (value) => {
      expect(parseRange(value, 10_000)).toEqual({ kind: 'none' })
    },
  )

  it('takes at most 16 ranges', () => {
    const field = (count: number) =>
      `bytes=${Array.from({ length: count }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`
    expect(parseRange(field(16), 100)).toMatchObject({ kind: 'ranges' })
    expect(parseRange(field(17), 100)).toEqual({ kind: 'none' })
  })

  it.each(['bytes=10000-', 'bytes=10000-20000', 'bytes=-0', 'bytes=20000-, 30000-'])(
    'cannot satisfy %s of 10000 bytes',
    (value) => {
      expect(parseRange(value, 10_000)).toEqual({ kind: 'unsatisfiable' })
    },
  )

  it('gives the whole of an empty body for its last bytes, and 416 for its first', () => {
    expect(parseRange('bytes=-5', 0)).toEqual({ kind: 'none' })
    expect(parseRange('bytes=0-', 0)).toEqual({ kind: 'unsatisfiable' })
  })

  it('can be read before the size is known', () => {
    expect(parseRangeSpecs('bytes=5-, -7')).toEqual([
      { kind: 'from', start: 5, end: undefined },
      { kind: 'suffix', length: 7 },
    ])
  })
})

describe('Content-Range (RFC 9110 §14.4)', () => {
  it('is written with the size, without it, and for 416', () => {
    expect(formatContentRange({ start: 0, end: 9 }, 100)).toBe('bytes 0-9/100')
    expect(formatContentRange({ start: 0, end: 9 }, undefined)).toBe('bytes 0-9/*')
    expect(formatUnsatisfiedRange(100)).toBe('bytes */100')
  })

  it('is read only when it makes sense', () => {
    expect(parseContentRange('bytes 0-9/100')).toEqual({ range: { start: 0, end: 9 }, size: 100 })
    expect(parseContentRange('bytes 0-9/*')).toEqual({
      range: { start: 0, end: 9 },
      size: undefined,
    })
    for (const wrong of [
      'bytes 9-0/100',
      'bytes 0-100/100',
      'bytes */100',
      'items 0-1/2',
      '',
      undefined,
    ])
      expect(parseContentRange(wrong)).toBeUndefined()
  })
})
