import { Entries } from './entries.ts'
import { Generation, type GenerationOptions, type Room } from './generation.ts'
import type { Source } from './fill.ts'
import { Memory } from './memory.ts'
import { Packed, PACKED_BODY_MAX, type PackedFacts } from './packed.ts'
import type { Shortage } from './sieve.ts'
import type { Slice } from './slice.ts'
import {
  type CheckedValidity,
  type ObjectFacts,
  objectCost,
  objectOf,
  StoredObject,
  type StoredFields,
} from './stored-object.ts'
import { chunksOf, type Resting, type RestingAnswer } from './tier/resting.ts'
import { Tiers } from './tiers.ts'
import { variantOf } from './variant.ts'

export interface CacheOptions {
  /** Bound of all bytes held, bookkeeping included. */
  readonly memoryBytes: number
  /** Grid of slices; at most an eighth of the bound. */
  readonly sliceBytes?: number | undefined
  /** Where answers rest beside memory. The cache's owner closes it after the last answer. */
  readonly resting?: Resting | undefined
}

export interface CacheStats {
  readonly bytes: number
  readonly memoryBytes: number
  readonly keys: number
  readonly objects: number
  /** Shared by name; generations of one object are not counted. */
  readonly sharedGenerations: number
  readonly evictions: number
  /** Answers packed in memory beside the hot ones, and what of `bytes` they take. */
  readonly packedRecords: number
  readonly packedBytes: number
  readonly packedIndexBytes: number
  /** Bytes of the files of the disk tier, and its records; 0 without one. */
  readonly diskBytes: number
  readonly diskRecords: number
}

const SLICE_BYTES = 1024 * 1024

/**
 * The store: Object ⊃ Generation ⊃ Slice. Objects hold what was said of a URL (freshness, 304 and invalidation touch only them);
 * generations hold immutable bytes and are shared by name. What is being read is hot: objects under one byte bound that holds while
 * filling. Small answers that fall out are packed under the same bound and come back at once; what rests below comes back by `recall`.
 */
export class Cache implements Room {
  readonly sliceBytes: number
  readonly #packed: Packed
  readonly #memory: Memory
  readonly #resting: Resting | undefined
  readonly #tiers: Tiers
  readonly #entries = new Entries()
  readonly #generations = new Map<string, Generation>()

  constructor({ memoryBytes, resting, sliceBytes = SLICE_BYTES }: CacheOptions) {
    const largest = Math.max(1024, Math.floor(memoryBytes / 8))
    this.sliceBytes = Math.min(sliceBytes, largest)
    this.#packed = new Packed(memoryBytes)
    this.#memory = new Memory(memoryBytes, this.#packed)
    this.#resting = resting
    this.#tiers = new Tiers(this.#packed, resting, this.sliceBytes)
  }

  get bytes(): number {
    return this.#memory.bytes
  }

  stats(): CacheStats {
    return {
      bytes: this.bytes,
      memoryBytes: this.#memory.bytesMax,
      keys: this.#entries.keys,
      objects: this.#entries.objects,
      sharedGenerations: this.#generations.size,
      evictions: this.#memory.evictions,
      packedRecords: this.#packed.records,
      packedBytes: this.#packed.bytes,
      packedIndexBytes: this.#packed.indexBytes,
      diskBytes: this.#resting?.stats.bytes ?? 0,
      diskRecords: this.#resting?.stats.records ?? 0,
    }
  }

  /** Every answer held hot. Others may come and go between two of them. */
  each(): Generator<StoredObject, void, undefined> {
    return this.#entries.all()
  }

  /** Every answer that is packed and not hot, and the bytes of its body; undefined for each other record, so that the walk can be left. */
  eachPacked(): Generator<PackedFacts | undefined, void, undefined> {
    return this.#packed.all(({ key, variant }) => this.#entries.get(key, variant) !== undefined)
  }

  /** The answer stored for this key and these request fields, fresh or not. */
  find(key: string, requestFields: StoredFields): StoredObject | undefined {
    const object = this.#entries.find(key, requestFields)
    if (!object) return this.#unpack(key, requestFields)
    if (object.generation.usable) {
      object.visited = true
      return object
    }
    if (object.generation.outdated) this.remove(object)
    else this.#drop(object)
    return undefined
  }

  /**
   * What rests of this key in the tiers below memory, as if it had stayed; undefined at once when nothing can. For those for whom `find`
   * has nothing.
   */
  recall(key: string, requestFields: StoredFields): Promise<StoredObject | undefined> | undefined {
    const resting = this.#resting
    return resting?.holds(key) ? this.#recall(resting, key, requestFields) : undefined
  }

  /** What `recall` would bring, as it lies there: nothing of it becomes hot. */
  async look(key: string, requestFields: StoredFields): Promise<ObjectFacts | undefined> {
    const resting = this.#resting
    if (!resting?.holds(key)) return undefined
    const answer = await resting.answer(key, (vary) => variantOf(vary, requestFields))
    return answer?.facts
  }

  /** An unsafe request succeeded (RFC 9111 §4.4): what rests of this path from before `at`, milliseconds since 1970, is old. */
  forgetPath(distribution: string, path: string, at: number): void {
    this.#resting?.forgetPath(distribution, path, at)
  }

  /** Keeps an answer in place of the one it had for this key and variant. `vary`: what the answer's Vary names, never `*`. */
  store(
    key: string,
    vary: readonly string[],
    requestFields: StoredFields,
    facts: ObjectFacts,
    generation: Generation,
  ): StoredObject {
    const names = [...new Set(vary.map((name) => name.toLowerCase()))].sort()
    const object = this.#keep(key, names, requestFields, facts, generation)
    this.#tiers.stored(object)
    return object
  }

  /** What it holds is not to be found any more, here or in the tiers below. */
  remove(victim: StoredObject | Slice): void {
    if (victim instanceof StoredObject) {
      const present = this.#entries.get(victim.key, victim.variant)
      // What came in its place since is somebody else's.
      if (!present || present === victim) this.#tiers.forget(victim)
      this.#drop(victim)
      return
    }
    victim.queue?.remove(victim)
    this.#memory.wake()
  }

  /** The generation shared under this name; another size or a closed one is replaced. */
  sharedGeneration(id: string, options: Omit<GenerationOptions, 'id'>): Generation {
    const present = this.#generations.get(id)
    if (present?.usable && present.size === options.size) return present
    const generation = new Generation(this, { id, ...options })
    this.#generations.set(id, generation)
    return generation
  }

  /** The generation shared under this name, when it is here. */
  findGeneration(id: string): Generation | undefined {
    const present = this.#generations.get(id)
    return present?.usable ? present : undefined
  }

  /** A generation of one object's own. */
  ownGeneration(options: Omit<GenerationOptions, 'id'>): Generation {
    return new Generation(this, { id: undefined, ...options })
  }

  admit(cost: number, urgent: boolean): boolean {
    return this.#memory.admit(cost, urgent)
  }

  insert(slice: Slice, cost: number, probation: boolean): void {
    this.#memory.insert(slice, cost, probation)
  }

  settle(generation: Generation, slice: Slice, cost: number): void {
    slice.queue?.resize(slice, cost)
    this.#memory.wake()
    // A small body rests at once; of others, what is read again.
    const { size = Number.POSITIVE_INFINITY } = generation
    if (size <= this.sliceBytes) this.wanted(generation, slice)
    if (size <= PACKED_BODY_MAX && generation.object) this.#memory.freshen(slice)
  }

  wanted(generation: Generation, slice: Slice): void {
    // What is on probation is made into something else that is kept.
    if (!this.#memory.onProbation(slice)) this.#tiers.wanted(generation, slice)
  }

  filled(generation: Generation): void {
    const object = objectOf(generation)
    if (object && this.#entries.has(object)) this.#tiers.filled(object)
  }

  sourceOf(
    generation: Generation,
    start: number,
    end: number,
    origin: Source,
  ): { readonly source: Source; readonly end: number } {
    return this.#tiers.sourceOf(generation, start, end, origin)
  }

  /** True when all these bytes of the generation shared under this name are here or rest below. */
  rests(id: string, size: number, start: number, end: number): boolean {
    const run = { name: id, size, sliceBytes: this.sliceBytes }
    return this.#resting?.holdsSlices(run, start, end) ?? false
  }

  freed(): Promise<void> {
    return this.#memory.freed()
  }

  passed(): void {
    this.#memory.wake()
  }

  leaving(generation: Generation, of: Shortage): void {
    const object = objectOf(generation)
    if (!object || generation.objects !== 1 || !this.#entries.has(object)) return
    // Without the slice nobody can be given it: the object goes too.
    if (this.#tiers.pack(object, of, this.#memory) || !generation.rangeable) this.#drop(object)
  }

  emptied(generation: Generation): void {
    const { id } = generation
    if (id !== undefined && this.#generations.get(id) === generation) this.#generations.delete(id)
  }

  objectEvicted(object: StoredObject, of: Shortage): void {
    if (!this.#entries.has(object)) return
    this.#tiers.pack(object, of, this.#memory)
    this.#drop(object)
  }

  objectTold(object: StoredObject): void {
    if (object.passing && !this.#entries.get(object.key, object.variant)) this.#settleIn(object)
  }

  objectChecked(object: StoredObject, checked: CheckedValidity): void {
    if (object.packed) this.#packed.learn(object, checked)
  }

  objectRefreshed(object: StoredObject): void {
    const { key, variant, facts } = object
    if (object.passing) this.#settleIn(object)
    object.queue?.resize(object, objectCost(key, variant, facts))
    this.admit(0, true)
    if (this.#entries.has(object)) this.#tiers.refreshed(object)
  }

  #keep(
    key: string,
    vary: readonly string[],
    requestFields: StoredFields,
    facts: ObjectFacts,
    generation: Generation,
  ): StoredObject {
    const variant = variantOf(vary, requestFields)
    const object = new StoredObject(this, { key, vary, variant }, facts, generation)
    generation.objects++
    generation.object = object
    this.#put(object)
    const cost = objectCost(key, variant, facts)
    if (this.admit(cost, true)) this.#memory.insert(object, cost, false)
    else this.#drop(object)
    return object
  }

  #put(object: StoredObject): void {
    for (const lost of this.#entries.put(object)) {
      lost.queue?.remove(lost)
      lost.generation.released(lost)
      this.#memory.wake()
    }
  }

  /** Takes an object out of memory. */
  #drop(object: StoredObject): void {
    object.queue?.remove(object)
    if (this.#entries.remove(object)) object.generation.released(object)
    this.#memory.wake()
  }

  /** A packed answer: hot when it is asked for again and again, else for the one who asks. */
  #unpack(key: string, requestFields: StoredFields): StoredObject | undefined {
    const answer = this.#packed.answer(key, (vary) => variantOf(vary, requestFields))
    if (!answer) return undefined
    const { again, bytes, body, facts, vary, checked } = answer
    if (again || body.length > PACKED_BODY_MAX) {
      const object = this.#restore(key, requestFields, answer)
      if (!object) return undefined
      object.packed = true
      object.checked = checked
      return object
    }
    const rangeable = bytes.kind === 'slices'
    const generation = this.ownGeneration({ etag: bytes.etag, size: body.length, rangeable })
    if (rangeable) generation.restName = bytes.name
    generation.show(body)
    const name = { key, vary, variant: variantOf(vary, requestFields) }
    const object = new StoredObject(this, name, facts, generation)
    generation.objects = 1
    generation.object = object
    object.packed = true
    object.rests = true
    object.checked = checked
    object.passing = true
    return object
  }

  /** Makes an object that was made for one who asked a hot one. */
  #settleIn(object: StoredObject): void {
    object.passing = false
    const { key, variant, facts, generation } = object
    const slice = generation.sliceAt(0)
    const cost = objectCost(key, variant, facts)
    if (!this.admit(cost + (slice?.memory ?? 0), true)) return
    this.#put(object)
    this.#memory.insert(object, cost, false)
    if (slice) this.#memory.insert(slice, slice.memory, false)
  }

  async #recall(
    resting: Resting,
    key: string,
    requestFields: StoredFields,
  ): Promise<StoredObject | undefined> {
    const answer = await resting.answer(key, (vary) => variantOf(vary, requestFields))
    // Somebody else's, or the origin's, may have come meanwhile.
    const present = this.find(key, requestFields)
    return present ?? (answer && this.#restore(key, requestFields, answer))
  }

  /** An answer from a tier below as a hot one; undefined when there is no room for it. */
  #restore(
    key: string,
    requestFields: StoredFields,
    answer: RestingAnswer,
  ): StoredObject | undefined {
    const { bytes, body, facts, vary } = answer
    const generation = this.#generationOf(answer)
    if (bytes.kind === 'slices') generation.restName ??= bytes.name
    const cost = objectCost(key, variantOf(vary, requestFields), facts)
    const fits =
      body.length <= this.sliceBytes ? generation.adopt(body, cost) : this.#refill(generation, body)
    if (!fits) return undefined
    const object = this.#keep(key, vary, requestFields, facts, generation)
    object.rests = true
    if (this.#entries.has(object) && generation.usable) return object
    this.#drop(object)
    return undefined
  }

  #generationOf({ bytes, body }: RestingAnswer): Generation {
    const { etag } = bytes
    if (bytes.kind === 'whole')
      return this.ownGeneration({ etag, size: body.length, rangeable: false })
    const { id, size } = bytes
    const options = { etag, size, rangeable: true }
    return id === undefined ? this.ownGeneration(options) : this.sharedGeneration(id, options)
  }

  /** A whole body from below: what is read before it is in slices counts too. False when there is no room. */
  #refill(generation: Generation, body: Buffer): boolean {
    const { length } = body
    const memory = this.#memory
    if (!memory.lend(length)) return false
    async function* lent(): AsyncGenerator<Buffer, void, undefined> {
      try {
        yield* chunksOf(body)
      } finally {
        memory.lend(-length)
      }
    }
    // Those who asked take their places before the hold is released.
    const hold = generation.hold()
    setImmediate(() => hold[Symbol.dispose]())
    const run = { start: 0, body: lent() }
    generation.fillFrom(run, length, undefined, new AbortController())
    return true
  }
}
