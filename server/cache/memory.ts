import { type Deferred, deferred } from '../lib/deferred.ts'
import { type Evictable, Sieve } from './sieve.ts'

/** Part of the bound that slices on probation may take before they go first. */
const PROBATION_PART = 0.1

/** What is held in memory under one bound in bytes: what goes when room is needed, and who waits for it. */
export class Memory {
  readonly bytesMax: number
  evictions = 0
  readonly #main = new Sieve()
  readonly #probation = new Sieve()
  #freed: Deferred<void> | undefined

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#main.bytes + this.#probation.bytes
  }

  /** Makes room for `cost` bytes; false when all that is left is being filled or, unless `urgent`, about to be read. */
  admit(cost: number, urgent: boolean): boolean {
    while (this.bytes + cost > this.bytesMax) {
      const victim = this.#victim(urgent)
      if (!victim) return false
      victim.queue?.remove(victim)
      this.evictions++
      victim.evicted()
    }
    return true
  }

  insert(item: Evictable, cost: number, probation: boolean): void {
    const queue = probation ? this.#probation : this.#main
    queue.insert(item, cost)
  }

  /** True as well for what is not held any more. */
  onProbation(item: Evictable): boolean {
    return item.queue !== this.#main
  }

  /** Resolves with the next `wake`. */
  freed(): Promise<void> {
    this.#freed ??= deferred()
    return this.#freed.promise
  }

  wake(): void {
    const freed = this.#freed
    this.#freed = undefined
    freed?.resolve()
  }

  #victim(urgent: boolean): Evictable | undefined {
    const main = (last: boolean) => this.#main.victim(last)
    // What was read again while on probation is worth keeping.
    const probation = (last: boolean) => this.#probation.victim(last, this.#main)
    const probationFirst = this.#probation.bytes > this.bytesMax * PROBATION_PART
    const [first, second] = probationFirst ? [probation, main] : [main, probation]
    return first(false) ?? second(false) ?? (urgent ? (first(true) ?? second(true)) : undefined)
  }
}
