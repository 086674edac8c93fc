/** 64 bits of a key, in two halves. */
export interface KeyHash {
  readonly high: number
  readonly low: number
}

/** Where a record lies: a segment's number, the offset in it and the record's length, in bytes. */
export interface Place {
  readonly segment: number
  readonly offset: number
  readonly length: number
}

/** Longest record that a place can name. */
export const PLACE_LENGTH_MAX = 0x7fffffff

const SHARD_BITS = 10
const CAPACITY_START = 16
const GROWTH = 1.5
const LOAD_MAX = 0.8
const VISITED = 0x80000000

// Words of an entry; a length of 0 is an empty slot.
const WORDS = 5
const HIGH = 0
const LOW = 1
const SEGMENT = 2
const OFFSET = 3
const LENGTH = 4

interface Shard {
  words: Uint32Array
  capacity: number
  size: number
}

/**
 * Hash → place, in 20 bytes an entry: open addressing over typed arrays, cut into shards by the hash's high bits so that growing moves a
 * thousandth of it at a time. An entry under the same 64 bits replaces the former; whoever reads a record checks its key.
 */
export class HashIndex {
  readonly #shards: (Shard | undefined)[]
  readonly #shift: number
  #size = 0
  #bytes = 0

  /** With fewer shards a small index takes less; a large one grows in larger steps. */
  constructor(shardBits = SHARD_BITS) {
    this.#shards = Array.from({ length: 1 << shardBits })
    this.#shift = 32 - shardBits
  }

  get size(): number {
    return this.#size
  }
  /** Bytes of the typed arrays. */
  get bytes(): number {
    return this.#bytes
  }

  has(hash: KeyHash): boolean {
    const shard = this.#shardOf(hash)
    return shard !== undefined && word(shard, slotOf(shard, hash.high, hash.low) + LENGTH) !== 0
  }

  find(hash: KeyHash): Place | undefined {
    const shard = this.#shardOf(hash)
    if (!shard) return undefined
    const at = slotOf(shard, hash.high, hash.low)
    const length = word(shard, at + LENGTH)
    if (length === 0) return undefined
    return {
      segment: word(shard, at + SEGMENT),
      offset: word(shard, at + OFFSET),
      length: (length & ~VISITED) >>> 0,
    }
  }

  /** True when the entry stands for this place. */
  isAt(hash: KeyHash, segment: number, offset: number): boolean {
    const place = this.find(hash)
    return place !== undefined && place.segment === segment && place.offset === offset
  }

  /** Length from 1 to PLACE_LENGTH_MAX. The entry begins unvisited. */
  set(hash: KeyHash, place: Place): void {
    const shard = this.#roomFor(hash.high)
    const at = slotOf(shard, hash.high, hash.low)
    if (word(shard, at + LENGTH) === 0) {
      shard.size++
      this.#size++
    }
    shard.words[at + HIGH] = hash.high
    shard.words[at + LOW] = hash.low
    shard.words[at + SEGMENT] = place.segment
    shard.words[at + OFFSET] = place.offset
    shard.words[at + LENGTH] = place.length
  }

  /** Sets what has no entry yet. In numbers: millions of them are set at a start. */
  add(high: number, low: number, segment: number, offset: number, length: number): void {
    const shard = this.#roomFor(high)
    const at = slotOf(shard, high, low)
    if (word(shard, at + LENGTH) !== 0) return
    shard.size++
    this.#size++
    shard.words[at + HIGH] = high
    shard.words[at + LOW] = low
    shard.words[at + SEGMENT] = segment
    shard.words[at + OFFSET] = offset
    shard.words[at + LENGTH] = length
  }

  remove(hash: KeyHash): boolean {
    const shard = this.#shardOf(hash)
    if (!shard) return false
    const at = slotOf(shard, hash.high, hash.low)
    if (word(shard, at + LENGTH) === 0) return false
    vacate(shard, at / WORDS)
    shard.size--
    this.#size--
    return true
  }

  /** Says that it was asked for again. */
  visit(hash: KeyHash): void {
    const shard = this.#shardOf(hash)
    if (!shard) return
    const at = slotOf(shard, hash.high, hash.low) + LENGTH
    const length = word(shard, at)
    if (length !== 0) shard.words[at] = length | VISITED
  }

  /** Whether it was asked for again since it was set or this was last called; false of what is not there. */
  takeVisit(hash: KeyHash): boolean {
    const shard = this.#shardOf(hash)
    if (!shard) return false
    const at = slotOf(shard, hash.high, hash.low) + LENGTH
    const length = word(shard, at)
    shard.words[at] = length & ~VISITED
    return (length & VISITED) !== 0
  }

  clear(): void {
    this.#shards.fill(undefined)
    this.#size = 0
    this.#bytes = 0
  }

  #shardOf(hash: KeyHash): Shard | undefined {
    return this.#shards[hash.high >>> this.#shift]
  }

  #roomFor(high: number): Shard {
    const number = high >>> this.#shift
    const present = this.#shards[number]
    if (present && present.size < present.capacity * LOAD_MAX) return present
    const capacity = present ? Math.ceil(present.capacity * GROWTH) : CAPACITY_START
    const grown: Shard = { words: new Uint32Array(capacity * WORDS), capacity, size: 0 }
    this.#bytes += grown.words.byteLength - (present?.words.byteLength ?? 0)
    if (present) copyInto(grown, present)
    this.#shards[number] = grown
    return grown
  }
}

/**
 * Two lanes of multiply and xor over UTF-16 units with murmur3's finish (public domain, after cyrb53). Seeded, so that nobody outside can
 * choose keys that meet.
 */
export function hashKey(text: string, seed: number): KeyHash {
  let a = 0xdeadbeef ^ seed
  let b = 0x41c6ce57 ^ seed
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x9e3779b1)
    b = Math.imul(b ^ unit, 0x5f356495)
  }
  const high = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35)
  const low = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35)
  return { high: (high ^ (high >>> 16)) >>> 0, low: (low ^ (low >>> 16)) >>> 0 }
}

/** First word of the entry with this hash, or of the empty slot where it belongs. */
function slotOf(shard: Shard, high: number, low: number): number {
  const { words, capacity } = shard
  for (let slot = homeOf(low, capacity); ; slot = slot + 1 === capacity ? 0 : slot + 1) {
    const at = slot * WORDS
    if (words[at + LENGTH] === 0) return at
    if (words[at + LOW] === low && words[at + HIGH] === high) return at
  }
}

function homeOf(low: number, capacity: number): number {
  return Math.floor((low / 0x1_0000_0000) * capacity)
}

/** Empties a slot and moves back what was pushed past it, so that no search ends too early. */
function vacate(shard: Shard, vacant: number): void {
  const { words, capacity } = shard
  let hole = vacant
  for (let slot = (hole + 1) % capacity; ; slot = (slot + 1) % capacity) {
    const at = slot * WORDS
    if (words[at + LENGTH] === 0) break
    const home = homeOf(word(shard, at + LOW), capacity)
    const distance = (slot - home + capacity) % capacity
    if (distance < (slot - hole + capacity) % capacity) continue
    words.copyWithin(hole * WORDS, at, at + WORDS)
    hole = slot
  }
  words.fill(0, hole * WORDS, hole * WORDS + WORDS)
}

function copyInto(grown: Shard, former: Shard): void {
  for (let at = 0; at < former.words.length; at += WORDS) {
    if (former.words[at + LENGTH] === 0) continue
    const to = slotOf(grown, word(former, at + HIGH), word(former, at + LOW))
    for (let i = 0; i < WORDS; i++) grown.words[to + i] = word(former, at + i)
    grown.size++
  }
}

function word(shard: Shard, at: number): number {
  return shard.words[at] ?? 0
}
