import { describe, expect, it } from 'vitest'
import { formatHttpDate, parseHttpDate } from '../../server/http/dates.ts'

describe('HTTP dates (RFC 9110 §5.6.7)', () => {
  it.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Sunday, 06-Nov-94 08:49:37 GMT', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Sun Nov  6 08:49:37 1994', Date.UTC(1994, 10, 6, 8, 49, 37)],
    ['Thu, 18 Aug 2050 02:01:18 GMT', Date.UTC(2050, 7, 18, 2, 1, 18)],
    ['Thursday, 18-Aug-50 02:01:18 GMT', Date.UTC(2050, 7, 18, 2, 1, 18)],
    ['thu, 18 aug 2050 02:01:18 gmt', Date.UTC(2050, 7, 18, 2, 1, 18)],
    ['Thu, 29 Feb 2024 00:00:00 GMT', Date.UTC(2024, 1, 29)],
    ['Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2016, 11, 31, 23, 59, 59)],
    ['Sat, 01 Jan 0001 00:00:00 GMT', new Date('0001-01-01T00:00:00Z').getTime()],
  ])('reads %s', (text, milliseconds) => {
    expect(parseHttpDate(text)).toBe(milliseconds)
  })

  it.each([
    '',
    '0',
    '-1',
    'tomorrow',
    'Thu, 18 Aug 2050 02:01:18',
    'Thu, 18 Aug 2050 02:01:18 AEST',
    'Thu, 18 Aug 2050 02:01:18 UTC',
    'Thu, 18 Aug 2050 2:01:18 GMT',
    'Thu, 18 Aug 50 02:01:18 GMT',
    'Thu, 18  Aug  2050 02:01:18 GMT',
    'Thu, 18-Aug-2050 02:01:18 GMT',
    'Thu 18 Aug 2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 02.01.18 GMT',
    'Thu, 31 Feb 2050 02:01:18 GMT',
    'Thu, 29 Feb 2023 00:00:00 GMT',
    'Thu, 00 Feb 2023 00:00:00 GMT',
    'Thu, 18 Aug 2050 24:01:18 GMT',
    'Thu, 18 Aug 2050 02:60:18 GMT',
    '2050-08-18T02:01:18Z',
  ])('finds no date in "%s"', (text) => {
    expect(parseHttpDate(text)).toBeUndefined()
  })

  it('puts a two-digit year at most 50 years ahead', () => {
    expect(parseHttpDate('Sunday, 06-Nov-76 08:49:37 GMT', Date.UTC(2026, 5))).toBe(
      Date.UTC(2076, 10, 6, 8, 49, 37),
    )
    expect(parseHttpDate('Sunday, 06-Nov-77 08:49:37 GMT', Date.UTC(2026, 5))).toBe(
      Date.UTC(1977, 10, 6, 8, 49, 37),
    )
  })

  it('writes IMF-fixdate, the same text within a second', () => {
    expect(formatHttpDate(Date.UTC(1994, 10, 6, 8, 49, 37, 999))).toBe(
      'Sun, 06 Nov 1994 08:49:37 GMT',
    )
    expect(formatHttpDate(Date.UTC(1994, 10, 6, 8, 49, 37))).toBe('Sun, 06 Nov 1994 08:49:37 GMT')
    expect(formatHttpDate(Date.UTC(1994, 10, 6, 8, 49, 38))).toBe('Sun, 06 Nov 1994 08:49:38 GMT')
  })
})
