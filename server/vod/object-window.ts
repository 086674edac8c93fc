import { collect } from '../lib/bytes.ts'
import { NearcastError } from '../lib/errors.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'

/** The parts of one version of an object that were read so far, as an index is built from them. */
export class ObjectWindow {
  readonly info: ObjectInfo
  readonly #store: ObjectStore
  readonly #signal: AbortSignal
  #pieces: { readonly start: number; readonly bytes: Uint8Array }[] = []

  constructor(store: ObjectStore, info: ObjectInfo, signal: AbortSignal) {
    this.#store = store
    this.info = info
    this.#signal = signal
  }

  add(start: number, bytes: Uint8Array): void {
    this.#pieces.push({ start, bytes })
  }

  /** Drops what was read, to hold no more than the next piece of a long walk. */
  forget(): void {
    this.#pieces = []
  }

  /** `length` bytes at `start`, or fewer at the object's end; undefined when they were not all read. */
  have(start: number, length: number): Uint8Array | undefined {
    const wanted = Math.max(0, Math.min(length, this.info.size - start))
    for (const piece of this.#pieces) {
      const from = start - piece.start
      if (from >= 0 && from + wanted <= piece.bytes.length) {
        return piece.bytes.subarray(from, from + wanted)
      }
    }
    return undefined
  }

  /**
   * `length` bytes at `start`, or fewer at the object's end. Only what is missing is read: one read for each gap, the last of at
   * least `ahead` bytes unless they are known.
   */
  async get(start: number, length: number, ahead = 0): Promise<Uint8Array> {
    const present = this.have(start, length)
    if (present) return present
    const end = Math.min(start + length, this.info.size)
    const parts: Uint8Array[] = []
    for (let at = start; at < end; ) {
      const part = this.#from(at) ?? (await this.#read(at, this.#gapEnd(at, end, ahead)))
      parts.push(part)
      at += part.length
    }
    const [only, ...others] = parts
    const bytes = only && others.length === 0 ? only : Buffer.concat(parts)
    this.add(start, bytes)
    return bytes.subarray(0, end - start)
  }

  /** What is there from `start` on without a gap in one piece. */
  #from(start: number): Uint8Array | undefined {
    let best: Uint8Array | undefined
    for (const piece of this.#pieces) {
      const from = start - piece.start
      if (from >= 0 && piece.bytes.length - from > (best?.length ?? 0)) {
        best = piece.bytes.subarray(from)
      }
    }
    return best
  }

  #gapEnd(start: number, end: number, ahead: number): number {
    let gapEnd = Math.min(this.info.size, Math.max(end, start + ahead))
    for (const piece of this.#pieces) {
      if (piece.start > start) gapEnd = Math.min(gapEnd, piece.start)
    }
    return gapEnd
  }

  async #read(start: number, end: number): Promise<Uint8Array> {
    const { key, etag } = this.info
    const read = await this.#store.read(key, {
      range: { start, end: end - 1 },
      ifMatch: etag,
      signal: this.#signal,
    })
    const bytes = await collect(read.body, end - start)
    if (bytes.length !== end - start) {
      throw new NearcastError('store-failed', `${key}: ${bytes.length} bytes of ${end - start}`)
    }
    return bytes
  }
}
