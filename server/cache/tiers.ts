import type { Source } from './fill.ts'
import type { Generation } from './generation.ts'
import type { Memory } from './memory.ts'
import { CROWDED_BODY_MAX, Packed, PACKED_BODY_MAX, packedBytesOf } from './packed.ts'
import type { Shortage } from './sieve.ts'
import type { Slice } from './slice.ts'
import { objectOf, type StoredObject } from './stored-object.ts'
import type { Resting, SliceRun } from './tier/resting.ts'

/** Longest body without a strong etag that rests, since it is read back whole… */
const WHOLE_BYTES_MAX = 8 * 1024 * 1024
/** …and that is written again for newer facts. */
const REWRITTEN_BYTES_MAX = 1024 * 1024

/** What the cache gives to the tiers below its hot objects: packed memory for what falls out, the disk for what has been filled. */
export class Tiers {
  readonly #packed: Packed
  readonly #resting: Resting | undefined
  readonly #sliceBytes: number

  constructor(packed: Packed, resting: Resting | undefined, sliceBytes: number) {
    this.#packed = packed
    this.#resting = resting
    this.#sliceBytes = sliceBytes
  }

  /** A new answer of an origin: it rests now when its bytes are in slices of their own, else when all are here. */
  stored(object: StoredObject): void {
    this.#packed.forget(object)
    const resting = this.#resting
    if (!resting) return
    const { key, variant, generation, facts } = object
    const { id, etag, size, rangeable } = generation
    if (facts.failure || !rangeable || etag === undefined || size === undefined)
      return resting.forget(object)
    generation.restName ??= id ?? `${key}\n${variant}\n${etag}`
    const bytes = { kind: 'slices', name: generation.restName, id, etag, size } as const
    resting.keep(object, facts, bytes, [])
  }

  /** The same bytes, newer facts. */
  refreshed(object: StoredObject): void {
    object.packed = false
    this.#packed.forget(object)
    if (object.generation.rangeable) this.stored(object)
    else if (this.#resting) this.#restWhole(this.#resting, object, REWRITTEN_BYTES_MAX)
  }

  /** Nothing of this name is to be found any more. */
  forget(object: StoredObject): void {
    this.#packed.forget(object)
    this.#resting?.forget(object)
  }

  /** Every byte of an answer is here. */
  filled(object: StoredObject): void {
    const waits = !object.generation.rangeable && !object.rests
    if (waits && this.#resting) this.#restWhole(this.#resting, object, WHOLE_BYTES_MAX)
  }

  /** A slice was completed, or is read again. */
  wanted(generation: Generation, slice: Slice): void {
    const resting = this.#resting
    if (!resting) return
    const run = this.#runOf(generation)
    if (!run) {
      const whole = generation.rangeable ? undefined : objectOf(generation)
      if (whole?.rests && !resting.visit(whole)) this.#restWhole(resting, whole, WHOLE_BYTES_MAX)
      return
    }
    if (slice.start % run.sliceBytes !== 0) return
    if (slice.filled < run.sliceBytes && slice.end < run.size) return
    resting.keepSlice(run, slice.start, slice.bytes.subarray(0, slice.filled))
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

  /** An object falls out of the hot ones: packed when it is small and whole. False when it is not, and so is gone. */
  pack(object: StoredObject, of: Shortage, memory: Memory): boolean {
    const { facts, generation } = object
    const longest = Math.min(of === 'count' ? CROWDED_BODY_MAX : PACKED_BODY_MAX, this.#sliceBytes)
    const { size } = generation
    if (facts.failure || !generation.usable || size === undefined || size > longest) return false
    if (object.packed && this.#packed.holds(object)) return true
    const body = generation.whole(size)
    if (!body) return false
    const mayGrow = () => memory.mayPack(this.#packed.slabBytes)
    return this.#packed.keep(object, facts, packedBytesOf(object), body, mayGrow)
  }

  #restWhole(resting: Resting, object: StoredObject, bytesMax: number): void {
    const { generation, facts } = object
    const { etag, size = Number.POSITIVE_INFINITY } = generation
    const body = size <= bytesMax ? generation.whole(size) : undefined
    object.rests = body !== undefined
    if (body) resting.keep(object, facts, { kind: 'whole', etag }, body)
    else resting.forget(object)
  }

  #runOf({ restName, size }: Generation): SliceRun | undefined {
    if (restName === undefined || size === undefined) return undefined
    return { name: restName, size, sliceBytes: this.#sliceBytes }
  }
}
