import type { Slice } from './slice.ts'

export interface Readable {
  /** undefined while nobody knows how long the body is. */
  readonly size: number | undefined
  sliceAt(position: number): Slice | undefined
  /** Resolves when bytes at the reader's position may be there, or the end is; rejects when they will not come. */
  wait(reader: Reader): Promise<void>
  moved(): void
  detach(reader: Reader): void
}

/** One viewer's place in a generation. Pins it while open: close it. */
export class Reader {
  readonly #body: Readable
  /** Bytes it wants: from `position` to before `end`; Infinity: to the end, wherever that is. */
  position: number
  readonly end: number
  readonly #start: number
  #slice: Slice | undefined
  #touched: Slice | undefined

  constructor(body: Readable, start: number, end: number) {
    this.#body = body
    this.#start = start
    this.position = start
    this.end = end
  }

  /** It was given bytes: an error has no status for its viewer any more. */
  get begun(): boolean {
    return this.position > this.#start
  }

  get done(): boolean {
    return this.position >= Math.min(this.end, this.#body.size ?? Number.POSITIVE_INFINITY)
  }

  /** A view of bytes that are here now, at most to the end of their slice; undefined when `ready` must be awaited or all is read. */
  take(): Buffer | undefined {
    if (this.position >= this.end) return undefined
    let slice = this.#slice
    if (!slice || this.position >= slice.end || this.position < slice.start) {
      slice = this.#body.sliceAt(this.position)
      this.#slice = slice
    }
    if (!slice) return undefined
    if (slice !== this.#touched) {
      // Once for each reader, however small the pieces in which it comes.
      slice.touch()
      this.#touched = slice
    }
    const from = this.position - slice.start
    const to = Math.min(slice.filled, this.end - slice.start)
    this.position = slice.start + to
    this.#body.moved()
    return slice.bytes.subarray(from, to)
  }

  ready(): Promise<void> {
    return this.#body.wait(this)
  }

  close(): void {
    this.#slice = undefined
    this.#touched = undefined
    this.#body.detach(this)
  }

  /** All of it, in order; closes the reader at the end, also when left early. */
  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    try {
      for (;;) {
        const bytes = this.take()
        if (bytes) yield bytes
        else if (this.done) return
        else await this.ready()
      }
    } finally {
      this.close()
    }
  }
}

/** How far the fastest of those who read from a fill is; undefined when there are none. */
export function leadOf(
  readers: Iterable<Reader>,
  fill: { readonly start: number; readonly position: number; readonly limit: number },
): number | undefined {
  let lead: number | undefined
  for (const { position, end } of readers) {
    if (position < fill.start || position >= fill.limit || end <= fill.position) continue
    if (lead === undefined || position > lead) lead = position
  }
  return lead
}
