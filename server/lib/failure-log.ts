import type { Clock } from './clock.ts'
import type { Log, LogFields } from './log.ts'

/** Kinds past so many share one. */
const KINDS_MAX = 64
const WINDOW_MS = 10_000
const OTHERS = 'others'

/**
 * Failures that viewers can cause as often as they like: of each kind one line in 10 s, then one with the number of those that
 * were not written.
 */
export class FailureLog {
  readonly #clock: Clock
  readonly #log: Log
  readonly #unwritten = new Map<string, number>()

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  warn(kind: string, message: string, fields: LogFields): void {
    const room = this.#unwritten.has(kind) || this.#unwritten.size < KINDS_MAX
    const key = room ? kind : OTHERS
    const unwritten = this.#unwritten.get(key)
    if (unwritten !== undefined) {
      this.#unwritten.set(key, unwritten + 1)
      return
    }
    this.#log.warn(message, fields)
    this.#begin(key, message)
  }

  #begin(kind: string, message: string): void {
    this.#unwritten.set(kind, 0)
    this.#clock.after(WINDOW_MS, () => {
      const unwritten = this.#unwritten.get(kind) ?? 0
      this.#unwritten.delete(kind)
      if (unwritten === 0) return
      this.#log.warn(message, { kind, unwritten })
      this.#begin(kind, message)
    })
  }
}

const ofLogs = new WeakMap<Log, FailureLog>()

/** The one of this log: all who write to it share its bound. */
export function failureLogOf({
  clock,
  log,
}: {
  readonly clock: Clock
  readonly log: Log
}): FailureLog {
  const known = ofLogs.get(log)
  if (known) return known
  const made = new FailureLog(clock, log)
  ofLogs.set(log, made)
  return made
}
