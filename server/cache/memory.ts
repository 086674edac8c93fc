import { type Deferred, deferred } from '../lib/deferred.ts'
import { type Evictable, type Shortage, Sieve } from './sieve.ts'

/** Part of the bound that slices on probation may take before they go first. */
const PROBATION_PART = 0.1

/** Part of the bound that packed memory keeps when those who are read need room. */
const PACKED_PART = 0.5
/** One object or slice for so many bytes of the bound, within these limits: more of them cost pauses to collect… */
const BYTES_AN_ITEM = 32 * 1024
const ITEMS_MIN = 1024
const ITEMS_MAX = 8 * 1024
/** …unless they are so large on average that they are few for the memory there is. */
const LARGE_ITEM_BYTES = 64 * 1024
/** So many small answers are hot because they came just now; who is not asked for again while the next ones come is packed. */
const FRESH_MAX = 256

/** Memory of another form under the same bound. */
interface Shrinkable {
  readonly bytes: number
  /** Gives up its oldest part; false when it has none. */
  shrink(): boolean
}

/** What is held in memory under one bound in bytes: what goes when room is needed, and who waits for it. */
export class Memory {
  readonly bytesMax: number
  readonly #itemsMax: number
  evictions = 0
  readonly #packed: Shrinkable
  #lent = 0
  readonly #main = new Sieve()
  readonly #probation = new Sieve()
  readonly #fresh = new Sieve()
  #freed: Deferred<void> | undefined

  constructor(bytesMax: number, packed: Shrinkable) {
    this.bytesMax = bytesMax
    this.#packed = packed
    const share = Math.floor(bytesMax / BYTES_AN_ITEM)
    this.#itemsMax = Math.min(ITEMS_MAX, Math.max(ITEMS_MIN, share))
  }

  get bytes(): number {
    return this.#hotBytes + this.#packed.bytes + this.#lent
  }

  /** Makes room for `cost` bytes; false when all that is left is being filled or, unless `urgent`, about to be read. */
  admit(cost: number, urgent: boolean): boolean {
    if (cost > 0 && this.#crowded) this.#giveUp(this.#victim(), 'count')
    while (this.bytes + cost > this.bytesMax) if (!this.#makeRoom(urgent)) return false
    return true
  }

  /** True when packed memory may take so many bytes more, if need be from those who are read. */
  mayPack(bytes: number): boolean {
    if (this.bytes + bytes <= this.bytesMax) return true
    return this.#packed.bytes + bytes <= this.bytesMax * PACKED_PART
  }

  /** Counts bytes that are held outside, until they are given back by the same number below zero. False when there is no room. */
  lend(bytes: number): boolean {
    if (bytes > 0 && !this.admit(bytes, true)) return false
    this.#lent += bytes
    if (bytes < 0) this.wake()
    return true
  }

  insert(item: Evictable, cost: number, probation: boolean): void {
    const queue = probation ? this.#probation : this.#main
    queue.insert(item, cost)
  }

  /** The bytes of a small answer, all of them: packed soon unless they are asked for again. */
  freshen(item: Evictable): void {
    if (item.queue !== this.#main) return
    const { cost, visited } = item
    this.#main.remove(item)
    this.#fresh.insert(item, cost)
    item.visited = visited
    if (this.#fresh.size > FRESH_MAX) this.#giveUp(this.#fresh.victim(false, this.#main), 'count')
    this.admit(0, true)
  }

  /** True as well for what is not held any more. */
  onProbation(item: Evictable): boolean {
    return item.queue !== this.#main && item.queue !== this.#fresh
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

  get #hotBytes(): number {
    return this.#main.bytes + this.#probation.bytes + this.#fresh.bytes
  }

  get #crowded(): boolean {
    const items = this.#main.size + this.#probation.size + this.#fresh.size
    return items >= Math.max(this.#itemsMax, this.#hotBytes / LARGE_ITEM_BYTES)
  }

  #makeRoom(urgent: boolean): boolean {
    const much = this.#packed.bytes > this.bytesMax * PACKED_PART
    if (much && this.#packed.shrink()) return true
    if (this.#giveUp(this.#victim(), 'bytes') || this.#packed.shrink()) return true
    return urgent && this.#giveUp(this.#victim(true), 'bytes')
  }

  #giveUp(victim: Evictable | undefined, of: Shortage): boolean {
    if (!victim) return false
    victim.queue?.remove(victim)
    this.evictions++
    victim.evicted(of)
    return true
  }

  #victim(last = false): Evictable | undefined {
    const main = () => this.#fresh.victim(last, this.#main) ?? this.#main.victim(last)
    // What was read again while on probation is worth keeping.
    const probation = () => this.#probation.victim(last, this.#main)
    const probationFirst = this.#probation.bytes > this.bytesMax * PROBATION_PART
    return probationFirst ? (probation() ?? main()) : (main() ?? probation())
  }
}
