import { systemRandom } from '../lib/random.ts'
import { KnownValid } from './known-valid.ts'
import type { CheckedValidity, ObjectFacts, StoredObject } from './stored-object.ts'
import {
  type RestingBytes,
  readAnswerMeta,
  readVaryMeta,
  writeAnswerMeta,
} from './tier/answer-meta.ts'
import { type AnswerName, answerRecord, keyRecord } from './tier/record-names.ts'
import type { StoredRecord } from './tier/record.ts'
import type { RestingAnswer } from './tier/resting.ts'
import { SlabStore } from './tier/slab-store.ts'

/** A slab, and how many of them the bound of the cache is at least. */
const SLAB_BYTES = 1024 * 1024
const SLABS = 32
/** Smallest slab that is worth its records' headers. */
const SLAB_BYTES_MIN = 4 * 1024
const SHARD_BITS_MAX = 10
/** Longest body that is packed to save room: what an object takes beside its bytes weighs little in longer ones… */
export const PACKED_BODY_MAX = 16 * 1024
/** …and to save objects, when there are too many. */
export const CROWDED_BODY_MAX = 192 * 1024

/** Answers asked for lately that are told apart: as many as are hot at most. */
const LATELY = 4096

/** An answer as it is packed; `again`: it was asked for lately. */
export interface PackedAnswer extends RestingAnswer {
  readonly again: boolean
  /** What is known of it still. */
  readonly checked: CheckedValidity | undefined
}

export interface PackedFacts {
  readonly facts: ObjectFacts
  /** Of its body. */
  readonly bytes: number
}

/** Small whole answers packed into slabs of memory: what they say is read when somebody asks for them. */
export class Packed {
  readonly #slabs: SlabStore
  /** By the lower half of a name's hash the upper half of who was asked for last. */
  readonly #lately = new Uint32Array(LATELY)
  readonly #valid: KnownValid

  constructor(memoryBytes: number) {
    const slabBytes = Math.min(SLAB_BYTES, Math.floor(memoryBytes / SLABS))
    this.#valid = new KnownValid(memoryBytes)
    const shardBits = Math.ceil(Math.log2(Math.max(2, memoryBytes / SLAB_BYTES)))
    this.#slabs = new SlabStore({
      slabBytes: Math.max(SLAB_BYTES_MIN, slabBytes),
      seed: systemRandom.bytes(4).readUInt32LE(0),
      shardBits: Math.min(SHARD_BITS_MAX, shardBits),
    })
  }

  get bytes(): number {
    return this.#slabs.bytes + this.#valid.bytes
  }
  get indexBytes(): number {
    return this.#slabs.indexBytes
  }
  get slabBytes(): number {
    return this.#slabs.slabBytes
  }
  get records(): number {
    return this.#slabs.records
  }

  /** Gives up the oldest; false when nothing is packed. */
  shrink(): boolean {
    return this.#slabs.shrink()
  }

  /** The answer of this key for whom `variantOf` chooses. Its body is a view: copied before anything else is asked of the cache. */
  answer(key: string, variantOf: (vary: readonly string[]) => string): PackedAnswer | undefined {
    let vary: readonly string[] = []
    let name = keyRecord(key)
    let record = this.#slabs.read(name)
    if (record?.kind === 'vary') {
      const names = readVaryMeta(record.meta)
      if (!names) return undefined
      vary = names
      name = answerRecord({ key, vary, variant: variantOf(vary) })
      record = this.#slabs.read(name)
    }
    if (record?.kind !== 'object') return undefined
    const meta = readAnswerMeta(record.meta)
    if (!meta) return undefined
    const hash = this.#slabs.hash(name)
    const { high, low } = hash
    const again = this.#lately[low % LATELY] === high
    this.#lately[low % LATELY] = high
    const { facts, bytes } = meta
    const checked = this.#valid.of(hash, facts)
    return { facts, bytes, vary, body: record.body, again, checked }
  }

  /** The invalidations were asked of what lies here. */
  learn(name: AnswerName, checked: CheckedValidity): void {
    this.#valid.learn(this.#slabs.hash(answerRecord(name)), checked)
  }

  /** True when it lies here as it is. */
  holds(name: AnswerName): boolean {
    return this.#slabs.has(answerRecord(name)) && this.#chosenBy(name)
  }

  /** Keeps an answer with its body. False when it is too long. */
  keep(
    name: AnswerName,
    facts: ObjectFacts,
    bytes: RestingBytes,
    body: readonly Uint8Array[],
    mayGrow: () => boolean,
  ): boolean {
    const { key, vary } = name
    if (vary.length > 0 && !this.#chosenBy(name)) {
      const meta = JSON.stringify(vary)
      const said = { kind: 'vary', key: keyRecord(key), meta, body: [] } as const
      if (!this.#slabs.write(said, mayGrow)) return false
    }
    this.#valid.forget(this.#slabs.hash(answerRecord(name)))
    const meta = writeAnswerMeta({ facts, run: '', bytes })
    return this.#slabs.write({ kind: 'object', key: answerRecord(name), meta, body }, mayGrow)
  }

  /** Another answer than what lies here, or none, is the one of this name from now on. */
  forget(name: AnswerName): void {
    const record = answerRecord(name)
    this.#valid.forget(this.#slabs.hash(record))
    this.#slabs.forget(record)
    // So are the key's answers that other fields chose.
    if (!this.#chosenBy(name)) this.#slabs.forget(keyRecord(name.key))
  }

  /** All answers here whose name `held` does not know, undefined for each other record. Others may come and go between two of them. */
  *all(
    held: (name: Pick<AnswerName, 'key' | 'variant'>) => boolean,
  ): Generator<PackedFacts | undefined, void, undefined> {
    for (const record of this.#slabs.all()) {
      const name = record?.kind === 'object' ? nameOf(record) : undefined
      const meta = record && name && !held(name) ? readAnswerMeta(record.meta) : undefined
      yield record && meta && { facts: meta.facts, bytes: record.body.length }
    }
  }

  /** Whether the key's answers here are chosen by the fields of this name. */
  #chosenBy({ key, vary }: AnswerName): boolean {
    const name = keyRecord(key)
    const kind = this.#slabs.kindOf(name)
    if (vary.length === 0 || kind !== 'vary') return vary.length === 0 && kind === 'object'
    return this.#slabs.read(name)?.meta === JSON.stringify(vary)
  }
}

/** What an answer takes whose facts and body lie in its record: as whole bytes, or as those of a generation that can be asked for again. */
export function packedBytesOf({ key, variant, generation }: StoredObject): RestingBytes {
  const { id, etag, size, rangeable, restName } = generation
  if (!rangeable || etag === undefined || size === undefined) return { kind: 'whole', etag }
  const name = restName ?? id ?? `${key}\n${variant}\n${etag}`
  return { kind: 'slices', name, id, etag, size }
}

function nameOf({ key: name }: StoredRecord): Pick<AnswerName, 'key' | 'variant'> | undefined {
  if (name.startsWith('o')) return { key: name.slice(1), variant: '' }
  try {
    const parts: unknown = JSON.parse(name.slice(1))
    if (!Array.isArray(parts)) return undefined
    const [key, , variant]: unknown[] = parts
    return typeof key === 'string' && typeof variant === 'string' ? { key, variant } : undefined
  } catch {
    return undefined
  }
}
