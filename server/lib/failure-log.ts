import type { Clock } from './clock.ts'
import type { Log, LogFields } from './log.ts'

/** Kinds past so many share one. */
const KINDS_MAX = 64
const WINDOW_MS = 10_000
const OTHERS = 'others'

/**
 * Failures that viewers and publishers can cause as often as they like: of each kind one line in 10 s, then one with the number of those that
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
    this.#write('warn', kind, message, fields)
  }

  error(kind: string, message: string, fields: LogFields): void {
    this.#write('error', kind, message, fields)
  }

  /**
   * Whether one of this kind gets a line of its own. If not it is counted, and `tell` has the number when the 10 s are over; `of` is the
   * kind, or `others` past the bound.
   */
  admits(kind: string, tell: (unwritten: number, of: string) => void): boolean {
    const room = this.#unwritten.has(kind) || this.#unwritten.size < KINDS_MAX
    const of = room ? kind : OTHERS
    const unwritten = this.#unwritten.get(of)
    if (unwritten === undefined) this.#begin(of, tell)
    else this.#unwritten.set(of, unwritten + 1)
    return unwritten === undefined
  }

  #write(level: 'warn' | 'error', kind: string, message: string, fields: LogFields): void {
    const tell = (unwritten: number, of: string) =>
      this.#log[level](message, { kind: of, unwritten })
    if (this.admits(kind, tell)) this.#log[level](message, fields)
  }

  #begin(of: string, tell: (unwritten: number, of: string) => void): void {
    this.#unwritten.set(of, 0)
    this.#clock.after(WINDOW_MS, () => {
      const unwritten = this.#unwritten.get(of) ?? 0
      this.#unwritten.delete(of)
      if (unwritten === 0) return
      tell(unwritten, of)
      this.#begin(of, tell)
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
