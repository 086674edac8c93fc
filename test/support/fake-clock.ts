import type { Clock } from '../../server/lib/clock.ts'

interface Timer {
  at: number
  readonly everyMs: number | undefined
  readonly task: () => void
}

/** A clock that stands still until `advance` is called; due timers run in order of time. */
export class FakeClock implements Clock {
  #now: number
  readonly #timers = new Set<Timer>()

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now
  }
  now(): number {
    return this.#now
  }
  monotonic(): number {
    return this.#now
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      const timer = this.after(ms, () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      })
      const abort = () => {
        timer[Symbol.dispose]()
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', abort, { once: true })
    })
  }
  after(ms: number, task: () => void): Disposable {
    return this.#add({ at: this.#now + ms, everyMs: undefined, task })
  }
  every(ms: number, task: () => void): Disposable {
    return this.#add({ at: this.#now + ms, everyMs: ms, task })
  }
  /** How many timers wait. */
  get pending(): number {
    return this.#timers.size
  }
  /** Moves time on and runs what is due; lets promises settle between timers. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const due = [...this.#timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0]
      if (!due) break
      this.#now = Math.max(this.#now, due.at)
      if (due.everyMs === undefined) this.#timers.delete(due)
      else due.at += due.everyMs
      due.task()
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#now = end
    await new Promise((resolve) => setImmediate(resolve))
  }
  /** The process is stopped for `ms`: then timers that became due run once each, and intervals begin anew, as Node's do. */
  async standStill(ms: number): Promise<void> {
    this.#now += ms
    for (const timer of this.#timers)
      if (timer.everyMs !== undefined && timer.at < this.#now) timer.at = this.#now
    await this.advance(0)
  }
  #add(timer: Timer): Disposable {
    this.#timers.add(timer)
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) }
  }
}
