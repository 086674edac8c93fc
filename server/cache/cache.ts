import { type Deferred, deferred } from '../lib/deferred.ts'
import { Generation, type GenerationOptions, type Room } from './generation.ts'
import { type Evictable, Sieve } from './sieve.ts'
import type { Slice } from './slice.ts'
import { type ObjectFacts, StoredObject, type StoredFields } from './stored-object.ts'

export interface CacheOptions {
  /** Bound of all bytes held, bookkeeping included. */
  readonly memoryBytes: number
  /** Grid of slices; at most an eighth of the bound. */
  readonly sliceBytes?: number | undefined
}

export interface CacheStats {
  readonly bytes: number
  readonly memoryBytes: number
  readonly keys: number
  readonly objects: number
  /** Shared by name; generations of one object are not counted. */
  readonly sharedGenerations: number
  readonly evictions: number
}

const SLICE_BYTES = 1024 * 1024
/** Objects, their maps and header strings: measured on Node 20, rounded up. */
const OBJECT_OVERHEAD_BYTES = 1024
/** Part of the bound that slices on probation may take before they go first. */
const PROBATION_PART = 0.1
/** Answers kept of one key by the request fields that Vary names; the oldest goes. */
const VARIANTS_MAX = 32

interface Entry {
  /** Lower-case names of request fields that choose the variant, sorted. */
  readonly vary: readonly string[]
  readonly variants: Map<string, StoredObject>
}

/**
 * The store: Object ⊃ Generation ⊃ Slice. Objects hold what was said of a URL (freshness, 304 and invalidation touch only them);
 * generations hold immutable bytes and are shared by name. Everything is in memory, under one byte bound that holds while filling.
 */
export class Cache implements Room {
  readonly sliceBytes: number
  readonly #memoryBytes: number
  readonly #main = new Sieve()
  readonly #probation = new Sieve()
  readonly #entries = new Map<string, Entry>()
  readonly #generations = new Map<string, Generation>()
  #objects = 0
  #evictions = 0
  #freed: Deferred<void> | undefined

  constructor(options: CacheOptions) {
    this.#memoryBytes = options.memoryBytes
    const largest = Math.max(1024, Math.floor(options.memoryBytes / 8))
    this.sliceBytes = Math.min(options.sliceBytes ?? SLICE_BYTES, largest)
  }

  get bytes(): number {
    return this.#main.bytes + this.#probation.bytes
  }

  stats(): CacheStats {
    return {
      bytes: this.bytes,
      memoryBytes: this.#memoryBytes,
      keys: this.#entries.size,
      objects: this.#objects,
      sharedGenerations: this.#generations.size,
      evictions: this.#evictions,
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
    this.remove(object)
    return undefined
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
    const variant = names.length === 0 ? '' : variantOf(names, requestFields)
    const entry = this.#entryFor(key, names)
    const former = entry.variants.get(variant)
    const object = new StoredObject(this, key, variant, facts, generation)
    generation.objects++
    entry.variants.set(variant, object)
    this.#objects++
    if (former) this.#replaced(former)
    for (const oldest of entry.variants.values()) {
      if (entry.variants.size <= VARIANTS_MAX) break
      this.remove(oldest)
    }
    const cost = objectCost(object)
    if (this.admit(cost, true)) this.#main.insert(object, cost)
    else this.objectEvicted(object)
    return object
  }

  remove(victim: StoredObject | Slice): void {
    victim.queue?.remove(victim)
    if (victim instanceof StoredObject) this.objectEvicted(victim)
    this.#wake()
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
    while (this.bytes + cost > this.#memoryBytes) {
      const victim = this.#victim(urgent)
      if (!victim) return false
      victim.queue?.remove(victim)
      this.#evictions++
      victim.evicted()
    }
    return true
  }

  insert(slice: Slice, cost: number, probation: boolean): void {
    const queue = probation ? this.#probation : this.#main
    queue.insert(slice, cost)
  }

  settle(slice: Slice, cost: number): void {
    slice.queue?.resize(slice, cost)
    this.#wake()
  }

  freed(): Promise<void> {
    this.#freed ??= deferred()
    return this.#freed.promise
  }

  passed(): void {
    this.#wake()
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

  /** An object that another one replaced under its key. */
  #replaced(object: StoredObject): void {
    object.queue?.remove(object)
    this.#objects--
    object.generation.released()
    this.#wake()
  }

  #entryFor(key: string, vary: readonly string[]): Entry {
    const present = this.#entries.get(key)
    if (present && sameNames(present.vary, vary)) return present
    // The origin names other fields now: what was chosen by the old ones can't be found any more.
    if (present) for (const object of present.variants.values()) this.remove(object)
    const entry = { vary, variants: new Map<string, StoredObject>() }
    this.#entries.set(key, entry)
    return entry
  }

  #victim(urgent: boolean): Evictable | undefined {
    const main = (last: boolean) => this.#main.victim(last)
    // What was read again while on probation is worth keeping.
    const probation = (last: boolean) => this.#probation.victim(last, this.#main)
    const probationFirst = this.#probation.bytes > this.#memoryBytes * PROBATION_PART
    const [first, second] = probationFirst ? [probation, main] : [main, probation]
    return first(false) ?? second(false) ?? (urgent ? (first(true) ?? second(true)) : undefined)
  }

  #wake(): void {
    const freed = this.#freed
    this.#freed = undefined
    freed?.resolve()
  }
}

/** Unambiguous: values are joined with lengths. */
function variantOf(names: readonly string[], fields: StoredFields): string {
  return names
    .map((name) => {
      const value = fields[name]
      const text =
        value === undefined ? undefined : typeof value === 'string' ? value : value.join(', ')
      return text === undefined ? '-' : `${text.length}:${text}`
    })
    .join('')
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index])
}

function objectCost(object: StoredObject): number {
  let characters = object.key.length * 2 + object.variant.length * 2
  for (const text of object.facts.flat) characters += text.length * 3
  return OBJECT_OVERHEAD_BYTES + characters
}
