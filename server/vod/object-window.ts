import { collect } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'
import { inTurns, type Steps } from '../lib/in-turns.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'

/** The parts of one version of an object that were read so far, as an index is built from them. */
export class ObjectWindow {
  readonly info: ObjectInfo
  readonly #clock: Clock
  readonly #store: ObjectStore
  readonly #signal: AbortSignal
  #pieces: { readonly start: number; readonly bytes: Uint8Array }[] = []

  constructor(
    { store, clock }: { readonly store: ObjectStore; readonly clock: Clock },
    info: ObjectInfo,
    signal: AbortSignal,
  ) {
    this.#store = store
    this.#clock = clock
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
    if (end - start > LONG_BYTES) return this.#getLong(start, end)
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

  /** Into its place as it arrives: copied together afterwards it would be there twice, and stop the process for a moment. */
  async #getLong(start: number, end: number): Promise<Uint8Array> {
    const whole = Buffer.allocUnsafeSlow(end - start)
    for (let at = start; at < end; ) {
      const part = this.#from(at)?.subarray(0, end - at)
      if (part) await inTurns(copy(whole, at - start, part), this.#clock, this.#signal)
      const stop = part ? at + part.length : this.#gapEnd(at, end, 0)
      if (!part) await this.#readInto(whole.subarray(at - start, stop - start), at)
      at = stop
    }
    this.forget()
    this.add(start, whole)
    return whole
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
    if (end - start > LONG_BYTES) {
      const whole = Buffer.allocUnsafeSlow(end - start)
      await this.#readInto(whole, start)
      return whole
    }
    const bytes = await collect(await this.#open(start, end), end - start)
    if (bytes.length !== end - start) throw this.#failure(bytes.length, end - start)
    return bytes
  }

  async #readInto(target: Uint8Array, start: number): Promise<void> {
    let length = 0
    for await (const chunk of await this.#open(start, start + target.length)) {
      if (length + chunk.length > target.length)
        throw this.#failure(length + chunk.length, target.length)
      await inTurns(copy(target, length, chunk), this.#clock, this.#signal)
      length += chunk.length
    }
    if (length !== target.length) throw this.#failure(length, target.length)
  }

  async #open(start: number, end: number): Promise<AsyncIterable<Uint8Array>> {
    const { key, etag } = this.info
    const range = { start, end: end - 1 }
    const { body } = await this.#store.read(key, { range, ifMatch: etag, signal: this.#signal })
    return body
  }

  #failure(length: number, wanted: number): NearcastError {
    return new NearcastError('store-failed', `${this.info.key}: ${length} bytes of ${wanted}`)
  }
}

const LONG_BYTES = 4 * 1024 * 1024
/** New memory costs some milliseconds a MiB on small machines. */
const COPIED_A_STEP = 256 * 1024

function* copy(target: Uint8Array, at: number, bytes: Uint8Array): Steps<undefined> {
  for (let from = 0; from < bytes.length; from += COPIED_A_STEP) {
    target.set(bytes.subarray(from, from + COPIED_A_STEP), at + from)
    yield
  }
}
