/** Why something is given up: there is no room for its bytes, or there are too many of its kind. */
export type Shortage = 'bytes' | 'count'

/** Something that takes part of the byte bound and can be given up. */
export abstract class Evictable {
  /** Bytes it takes, its own bookkeeping included. Changed only by its queue. */
  cost = 0
  /** Asked for again since it came in, or since the hand passed it. */
  visited = false
  newer: Evictable | undefined
  older: Evictable | undefined
  queue: Sieve | undefined

  /** `last`: a reader is about to need it, so only when nothing else is left. */
  abstract get eviction(): 'free' | 'last' | 'never'
  /** Called once it has left its queue: lets go of the bytes. */
  abstract evicted(of: Shortage): void
}

/**
 * SIEVE (Zhang et al., NSDI 2024): a FIFO whose hand skips, once, what was asked for again. A hit sets one bit, so it costs nothing;
 * what a scan brings in is gone before what is asked for twice.
 */
export class Sieve {
  #bytes = 0
  #size = 0
  #newest: Evictable | undefined
  #oldest: Evictable | undefined
  #hand: Evictable | undefined

  get bytes(): number {
    return this.#bytes
  }
  get size(): number {
    return this.#size
  }

  insert(entry: Evictable, cost: number): void {
    entry.queue = this
    entry.cost = cost
    entry.visited = false
    entry.older = this.#newest
    entry.newer = undefined
    if (this.#newest) this.#newest.newer = entry
    else this.#oldest = entry
    this.#newest = entry
    this.#bytes += cost
    this.#size++
  }

  resize(entry: Evictable, cost: number): void {
    this.#bytes += cost - entry.cost
    entry.cost = cost
  }

  remove(entry: Evictable): void {
    if (entry.queue !== this) return
    if (this.#hand === entry) this.#hand = entry.newer
    if (entry.newer) entry.newer.older = entry.older
    else this.#newest = entry.older
    if (entry.older) entry.older.newer = entry.newer
    else this.#oldest = entry.newer
    entry.newer = undefined
    entry.older = undefined
    entry.queue = undefined
    this.#bytes -= entry.cost
    this.#size--
  }

  /**
   * The entry to give up next, still in the queue; undefined when none may go. `last` also takes what a reader is about to need.
   * With `keepers` this queue is a probation: what was asked for again moves there.
   */
  victim(last: boolean, keepers?: Sieve): Evictable | undefined {
    let entry = this.#hand ?? this.#oldest
    // Twice round: the first may only clear bits.
    for (let steps = this.#size * 2; entry && steps > 0; steps--) {
      const next: Evictable | undefined = entry.newer ?? this.#oldest
      if (entry.eviction === 'free' || (last && entry.eviction === 'last')) {
        if (!entry.visited) {
          this.#hand = entry.newer
          return entry
        }
        entry.visited = false
        if (keepers) {
          const { cost } = entry
          this.remove(entry)
          keepers.insert(entry, cost)
        }
      }
      entry = this.#size === 0 ? undefined : next
    }
    return undefined
  }
}
