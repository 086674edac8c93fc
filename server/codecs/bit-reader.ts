import { NearcastError } from '../lib/errors.ts'

/** Reads big-endian bit fields; past the end it throws `media-broken` with `what` in the message. */
export class BitReader {
  readonly #bytes: Uint8Array
  readonly #what: string
  #position = 0

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  get bitsLeft(): number {
    return this.#bytes.length * 8 - this.#position
  }

  /** An unsigned number of `count` bits, at most 32. */
  bits(count: number): number {
    if (count > this.bitsLeft) {
      throw new NearcastError(
        'media-broken',
        `${this.#what} ends after ${this.#bytes.length} bytes`,
      )
    }
    let value = 0
    for (let left = count; left > 0; ) {
      const offset = this.#position & 7
      const take = Math.min(left, 8 - offset)
      const byte = this.#bytes[this.#position >> 3] ?? 0
      value = value * 2 ** take + ((byte >> (8 - offset - take)) & ((1 << take) - 1))
      this.#position += take
      left -= take
    }
    return value
  }

  flag(): boolean {
    return this.bits(1) === 1
  }

  skip(count: number): void {
    if (count > this.bitsLeft) this.bits(32 + this.bitsLeft)
    this.#position += count
  }

  /** ue(v), ITU-T H.264 §9.1: at most 32 leading zeros. */
  unsignedGolomb(): number {
    let zeros = 0
    while (!this.flag()) {
      zeros += 1
      if (zeros > 32) {
        throw new NearcastError('media-broken', `${this.#what} has an endless Exp-Golomb code`)
      }
    }
    return 2 ** zeros - 1 + this.bits(zeros)
  }

  /** se(v), ITU-T H.264 §9.1.1. */
  signedGolomb(): number {
    const code = this.unsignedGolomb()
    return code % 2 === 0 ? -(code / 2) : (code + 1) / 2
  }
}
