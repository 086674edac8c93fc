import type { Steps } from '../../lib/in-turns.ts'

type Numbers = Uint8Array | Uint32Array | Int32Array | Float64Array

const BLOCK_FIRST = 16
/** Blocks grow to this many numbers: what is reserved and not used yet stays small beside what is. */
const BLOCK_MOST = 65_536

/**
 * Numbers that grow in typed memory, outside of the heap whose limit ends the process: in blocks, so that growing copies nothing.
 * While only zeros come, none is kept.
 */
export class NumberColumn<T extends Numbers> {
  readonly #type: new (
    length: number,
  ) => T
  #full: T[] = []
  #block: T
  #used = 0
  #zeros = 0
  #length = 0
  #last = 0
  #bytes = 0

  constructor(type: new (length: number) => T) {
    this.#type = type
    this.#block = new type(0)
  }

  get length(): number {
    return this.#length
  }
  /** Memory it holds. */
  get bytes(): number {
    return this.#bytes
  }
  /** 0 where there is none. */
  get last(): number {
    return this.#last
  }
  get allZero(): boolean {
    return this.#zeros === this.#length
  }

  push(value: number): void {
    this.#last = value
    this.#length += 1
    if (value === 0 && this.#zeros === this.#length - 1) {
      this.#zeros += 1
      return
    }
    if (this.#used === this.#block.length) this.#grow()
    this.#block[this.#used] = value
    this.#used += 1
  }

  /** All of them in one piece, behind `before` others that are left 0; the column is empty then. */
  *take(before = 0): Steps<T> {
    const all = new this.#type(before + this.#length)
    let at = before + this.#zeros
    for (const block of this.#full) {
      all.set(block, at)
      at += block.length
      yield
    }
    all.set(this.#block.subarray(0, this.#used), at)
    this.clear()
    return all
  }

  clear(): void {
    this.#full = []
    this.#block = new this.#type(0)
    this.#used = 0
    this.#zeros = 0
    this.#length = 0
    this.#last = 0
    this.#bytes = 0
  }

  #grow(): void {
    const { length } = this.#block
    if (length > 0) this.#full.push(this.#block)
    this.#block = new this.#type(Math.min(BLOCK_MOST, Math.max(BLOCK_FIRST, length * 2)))
    this.#bytes += this.#block.byteLength
    this.#used = 0
  }
}
