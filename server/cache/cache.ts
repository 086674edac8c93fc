import { Generation, type GenerationOptions, type Room } from './generation.ts'
import type { Source } from './fill.ts'
import { Memory } from './memory.ts'
import type { Slice } from './slice.ts'
import { type ObjectFacts, objectCost, StoredObject, type StoredFields } from './stored-object.ts'
import {
  type AnswerName,
  chunksOf,
  type Resting,
  type RestingAnswer,
  type SliceRun,
} from './tier/resting.ts'
import { sameNames, variantOf } from './variant.ts'

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
  /** Bytes of the files of the disk tier, and its records; 0 without one. */
  readonly diskBytes: number
  readonly diskRecords: number
}

const SLICE_BYTES = 1024 * 1024
/** Longest body without a strong etag that rests, since it is read back whole… */
const WHOLE_BYTES_MAX = 8 * 1024 * 1024
/** …and that is written again for newer facts. */
const REWRITTEN_BYTES_MAX = 1024 * 1024
/** Answers kept of one key by the request fields that Vary names; the oldest goes. */
const VARIANTS_MAX = 32

interface Entry {
  /** Lower-case names of request fields that choose the variant, sorted. */
  readonly vary: readonly string[]
  readonly variants: Map<string, StoredObject>
}

/**
 * The store: Object ⊃ Generation ⊃ Slice. Objects hold what was said of a URL (freshness, 304 and invalidation touch only them);
 * generations hold immutable bytes and are shared by name. What is being read is in memory, under one byte bound that holds while filling;
 * what rests is in the tier below, and comes back by `recall`.
 */
export class Cache implements Room {
  readonly sliceBytes: number
  readonly #memory: Memory
  readonly #resting: Resting | undefined
  readonly #entries = new Map<string, Entry>()
  readonly #generations = new Map<string, Generation>()
  /** Objects whose bytes are in no slices that rest, by their generation: what rests is the whole. */
  readonly #wholes = new WeakMap<Generation, StoredObject>()
  #objects = 0

  constructor(options: CacheOptions) {
    this.#memory = new Memory(options.memoryBytes)
    this.#resting = options.resting
    const largest = Math.max(1024, Math.floor(options.memoryBytes / 8))
    this.sliceBytes = Math.min(options.sliceBytes ?? SLICE_BYTES, largest)
  }

  get bytes(): number {
    return this.#memory.bytes
  }

  stats(): CacheStats {
    return {
      bytes: this.bytes,
      memoryBytes: this.#memory.bytesMax,
      keys: this.#entries.size,
      objects: this.#objects,
      sharedGenerations: this.#generations.size,
      evictions: this.#memory.evictions,
      diskBytes: this.#resting?.stats.bytes ?? 0,
      diskRecords: this.#resting?.stats.records ?? 0,
    }
  }

  /** Every answer held hot. Others may come and go between two of them. */
  *each(): Generator<StoredObject, void, undefined> {
    for (const { variants } of this.#entries.values()) yield* variants.values()
  }

  /** The answer stored for this key and these request fields, fresh or not. */
  find(key: string, requestFields: StoredFields): StoredObject | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    const variant = entry.vary.length === 0 ? '' : variantOf(entry.vary, requestFields)
    const object = entry.variants.get(variant)
    if (!object) return undefined
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
    if (this.#resting) this.#rest(this.#resting, object, names)
    return object
  }

  /** What it holds is not to be found any more, here or in the tiers below. */
  remove(victim: StoredObject | Slice): void {
    if (victim instanceof StoredObject) {
      const present = this.#entries.get(victim.key)?.variants.get(victim.variant)
      // What came in its place since is somebody else's.
      if (!present || present === victim) this.#resting?.forget(this.#nameOf(victim))
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
    const generation = new Generation(this, { ...options, id })
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
    return new Generation(this, { ...options, id: undefined })
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
    const small = generation.size !== undefined && generation.size <= this.sliceBytes
    if (small) this.wanted(generation, slice)
  }

  wanted(generation: Generation, slice: Slice): void {
    const resting = this.#resting
    // What is on probation is made into something else that is kept.
    if (!resting || this.#memory.onProbation(slice)) return
    const run = this.#runOf(generation)
    if (!run) {
      const whole = this.#wholes.get(generation)
      if (whole?.rests && !resting.visit(this.#nameOf(whole)))
        this.#restWhole(resting, whole, WHOLE_BYTES_MAX)
      return
    }
    if (slice.start % run.sliceBytes !== 0) return
    if (slice.filled < run.sliceBytes && slice.end < run.size) return
    resting.keepSlice(run, slice.start, slice.bytes.subarray(0, slice.filled))
  }

  filled(generation: Generation): void {
    const object = this.#resting && this.#wholes.get(generation)
    const found = object && this.#entries.get(object.key)?.variants.get(object.variant) === object
    if (found && !object.rests && this.#resting)
      this.#restWhole(this.#resting, object, WHOLE_BYTES_MAX)
  }

  sourceOf(
    generation: Generation,
    start: number,
    end: number,
    origin: Source,
  ): { readonly source: Source; readonly end: number } {
    const run = this.#resting && this.#runOf(generation)
    return run && this.#resting
      ? this.#resting.sourceOf(run, start, end, origin)
      : { source: origin, end }
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

  emptied(generation: Generation): void {
    const { id } = generation
    if (id !== undefined && this.#generations.get(id) === generation) this.#generations.delete(id)
  }

  objectEvicted(object: StoredObject): void {
    const entry = this.#entries.get(object.key)
    if (entry?.variants.get(object.variant) === object) {
      entry.variants.delete(object.variant)
      if (entry.variants.size === 0) this.#entries.delete(object.key)
      this.#objects--
      object.generation.released()
    }
  }

  objectRefreshed(object: StoredObject): void {
    object.queue?.resize(object, objectCost(object))
    this.admit(0, true)
    if (!this.#resting) return
    if (this.#entries.get(object.key)?.variants.get(object.variant) !== object) return
    const whole = this.#wholes.get(object.generation) === object
    if (!whole) this.#rest(this.#resting, object, this.#nameOf(object).vary)
    else this.#restWhole(this.#resting, object, REWRITTEN_BYTES_MAX)
  }

  #keep(
    key: string,
    names: readonly string[],
    requestFields: StoredFields,
    facts: ObjectFacts,
    generation: Generation,
  ): StoredObject {
    const variant = variantOf(names, requestFields)
    const entry = this.#entryFor(key, names)
    const former = entry.variants.get(variant)
    const object = new StoredObject(this, key, variant, facts, generation)
    generation.objects++
    entry.variants.set(variant, object)
    this.#objects++
    if (former) this.#replaced(former)
    for (const oldest of entry.variants.values()) {
      if (entry.variants.size <= VARIANTS_MAX) break
      this.#drop(oldest)
    }
    const cost = objectCost(object)
    if (this.admit(cost, true)) this.#memory.insert(object, cost, false)
    else this.objectEvicted(object)
    return object
  }

  /** Takes an object out of memory. */
  #drop(object: StoredObject): void {
    object.queue?.remove(object)
    this.objectEvicted(object)
    this.#memory.wake()
  }

  /** Gives a new answer to the tiers below: now when its bytes are in slices of their own, else when all are here. */
  #rest(resting: Resting, object: StoredObject, vary: readonly string[]): void {
    const { key, variant, generation, facts } = object
    const { id, etag, size, rangeable } = generation
    const name = { key, vary, variant }
    if (facts.failure) return resting.forget(name)
    if (!rangeable || etag === undefined || size === undefined) {
      resting.forget(name)
      this.#wholes.set(generation, object)
      return
    }
    generation.restName ??= id ?? `${key}\n${variant}\n${etag}`
    const bytes = { kind: 'slices', name: generation.restName, id, etag, size } as const
    resting.keep(name, facts, bytes, [])
  }

  #restWhole(resting: Resting, object: StoredObject, bytesMax: number): void {
    const { generation, facts } = object
    const { size = Number.POSITIVE_INFINITY, etag } = generation
    const body = size <= bytesMax ? generation.whole(size) : undefined
    const name = this.#nameOf(object)
    object.rests = body !== undefined
    if (body) resting.keep(name, facts, { kind: 'whole', etag }, body)
    else resting.forget(name)
  }

  async #recall(
    resting: Resting,
    key: string,
    requestFields: StoredFields,
  ): Promise<StoredObject | undefined> {
    const answer = await resting.answer(key, (vary) => variantOf(vary, requestFields))
    // Somebody else's, or the origin's, may have come meanwhile.
    const present = this.find(key, requestFields)
    if (present || !answer) return present
    const generation = this.#generationFor(answer)
    const object = this.#keep(key, answer.vary, requestFields, answer.facts, generation)
    object.rests = true
    if (answer.bytes.kind === 'whole') this.#wholes.set(generation, object)
    return object
  }

  #generationFor({ bytes, body }: RestingAnswer): Generation {
    if (bytes.kind === 'slices') {
      const { name, id, etag, size } = bytes
      const options = { etag, size, rangeable: true }
      const generation =
        id === undefined ? this.ownGeneration(options) : this.sharedGeneration(id, options)
      generation.restName = name
      return generation
    }
    const { etag } = bytes
    const size = body.length
    const generation = this.ownGeneration({ etag, size, rangeable: false })
    // Those who asked take their places before the hold is released.
    const hold = generation.hold()
    setImmediate(() => hold[Symbol.dispose]())
    const run = { start: 0, body: chunksOf(body) }
    generation.fillFrom(run, size, undefined, new AbortController())
    return generation
  }

  #runOf({ restName, size }: Generation): SliceRun | undefined {
    if (restName === undefined || size === undefined) return undefined
    return { name: restName, size, sliceBytes: this.sliceBytes }
  }

  #nameOf({ key, variant }: StoredObject): AnswerName {
    return { key, vary: this.#entries.get(key)?.vary ?? [], variant }
  }

  /** An object that another one replaced under its key. */
  #replaced(object: StoredObject): void {
    object.queue?.remove(object)
    this.#objects--
    object.generation.released()
    this.#memory.wake()
  }

  #entryFor(key: string, vary: readonly string[]): Entry {
    const present = this.#entries.get(key)
    if (present && sameNames(present.vary, vary)) return present
    // The origin names other fields now: what was chosen by the old ones can't be found any more.
    if (present) for (const object of present.variants.values()) this.#drop(object)
    const entry = { vary, variants: new Map<string, StoredObject>() }
    this.#entries.set(key, entry)
    return entry
  }
}
