import type { StoredFields, StoredObject } from './stored-object.ts'
import { sameNames, variantOf } from './variant.ts'

interface Entry {
  /** Lower-case names of request fields that choose the variant, sorted. */
  readonly vary: readonly string[]
  readonly variants: Map<string, StoredObject>
}

/** Answers kept of one key by the request fields that Vary names; the oldest goes. */
const VARIANTS_MAX = 32

/** The hot objects by key and variant. */
export class Entries {
  readonly #byKey = new Map<string, Entry>()
  #objects = 0

  get keys(): number {
    return this.#byKey.size
  }
  get objects(): number {
    return this.#objects
  }

  *all(): Generator<StoredObject, void, undefined> {
    for (const { variants } of this.#byKey.values()) yield* variants.values()
  }

  find(key: string, requestFields: StoredFields): StoredObject | undefined {
    const entry = this.#byKey.get(key)
    const variant = entry && entry.vary.length > 0 ? variantOf(entry.vary, requestFields) : ''
    return entry?.variants.get(variant)
  }

  get(key: string, variant: string): StoredObject | undefined {
    return this.#byKey.get(key)?.variants.get(variant)
  }

  has(object: StoredObject): boolean {
    return this.get(object.key, object.variant) === object
  }

  /** Keeps an object; gives those that are not to be found any more because of it. */
  put(object: StoredObject): readonly StoredObject[] {
    const { key, vary, variant } = object
    const lost: StoredObject[] = []
    let entry = this.#byKey.get(key)
    // The origin names other fields now: what was chosen by the old ones can't be found any more.
    if (entry && !sameNames(entry.vary, vary)) {
      lost.push(...entry.variants.values())
      entry = undefined
    }
    if (!entry) {
      entry = { vary, variants: new Map() }
      this.#byKey.set(key, entry)
    }
    const { variants } = entry
    const former = variants.get(variant)
    if (former) lost.push(former)
    variants.set(variant, object)
    for (const [name, oldest] of variants) {
      if (variants.size <= VARIANTS_MAX) break
      variants.delete(name)
      lost.push(oldest)
    }
    this.#objects += 1 - lost.length
    return lost
  }

  /** False when it was not here. */
  remove(object: StoredObject): boolean {
    const entry = this.#byKey.get(object.key)
    if (entry?.variants.get(object.variant) !== object) return false
    entry.variants.delete(object.variant)
    if (entry.variants.size === 0) this.#byKey.delete(object.key)
    this.#objects--
    return true
  }
}
