import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseCacheControl } from '../../server/http/cache-control.ts'
import { formerCacheStatus, writeCacheStatus } from '../../server/http/cache-status.ts'
import { evaluateConditions, ifRangeHolds } from '../../server/http/conditionals.ts'
import { formatHttpDate, parseHttpDate } from '../../server/http/dates.ts'
import { formatEntityTag, parseEntityTag } from '../../server/http/etag.ts'
import { endToEndFields, listMembers } from '../../server/http/fields.ts'
import { mediaTypeOf } from '../../server/http/media-type.ts'
import { parseContentRange, parseRange } from '../../server/http/range.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const options = { numRuns: FUZZ_RUNS }
const fieldText = (words: readonly string[]) =>
  fc.oneof(
    fc.string({ maxLength: 60 }),
    fc.array(fc.constantFrom(...words), { maxLength: 30 }).map((parts) => parts.join('')),
  )

describe('whatever a field says', () => {
  it('a Range gives ascending ranges inside the body, or none', () => {
    const value = fieldText(['bytes', '=', '-', ',', ' ', '0', '1', '99', '9007199254740993', 'x'])
    fc.assert(
      fc.property(value, fc.nat({ max: 200 }), (text, size) => {
        const result = parseRange(text, size)
        if (result.kind !== 'ranges') return
        let from = 0
        for (const { start, end } of result.ranges) {
          expect(start).toBeGreaterThanOrEqual(from)
          expect(end).toBeGreaterThanOrEqual(start)
          expect(end).toBeLessThan(size)
          from = end + 1
        }
      }),
      options,
    )
  })

  it('every range of bytes survives being written and read', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), (start, length, more) => {
        const end = start + length
        const size = end + 1 + more
        expect(parseRange(`bytes=${start}-${end}`, size)).toEqual({
          kind: 'ranges',
          ranges: [{ start, end }],
        })
        expect(parseContentRange(`bytes ${start}-${end}/${size}`)).toEqual({
          range: { start, end },
          size,
        })
      }),
      options,
    )
  })

  it('Cache-Control gives whole seconds in bounds', () => {
    const value = fieldText([
      'max-age',
      's-maxage',
      'no-cache',
      '=',
      '"',
      '\\',
      ',',
      ' ',
      '60',
      '-',
      '.',
      'x',
    ])
    fc.assert(
      fc.property(value, (text) => {
        const { maxAge, sMaxAge } = parseCacheControl(text)
        for (const seconds of [maxAge ?? 0, sMaxAge ?? 0]) {
          expect(Number.isInteger(seconds)).toBe(true)
          expect(seconds).toBeGreaterThanOrEqual(0)
          expect(seconds).toBeLessThanOrEqual(2 ** 31)
        }
      }),
      options,
    )
  })

  it('conditions have one of three outcomes', () => {
    const value = fieldText(['"', 'a', 'W/', '*', ',', ' ', 'Sat, 10 Jan 2026 12:00:00 GMT'])
    const names = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since']
    const headers = fc.dictionary(fc.constantFrom(...names), value)
    fc.assert(
      fc.property(headers, value, (fields, other) => {
        const current = { etag: '"a"', lastModified: 0 }
        const outcome = evaluateConditions({ method: 'GET', headers: fields, ...current })
        expect(['proceed', 'not-modified', 'precondition-failed']).toContain(outcome)
        expect(ifRangeHolds(other, current)).toBeTypeOf('boolean')
      }),
      options,
    )
  })

  it('a date is a finite time, and each written date is read again', () => {
    fc.assert(
      fc.property(fieldText(['Sun', ', ', ' ', '06', 'Nov', '1994', ':', 'GMT', '-']), (text) => {
        const time = parseHttpDate(text)
        expect(time === undefined || Number.isFinite(time)).toBe(true)
      }),
      options,
    )
    fc.assert(
      fc.property(fc.integer({ min: -6e10, max: 2e11 }), (seconds) => {
        expect(parseHttpDate(formatHttpDate(seconds * 1000))).toBe(seconds * 1000)
      }),
      options,
    )
  })

  it('lists, entity tags, media types and connection options never throw', () => {
    fc.assert(
      fc.property(fieldText(['"', '\\', ',', 'a', 'W/', '.', '/']), (text) => {
        expect(listMembers(text).every((member) => member.trim() === member && member !== '')).toBe(
          true,
        )
        const tag = parseEntityTag(text)
        if (tag) expect(formatEntityTag(tag.opaque, tag.weak)).toBe(text.trim())
        expect(mediaTypeOf(text)).toMatch(/^[a-z]+\//)
        expect(endToEndFields({ connection: text, 'content-length': '1' })).toEqual({
          'content-length': '1',
        })
      }),
      options,
    )
  })

  it('a Cache-Status from elsewhere is one bounded line of ASCII, or dropped', () => {
    const words = ['a', '"b"', '; hit', ';ttl=-1', ', ', ',', '(', ')', '?1', ':YQ==:', '\r\n', '"']
    fc.assert(
      fc.property(fieldText(words), (text) => {
        const kept = formerCacheStatus(text)
        if (kept !== undefined) expect(kept).toMatch(/^[\x20-\x7e\t]{1,2048}$/)
      }),
      options,
    )
  })

  it('Cache-Status is always one line of ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.double({ noNaN: true }), (text, ttl) => {
        const line = writeCacheStatus({
          cache: text,
          outcome: { kind: 'hit' },
          ttl,
          key: text,
          detail: text,
        })
        expect(line).toMatch(/^[\x20-\x7e]+$/)
      }),
      options,
    )
  })
})
