import { Evictable, type Shortage } from './sieve.ts'

/** What bookkeeping of one slice costs, counted so that tiny ones can't exceed the bound. */
export const SLICE_OVERHEAD_BYTES = 320

/** How much buffer a slice begins with when nobody knows how long the body is. */
const GROWTH_START_BYTES = 16 * 1024

/** So many reads are one word to the tiers below, which don't see what memory answers. */
const READS_A_WORD = 16

export interface SliceOwner {
  evictionOf(slice: Slice): 'free' | 'last' | 'never'
  sliceEvicted(slice: Slice, of: Shortage): void
  /** Read a second time, and each so many times after that. */
  sliceWanted(slice: Slice): void
}

/**
 * A run of a generation's bytes inside one cell of the slice grid. Bytes below `filled` never change, so readers hold views of them;
 * a slice may begin or end inside its cell when just that much was asked for.
 */
export class Slice extends Evictable {
  readonly #owner: SliceOwner
  readonly start: number
  /** Where it ends at the latest. */
  readonly limit: number
  bytes: Buffer
  filled = 0
  filling = true
  /** The first read of a slice is why it was fetched; only the next one says that it is wanted again. */
  #reads = 0

  constructor(
    owner: SliceOwner,
    start: number,
    limit: number,
    lengthKnown: boolean,
    bytes?: Buffer,
  ) {
    super()
    this.#owner = owner
    this.start = start
    this.limit = limit
    const room = limit - start
    this.bytes =
      bytes ?? Buffer.allocUnsafeSlow(lengthKnown ? room : Math.min(room, GROWTH_START_BYTES))
  }

  /** A complete one from byte 0, copied from `bytes` into `into`. */
  static whole(owner: SliceOwner, into: Buffer, bytes: Uint8Array): Slice {
    const slice = new Slice(owner, 0, bytes.length, true, into)
    into.set(bytes)
    slice.filled = bytes.length
    slice.filling = false
    return slice
  }

  /** Position behind its last byte so far. */
  get end(): number {
    return this.start + this.filled
  }
  get memory(): number {
    return this.bytes.length + SLICE_OVERHEAD_BYTES
  }

  /** Copies what fits below `limit` and returns how many bytes that was: a view of the origin's buffer could hold far more memory than it shows. */
  append(chunk: Uint8Array, limit: number): number {
    const length = Math.min(chunk.length, Math.min(limit, this.limit) - this.end)
    const needed = this.filled + length
    if (needed > this.bytes.length) {
      const room = Math.min(this.limit - this.start, Math.max(needed, this.bytes.length * 2))
      this.#reallocate(room)
    }
    this.bytes.set(length === chunk.length ? chunk : chunk.subarray(0, length), this.filled)
    this.filled += length
    return length
  }

  /** No more bytes come; gives back buffer that is not used. */
  finish(): void {
    this.filling = false
    if (this.bytes.length - this.filled > this.filled / 8) this.#reallocate(this.filled)
  }

  touch(): void {
    this.#reads++
    if (this.#reads === 1) return
    this.visited = true
    if (this.filling || (this.#reads !== 2 && this.#reads % READS_A_WORD !== 0)) return
    this.#owner.sliceWanted(this)
  }

  get eviction(): 'free' | 'last' | 'never' {
    return this.filling ? 'never' : this.#owner.evictionOf(this)
  }

  evicted(of: Shortage): void {
    this.#owner.sliceEvicted(this, of)
  }

  #reallocate(length: number): void {
    const bytes = Buffer.allocUnsafeSlow(length)
    bytes.set(this.bytes.subarray(0, this.filled))
    this.bytes = bytes
  }
}
