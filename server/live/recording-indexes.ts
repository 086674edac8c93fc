import {
  INDEX_NAME,
  readRecordingIndex,
  type RecordingIndex,
} from '../formats/recording/recording-index.ts'
import { totalsOf } from '../formats/recording/recording-totals.ts'
import { collect } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { hasCode } from '../lib/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'

export interface RecordingIndexesDeps {
  readonly storeOf: (origin: string) => ObjectStore
  readonly clock: Clock
}

interface Held {
  readonly index: RecordingIndex
  /** Length of its object: what it takes in memory is a few times that. */
  readonly bytes: number
  readonly until: number
}

const READ_MS = 10_000
const INDEX_BYTES_MAX = 64 * 1024 * 1024
const HELD_BYTES_MAX = 32 * 1024 * 1024
/** An index that says that its recording runs, which is another server's then. */
const RUNNING_MS = 5000
/** That server writes it so seldom at most (a recording of twelve hours): what is older was left behind. */
const LEFT_BEHIND_MS = 3 * 3_600_000

/** Indexes of recordings and clips as their stores have them, the last used kept. */
export class RecordingIndexes {
  readonly #deps: RecordingIndexesDeps
  readonly #held = new Map<string, Held>()
  readonly #reading = new Map<string, Promise<RecordingIndex | undefined>>()
  #bytes = 0

  constructor(deps: RecordingIndexesDeps) {
    this.#deps = deps
  }

  /** undefined when the store has none. Throws what the store says, `media-broken`. */
  async find(key: string, origin: string): Promise<RecordingIndex | undefined> {
    const held = this.#held.get(key)
    if (held && held.until > this.#deps.clock.now()) {
      this.#held.delete(key)
      this.#held.set(key, held)
      return held.index
    }
    const reading = this.#reading.get(key) ?? this.#read(key, origin)
    this.#reading.set(key, reading)
    try {
      return await reading
    } finally {
      if (this.#reading.get(key) === reading) this.#reading.delete(key)
    }
  }

  forget(key: string): void {
    this.#bytes -= this.#held.get(key)?.bytes ?? 0
    this.#held.delete(key)
    this.#reading.delete(key)
  }

  async #read(key: string, origin: string): Promise<RecordingIndex | undefined> {
    const { storeOf, clock } = this.#deps
    // Not one viewer's: others wait for it too.
    const never = new AbortController().signal
    const object = `${key}/${INDEX_NAME}`
    try {
      const bytes = await withDeadline(clock, READ_MS, `reading ${object}`, never, async (signal) =>
        collect((await storeOf(origin).read(object, { signal })).body, INDEX_BYTES_MAX),
      )
      return this.#keep(key, await readRecordingIndex(bytes), bytes.length)
    } catch (error) {
      if (hasCode(error, 'object-not-found')) return undefined
      throw error
    }
  }

  #keep(key: string, read: RecordingIndex, bytes: number): RecordingIndex {
    const now = this.#deps.clock.now()
    const ended = read.ended || now - totalsOf(read).endsAt > LEFT_BEHIND_MS
    const index = { ...read, ended }
    this.forget(key)
    this.#held.set(key, {
      index,
      bytes,
      until: ended ? Number.POSITIVE_INFINITY : now + RUNNING_MS,
    })
    this.#bytes += bytes
    for (const [oldest, one] of this.#held) {
      if (this.#bytes <= HELD_BYTES_MAX || oldest === key) break
      this.#held.delete(oldest)
      this.#bytes -= one.bytes
    }
    return index
  }
}
