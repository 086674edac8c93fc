import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'

const WINDOW_MS = 10_000
const ADDRESSES_MAX = 64
/** Stands for every address past the bound. */
const OTHERS = 'others'

/**
 * Which refused publishers the log tells: one line per source address each 10 s, then the number of those without one.
 * Anybody can send wrong keys, and a flood of them must not fill the disk.
 */
export class RefusalLog {
  readonly #clock: Clock
  readonly #log: Log
  readonly #addresses = new Map<string, { until: number; unwritten: number }>()

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** Whether this refusal gets its own line; otherwise it is counted. */
  admits(address: string): boolean {
    const room = this.#addresses.has(address) || this.#addresses.size < ADDRESSES_MAX
    const key = room ? address : OTHERS
    const told = this.#addresses.get(key)
    if (told) {
      told.unwritten += 1
      return false
    }
    this.#addresses.set(key, { until: this.#clock.monotonic() + WINDOW_MS, unwritten: 0 })
    return true
  }

  /** Called each second: writes the counts that are due, forgets addresses that were quiet. */
  sweep(): void {
    const now = this.#clock.monotonic()
    for (const [address, told] of this.#addresses) {
      if (told.until > now) continue
      if (told.unwritten === 0) {
        this.#addresses.delete(address)
        continue
      }
      this.#log.warn('rtmp publishers refused', { address, unwritten: told.unwritten })
      told.until = now + WINDOW_MS
      told.unwritten = 0
    }
  }
}
