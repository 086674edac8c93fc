import type { CheckedValidity, ObjectFacts } from './stored-object.ts'
import type { KeyHash } from './tier/hash-index.ts'

/** Answers told apart, as a power of two: 2 MiB… */
const BITS_MAX = 18
/** …and for each so many bytes of the cache. */
const BYTES_EACH = 4096
const WORDS = 2

/**
 * Which packed answers the invalidations, as they stand, were found to leave valid: an object made of one begins with that, as if it had
 * stayed. Another state of theirs begins anew; of two answers in one place the later is known.
 */
export class KnownValid {
  readonly #bits: number
  #words: Uint32Array | undefined
  #stand: Pick<CheckedValidity, 'log' | 'local'> | undefined
  /** Number of the state that is known; 0 marks an empty place. */
  #number = 0

  constructor(memoryBytes: number) {
    this.#bits = Math.max(1, Math.min(BITS_MAX, Math.floor(Math.log2(memoryBytes / BYTES_EACH))))
  }

  /** What it takes once something is known. */
  get bytes(): number {
    return (WORDS * Uint32Array.BYTES_PER_ELEMENT) << this.#bits
  }

  learn(hash: KeyHash, { log, local, validity }: CheckedValidity): void {
    if (validity.kind !== 'valid') return this.forget(hash)
    this.#words ??= new Uint32Array(WORDS << this.#bits)
    if (this.#stand?.log !== log || this.#stand.local !== local) this.#beginAnew({ log, local })
    const at = this.#at(hash)
    this.#words[at] = hash.high
    this.#words[at + 1] = this.#number
  }

  forget(hash: KeyHash): void {
    if (this.#words && this.#has(this.#words, hash)) this.#words[this.#at(hash) + 1] = 0
  }

  /** What is known of the answer with these facts. */
  of(hash: KeyHash, facts: ObjectFacts): CheckedValidity | undefined {
    if (!this.#words || !this.#stand || !this.#has(this.#words, hash)) return undefined
    return { facts, ...this.#stand, validity: VALID }
  }

  #has(words: Uint32Array, hash: KeyHash): boolean {
    const at = this.#at(hash)
    return words[at] === hash.high && words[at + 1] === this.#number
  }

  #at({ low }: KeyHash): number {
    return (low >>> (32 - this.#bits)) * WORDS
  }

  #beginAnew(stand: Pick<CheckedValidity, 'log' | 'local'>): void {
    this.#stand = stand
    this.#number++
    if (this.#number <= 0xffff_ffff) return
    this.#words?.fill(0)
    this.#number = 1
  }
}

const VALID = { kind: 'valid' } as const
