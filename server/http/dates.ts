const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const MONTH_NAMES = MONTHS.map((m) => m.charAt(0).toUpperCase() + m.slice(1))

// RFC 9111 §4.2: caches match the formats without regard to case; any zone but GMT is no date.
const SHORT_DAY = '(?:mon|tue|wed|thu|fri|sat|sun)'
const LONG_DAY = '(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)'
const MONTH = `(${MONTHS.join('|')})`
const TIME = '(\\d\\d):(\\d\\d):(\\d\\d)'
const IMF_FIXDATE = new RegExp(`^${SHORT_DAY}, (\\d\\d) ${MONTH} (\\d{4}) ${TIME} GMT$`, 'i')
const RFC850 = new RegExp(`^${LONG_DAY}, (\\d\\d)-${MONTH}-(\\d\\d) ${TIME} GMT$`, 'i')
const ASCTIME = new RegExp(`^${SHORT_DAY} ${MONTH} (\\d\\d| \\d) ${TIME} (\\d{4})$`, 'i')
const LONGEST = 40
const ASSUMED_NOW = Date.UTC(2026, 0, 1)

/**
 * Milliseconds since 1970 of an HTTP date in any of its three formats (RFC 9110 §5.6.7); undefined when it is none.
 * `now` places the two-digit years of the RFC 850 format.
 */
export function parseHttpDate(value: string | undefined, now = ASSUMED_NOW): number | undefined {
  if (value === undefined || value.length > LONGEST) return undefined
  const text = value.trim()
  const fixdate = IMF_FIXDATE.exec(text)
  if (fixdate) return utc(Number(fixdate[3]), fixdate[2], fixdate[1], fixdate.slice(4))
  const rfc850 = RFC850.exec(text)
  if (rfc850) return utc(fullYear(Number(rfc850[3]), now), rfc850[2], rfc850[1], rfc850.slice(4))
  const asctime = ASCTIME.exec(text)
  if (asctime) return utc(Number(asctime[6]), asctime[1], asctime[2], asctime.slice(3, 6))
  return undefined
}

let cachedSecond = Number.NaN
let cachedText = ''

/** IMF-fixdate of a time in milliseconds since 1970; the text of the last second asked for is kept. */
export function formatHttpDate(milliseconds: number): string {
  const second = Math.floor(milliseconds / 1000)
  if (second !== cachedSecond) {
    cachedText = write(new Date(second * 1000))
    cachedSecond = second
  }
  return cachedText
}

function write(date: Date): string {
  const day = DAYS[date.getUTCDay()]
  const month = MONTH_NAMES[date.getUTCMonth()]
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join(':')
  const year = String(date.getUTCFullYear()).padStart(4, '0')
  return `${day}, ${two(date.getUTCDate())} ${month} ${year} ${time} GMT`
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value)
}

function utc(
  year: number,
  monthName: string | undefined,
  dayText: string | undefined,
  time: readonly (string | undefined)[],
): number | undefined {
  const month = MONTHS.indexOf((monthName ?? '').toLowerCase())
  const day = Number(dayText)
  const [hour = 0, minute = 0, second = 0] = time.map(Number)
  // 60 is a leap second.
  if (hour > 23 || minute > 59 || second > 60) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month, day)
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return undefined
  date.setUTCHours(hour, minute, Math.min(second, 59))
  return date.getTime()
}

// RFC 9110 §5.6.7: more than 50 years ahead means the last century's year with these digits.
function fullYear(twoDigits: number, now: number): number {
  const thisYear = new Date(now).getUTCFullYear()
  const year = thisYear - (thisYear % 100) + twoDigits
  return year > thisYear + 50 ? year - 100 : year
}
