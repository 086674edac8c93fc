import { type Deferred, deferred } from '../lib/deferred.ts'
import type { Fill } from './fill.ts'
import type { Reader } from './reader.ts'

interface Waiter extends Deferred<void> {
  readonly reader: Reader
  readonly fill: Fill
}

/** Readers that wait for bytes, each for one fill. */
export class Waiters {
  readonly #waiters = new Set<Waiter>()

  add(reader: Reader, fill: Fill): Promise<void> {
    const waiter = { reader, fill, ...deferred() }
    this.#waiters.add(waiter)
    return waiter.promise
  }

  /** Those of this fill whose byte has come. */
  progressed(fill: Fill): void {
    for (const waiter of this.#waiters)
      if (waiter.fill === fill && waiter.reader.position < fill.position) this.#wake(waiter)
  }

  /** Those of this fill who wait for `position` or behind look again. */
  wakeFrom(fill: Fill, position: number): void {
    for (const waiter of this.#waiters)
      if (waiter.fill === fill && waiter.reader.position >= position) this.#wake(waiter)
  }

  left(reader: Reader): void {
    for (const waiter of this.#waiters) if (waiter.reader === reader) this.#wake(waiter)
  }

  /** Those of this fill, or all of them. */
  fail(error: Error, fill?: Fill): void {
    for (const waiter of this.#waiters) {
      if (fill && waiter.fill !== fill) continue
      this.#waiters.delete(waiter)
      waiter.reject(error)
    }
  }

  #wake(waiter: Waiter): void {
    this.#waiters.delete(waiter)
    waiter.resolve()
  }
}
