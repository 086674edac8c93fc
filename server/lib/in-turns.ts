import type { Clock } from './clock.ts'

/** Long work that can be stopped where it yields, so that others come in between. */
export type Steps<T> = Generator<undefined, T, undefined>

/** Entries of a table from stop to stop: some tenths of a millisecond. */
export const ENTRIES_A_STEP = 8192
/** What others in the process wait for it at most. */
const TURN_MS = 4

/** `work` on the entries `from` up to `to`, again and again until `count` are done. */
export function* forEntries(
  count: number,
  work: (from: number, to: number) => void,
): Steps<undefined> {
  for (let from = 0; from < count; from += ENTRIES_A_STEP) {
    work(from, Math.min(count, from + ENTRIES_A_STEP))
    yield
  }
}

/** All steps at once, for work that is known to be small. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

/**
 * A few milliseconds of steps at a time, the event loop's other work in between; stops with the signal's reason. Up to `soon`
 * (monotonic milliseconds) it goes on without a stop: what is short is not to wait for all that others have to do.
 */
export function inTurns<T>(
  steps: Steps<T>,
  clock: Clock,
  signal: AbortSignal,
  soon = 0,
): Promise<T> {
  return new Turns(clock, signal, soon).run(steps)
}

/**
 * The same for works that come one behind the other: what all of them took since the last stop counts, since what they wait for in
 * between may be there already and let nobody in.
 */
export class Turns {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #soon: number
  #spent = 0

  constructor(clock: Clock, signal: AbortSignal, soon = 0) {
    this.#clock = clock
    this.#signal = signal
    this.#soon = soon
  }

  async run<T>(steps: Steps<T>): Promise<T> {
    for (let from = this.#clock.monotonic(); ; ) {
      const step = steps.next()
      const now = this.#clock.monotonic()
      const spent = this.#spent + now - from
      if (step.done) {
        this.#spent = spent
        return step.value
      }
      if (spent < TURN_MS || now < this.#soon) continue
      await nextTurn()
      this.#signal.throwIfAborted()
      this.#spent = 0
      from = this.#clock.monotonic()
    }
  }
}

const waiting: (() => void)[] = []

/** One turn each round of the event loop, however many works go on. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(letOneGo)
  })
}

function letOneGo(): void {
  waiting.shift()?.()
  if (waiting.length > 0) setImmediate(letOneGo)
}
