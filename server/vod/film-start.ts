import { Gathered } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import { type Deferred, deferred } from '../lib/deferred.ts'
import { NearcastError } from '../lib/errors.ts'
import type { ObjectInfo, ObjectRead, ObjectStore } from '../storage/object-store.ts'

/** What lies behind the index is read on for so long at most, for whom it may concern. */
export const READ_ON_MS = 10_000

interface Reading {
  readonly reading: AbortController
  readonly unfollow: () => void
  readonly clock: Clock
}

/**
 * The beginning of an object as it arrives. What an index needs of it can be had before all of it is there, and once the index is known
 * it reads on to the end of the first segment: a store that keeps what it reads has that when it is asked for.
 */
export class FilmStart {
  readonly info: ObjectInfo
  /** Bytes that come at most. */
  readonly length: number
  readonly #reading: AbortController
  readonly #unfollow: () => void
  readonly #clock: Clock
  /** Undefined once nobody looks at the bytes any more. */
  #bytes: Gathered | undefined = new Gathered()
  #filled = 0
  #wanted: number
  #over = false
  #error: Error | undefined
  #movement: Deferred<void> | undefined

  private constructor(read: ObjectRead, { reading, unfollow, clock }: Reading) {
    this.info = read.info
    this.length = read.length
    this.#reading = reading
    this.#unfollow = unfollow
    this.#clock = clock
    this.#wanted = read.length
    void this.#receive(read)
  }

  /** Reads the first `bytes` of the object, fewer when it is shorter. Throws the store's errors; `signal` counts until `readOn` or `close`. */
  static async open(
    { store, clock }: { readonly store: ObjectStore; readonly clock: Clock },
    key: string,
    bytes: number,
    signal: AbortSignal,
  ): Promise<FilmStart> {
    signal.throwIfAborted()
    const reading = new AbortController()
    const follow = () => reading.abort(signal.reason)
    const unfollow = () => signal.removeEventListener('abort', follow)
    signal.addEventListener('abort', follow, { once: true })
    try {
      const range = { start: 0, end: bytes - 1 }
      const read = await store.read(key, { range, signal: reading.signal })
      return new FilmStart(read, { reading, unfollow, clock })
    } catch (error) {
      unfollow()
      throw error
    }
  }

  /** `length` bytes from the beginning, or the whole part, once they are there; more when that costs nothing. */
  async atLeast(length: number): Promise<Uint8Array> {
    const wanted = Math.min(length, this.length)
    while (this.#filled < wanted) {
      if (this.#error !== undefined) throw this.#error
      if (this.#over) throw new NearcastError('store-failed', `${this.info.key} was cut short`)
      this.#movement ??= deferred()
      await this.#movement.promise
    }
    return this.#bytes?.first(wanted) ?? NOTHING
  }

  /** Its bytes are not looked at any more; they are read on up to before byte `end`. */
  readOn(end: number): void {
    this.#bytes = undefined
    this.#wanted = Math.min(end, this.length)
    this.#unfollow()
    if (this.#over || this.#filled >= this.#wanted) return this.close()
    const timer = this.#clock.after(READ_ON_MS, () => this.close())
    this.#reading.signal.addEventListener('abort', () => timer[Symbol.dispose](), { once: true })
  }

  close(): void {
    this.#bytes = undefined
    this.#unfollow()
    this.#reading.abort(new NearcastError('unavailable', 'the start of the film is not wanted'))
  }

  async #receive({ body }: ObjectRead): Promise<void> {
    try {
      for await (const chunk of body) {
        this.#take(chunk)
        // To its end it is read to the end, so that the store's connection can be used again.
        if (this.#filled >= this.#wanted && this.#filled < this.length) break
      }
    } catch (error) {
      this.#error =
        error instanceof Error ? error : new NearcastError('store-failed', String(error))
    }
    this.#over = true
    this.#moved()
    if (this.#bytes === undefined) this.close()
  }

  #take(chunk: Uint8Array): void {
    if (this.#filled + chunk.length > this.length)
      throw new NearcastError('store-failed', `${this.info.key}: more bytes than were asked for`)
    this.#bytes?.add(chunk)
    this.#filled += chunk.length
    this.#moved()
  }

  #moved(): void {
    const movement = this.#movement
    this.#movement = undefined
    movement?.resolve()
  }
}

const NOTHING = new Uint8Array(0)
