import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { TimedData } from '../stream/live-stream.ts'
import type { LiveWindow } from './window.ts'
import type { DateRange } from './window-event.ts'

export interface TimedMetadataOptions {
  readonly window: LiveWindow
  readonly epoch: string
  readonly clock: Clock
  readonly log: Log
  /** Milliseconds since 1970 of a time of the publisher's; undefined before there is media. */
  readonly dateOf: (atMs: number) => number | undefined
}

/** Each changes every playlist: so many at once, and a second in the long run. */
const BURST = 30
const PER_SECOND = 5
/** Before the first picture. */
const WAITING_MAX = 30

/** Makes date ranges of a window out of what one publish says of its moments. */
export class TimedMetadata {
  readonly #options: TimedMetadataOptions
  #waiting: TimedData[] = []
  #count = 0
  #tokens = BURST
  #filledAt: number
  #told = false

  constructor(options: TimedMetadataOptions) {
    this.#options = options
    this.#filledAt = options.clock.monotonic()
  }

  take(data: TimedData): void {
    if (!this.#mayPass()) {
      const stream = this.#options.window.name
      if (!this.#told)
        this.#options.log.warn('timed metadata of a live stream is left out', {
          stream,
          reason: `more than ${PER_SECOND} a second`,
        })
      this.#told = true
      return
    }
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push(data)
    this.settle()
  }

  /** There may be media now. */
  settle(): void {
    while (this.#waiting[0]) {
      const [data] = this.#waiting
      const startedAt = this.#options.dateOf(data.atMs)
      if (startedAt === undefined) return
      this.#waiting.shift()
      const said = describeData(data)
      if (!said) continue
      const id = `${this.#options.epoch}-${++this.#count}`
      this.#options.window.apply({
        kind: 'date-range',
        id,
        startedAt: Math.round(startedAt),
        ...said,
      })
    }
  }

  #mayPass(): boolean {
    const now = this.#options.clock.monotonic()
    const earned = ((now - this.#filledAt) / 1000) * PER_SECOND
    this.#tokens = Math.min(BURST, this.#tokens + earned)
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

const CLASS_CHARS_MAX = 64
const NAME_CHARS_MAX = 64
const VALUE_CHARS_MAX = 1024
const ATTRIBUTES_MAX = 24
const CHARS_MAX = 4096

/** CLASS and X- attributes of a date range; undefined where the name can't be one. What is too much is left out. */
export function describeData({
  name,
  values,
}: Pick<TimedData, 'name' | 'values'>): Pick<DateRange, 'className' | 'attributes'> | undefined {
  const className = plainText(name)
  // Appendix D, F: players load what ranges of these classes name; a publisher says what happens, not what is fetched.
  if (className === '' || className.length > CLASS_CHARS_MAX || /^com\.apple\./i.test(className))
    return undefined
  const attributes = new Map<string, string | number>()
  let chars = 0
  for (const [path, value] of values) {
    const attribute = attributeName(path)
    const text = typeof value === 'number' ? value : plainText(String(value))
    const length = String(text).length
    if (attribute === undefined || attributes.has(attribute) || length > VALUE_CHARS_MAX) continue
    if (attributes.size >= ATTRIBUTES_MAX || chars + length > CHARS_MAX) break
    attributes.set(attribute, text)
    chars += length
  }
  return { className, attributes: [...attributes] }
}

/** rfc8216bis §4.2: upper-case letters, digits and hyphens: `parameters.adId` is X-PARAMETERS-AD-ID. */
function attributeName(path: string): string | undefined {
  const words = path.replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2').toUpperCase()
  const plain = words
    .split(/[^A-Z0-9]+/)
    .filter((word) => word !== '')
    .join('-')
  return plain === '' || plain.length > NAME_CHARS_MAX ? undefined : `X-${plain}`
}

/**
 * A text that a quoted string takes (§4.1, §4.2): no control characters, half characters or marks of byte order, line ends of any
 * kind as spaces, quotation marks as apostrophes; and no reference to a variable (§4.3), which players without one refuse.
 */
function plainText(text: string): string {
  return text
    .replaceAll(/[\r\n\t\u2028\u2029]+/g, ' ')
    .replaceAll(/[\p{Cc}\p{Cs}\ufeff]/gu, '')
    .replaceAll('"', "'")
    .replaceAll(/\{\$+/g, '{')
    .normalize('NFC')
    .trim()
}
