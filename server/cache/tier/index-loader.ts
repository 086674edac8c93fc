import { HashIndex, type KeyHash } from './hash-index.ts'
import type { Segment } from './segment.ts'

/** Entries set in one turn of the event loop: 1 to 2 ms. */
const ENTRIES_AT_ONCE = 4000

/**
 * Brings the entries of segments into an index, the newest first, while records are found, written and forgotten: what an older segment
 * says never takes the place of what came later.
 */
export class IndexLoader {
  readonly #index: HashIndex
  /** Of what was forgotten by segments that are loaded, or since the start. */
  readonly #gone = new HashIndex()
  #over = false

  constructor(index: HashIndex) {
    this.#index = index
  }

  /** Older records of hashes may be unknown still. */
  get loading(): boolean {
    return !this.#over
  }

  /** What segments that are not loaded yet say of this hash counts no more. */
  forget(hash: KeyHash): void {
    if (!this.#over) this.#gone.set(hash, ANYWHERE)
  }

  /** The first `count` entries of a segment; all of those newer were brought in before. Ends early when `stopped` says so. */
  async load({ number, entries }: Segment, count: number, stopped: () => boolean): Promise<void> {
    for (let end = count; end > 0 && !stopped(); end -= ENTRIES_AT_ONCE) {
      if (end < count) await new Promise<void>((resolve) => setImmediate(resolve))
      for (let i = end - 1; i >= 0 && i >= end - ENTRIES_AT_ONCE; i--) {
        const high = entries.high(i)
        const low = entries.low(i)
        if (this.#gone.size > 0 && this.#gone.has({ high, low })) continue
        if (!entries.isGone(i))
          this.#index.add(high, low, number, entries.offset(i), entries.recordLength(i))
        else if (!this.#index.has({ high, low })) this.#gone.set({ high, low }, ANYWHERE)
      }
    }
  }

  end(): void {
    this.#over = true
    this.#gone.clear()
  }
}

const ANYWHERE = { segment: 0, offset: 0, length: 1 }
