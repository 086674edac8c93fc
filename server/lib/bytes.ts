/**
 * Collects a body of at most `limit` bytes; throws RangeError above. What came in pieces of one stretch of memory is a view of that:
 * neither side changes it.
 */
export async function collect(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  limit = Number.POSITIVE_INFINITY,
): Promise<Buffer> {
  const gathered = new Gathered()
  for await (const chunk of body) {
    gathered.add(chunk)
    if (gathered.length > limit) throw new RangeError(`body is longer than ${limit} bytes`)
  }
  return gathered.bytes()
}

/** Chunks one after the other, copied together only where they don't lie beside each other already: new memory is dear. */
export class Gathered {
  #pieces: Uint8Array[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  add(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#length += chunk.length
    const last = this.#pieces.at(-1)
    if (last?.buffer === chunk.buffer && last.byteOffset + last.length === chunk.byteOffset)
      this.#pieces[this.#pieces.length - 1] = viewOf(last, last.length + chunk.length)
    else this.#pieces.push(chunk)
  }

  /** All of them, in one piece. */
  bytes(): Buffer {
    const [only, ...others] = this.#pieces
    if (only && others.length === 0) return viewOf(only, only.length)
    const whole = Buffer.concat(this.#pieces, this.#length)
    this.#pieces = [whole]
    return whole
  }

  /** The first `length` bytes or more, in one piece; all of them when there are no more. */
  first(length: number): Buffer {
    const [only] = this.#pieces
    return only && only.length >= length ? viewOf(only, only.length) : this.bytes()
  }
}

function viewOf({ buffer, byteOffset }: Uint8Array, length: number): Buffer {
  return Buffer.from(buffer, byteOffset, length)
}
