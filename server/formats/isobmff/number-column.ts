type Numbers = Uint8Array | Uint32Array | Int32Array | Float64Array

/** Numbers that grow in typed memory, outside of the heap whose limit ends the process. */
export class NumberColumn {
  readonly #type: new (
    length: number,
  ) => Numbers
  #numbers: Numbers
  #length = 0

  constructor(type: new (length: number) => Numbers) {
    this.#type = type
    this.#numbers = new type(16)
  }

  get length(): number {
    return this.#length
  }

  push(value: number): void {
    if (this.#length === this.#numbers.length) {
      const grown = new this.#type(this.#length * 2)
      grown.set(this.#numbers)
      this.#numbers = grown
    }
    this.#numbers[this.#length] = value
    this.#length += 1
  }

  /** 0 where there is none. */
  at(index: number): number {
    return index < this.#length ? (this.#numbers[index] ?? 0) : 0
  }

  /** A view that is good until the next `push`. */
  get numbers(): Numbers {
    return this.#numbers.subarray(0, this.#length)
  }
}
