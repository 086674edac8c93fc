import { HashIndex, hashKey, type KeyHash } from './hash-index.ts'
import {
  type RecordContent,
  type RecordKind,
  type StoredRecord,
  readRecord,
  readRecordHeader,
  writeRecord,
} from './record.ts'

export interface SlabStoreOptions {
  readonly slabBytes: number
  /** Of the hashes: random, so that nobody outside can choose keys that meet. 32 bits. */
  readonly seed: number
  /** Of the index, as a power of two. */
  readonly shardBits: number
}

interface Slab {
  readonly number: number
  readonly bytes: Buffer
  used: number
}

/** Longest record, as part of a slab. */
const RECORD_PART = 0.25
/** Of a slab that is taken again, so much stays at most: what was asked for since it came there. */
const SURVIVING_PART = 0.5

/**
 * Records in memory, one behind another in large buffers, found by an index of typed arrays: a million of them are a few hundred objects to
 * the garbage collector. The oldest slab is taken again or given up; what was asked for in it is moved on. All of it at once, no promises.
 */
export class SlabStore {
  readonly slabBytes: number
  readonly #seed: number
  readonly #index: HashIndex
  /** Oldest first; the last one is written to. */
  readonly #slabs = new Map<number, Slab>()
  #current: Slab | undefined
  #next = 1

  constructor({ slabBytes, seed, shardBits }: SlabStoreOptions) {
    this.slabBytes = slabBytes
    this.#seed = seed
    this.#index = new HashIndex(shardBits)
  }

  /** Of all slabs, full or not, and of the index. */
  get bytes(): number {
    return this.#slabs.size * this.slabBytes + this.#index.bytes
  }
  get records(): number {
    return this.#index.size
  }
  get indexBytes(): number {
    return this.#index.bytes
  }

  hash(name: string): KeyHash {
    return hashKey(name, this.#seed)
  }

  /** What lies under this name, without reading it. */
  kindOf(name: string): RecordKind | undefined {
    const place = this.#index.size > 0 ? this.#index.find(this.hash(name)) : undefined
    const slab = place && this.#slabs.get(place.segment)
    return slab && readRecordHeader(slab.bytes, place.offset)?.kind
  }

  has(name: string): boolean {
    return this.#index.size > 0 && this.#index.has(this.hash(name))
  }

  /** The record of this name. Its body is a view that holds until something is written or given up. */
  read(name: string): StoredRecord | undefined {
    if (this.#index.size === 0) return undefined
    const hash = this.hash(name)
    const place = this.#index.find(hash)
    const slab = place && this.#slabs.get(place.segment)
    if (!place || !slab) return undefined
    const record = readRecord(slab.bytes.subarray(place.offset, place.offset + place.length))
    if (record?.key !== name) return undefined
    this.#index.visit(hash)
    return record
  }

  /** Keeps a record in place of the former one of its name. One slab more is taken when `mayGrow` says so, else the oldest one anew. */
  write(content: RecordContent, mayGrow: () => boolean): boolean {
    const hash = this.hash(content.key)
    const written = writeRecord(hash, content)
    if (!written || written.length > this.slabBytes * RECORD_PART) return false
    const slab = this.#slabFor(written.length, mayGrow)
    if (!slab) return false
    const offset = slab.used
    for (const part of written.parts) {
      slab.bytes.set(part, slab.used)
      slab.used += part.length
    }
    this.#index.set(hash, { segment: slab.number, offset, length: written.length })
    return true
  }

  /** False when there was none. */
  forget(name: string): boolean {
    return this.#index.size > 0 && this.#index.remove(this.hash(name))
  }

  /** Gives up the oldest slab; false when there is none. */
  shrink(): boolean {
    const [oldest] = this.#slabs.values()
    if (!oldest) return false
    this.#slabs.delete(oldest.number)
    if (this.#current === oldest) this.#current = undefined
    const heir = this.#current
    this.#moveFrom(oldest, (record, hash) => {
      if (!heir || heir.used + record.length > this.slabBytes) return false
      heir.bytes.set(record, heir.used)
      const { length } = record
      this.#index.set(hash, { segment: heir.number, offset: heir.used, length })
      heir.used += length
      return true
    })
    // Its arrays don't shrink by themselves.
    if (this.#slabs.size === 0) this.#index.clear()
    return true
  }

  /** All records, undefined for each that counts no more; others may come and go between two of them. */
  *all(): Generator<StoredRecord | undefined, void, undefined> {
    // Those there are now: slabs that are taken again meanwhile would be new ones for ever.
    const numbers = [...this.#slabs.keys()]
    for (const number of numbers) {
      for (let at = 0; ; ) {
        const slab = this.#slabs.get(number)
        const header = slab && at < slab.used ? readRecordHeader(slab.bytes, at) : undefined
        if (!slab || !header) break
        const counts = this.#index.isAt(header.hash, number, at)
        yield counts ? readRecord(slab.bytes.subarray(at, at + header.length)) : undefined
        at += header.length
      }
    }
  }

  #slabFor(length: number, mayGrow: () => boolean): Slab | undefined {
    const current = this.#current
    if (current && current.used + length <= this.slabBytes) return current
    const slab = mayGrow()
      ? { number: this.#next++, bytes: Buffer.allocUnsafeSlow(this.slabBytes), used: 0 }
      : this.#takeOldest()
    if (!slab) return undefined
    this.#slabs.set(slab.number, slab)
    this.#current = slab
    return slab
  }

  /** The oldest slab as a new one: what stays in it moves to its beginning. */
  #takeOldest(): Slab | undefined {
    const [oldest] = this.#slabs.values()
    if (!oldest) return undefined
    this.#slabs.delete(oldest.number)
    const { bytes } = oldest
    const slab: Slab = { number: this.#next++, bytes, used: 0 }
    const most = this.slabBytes * SURVIVING_PART
    this.#moveFrom(oldest, (record, hash, at) => {
      const { length } = record
      if (slab.used + length > most) return false
      bytes.copyWithin(slab.used, at, at + length)
      this.#index.set(hash, { segment: slab.number, offset: slab.used, length })
      slab.used += length
      return true
    })
    return slab
  }

  /** Empties a slab: what was asked for since it came there is given to `move`, and gone when that does not take it. */
  #moveFrom(slab: Slab, move: (record: Buffer, hash: KeyHash, at: number) => boolean): void {
    for (let at = 0; at < slab.used; ) {
      const header = readRecordHeader(slab.bytes, at)
      if (!header) return
      const { hash, length } = header
      if (this.#index.isAt(hash, slab.number, at)) {
        const stays =
          this.#index.takeVisit(hash) && move(slab.bytes.subarray(at, at + length), hash, at)
        if (!stays) this.#index.remove(hash)
      }
      at += length
    }
  }
}
