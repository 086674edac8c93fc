import type { Cache } from '../cache/cache.ts'
import type { Generation } from '../cache/generation.ts'
import type { ObjectFacts } from '../cache/stored-object.ts'
import { InvalidationIndex } from '../distribution/invalidation-index.ts'
import type { Clock } from '../lib/clock.ts'
import { type Changes, validityOf } from './decide.ts'

/** What an invalidation would take at this edge. */
export interface InvalidationPreview {
  readonly objects: number
  /** Held of their bodies; bytes that several of them share count once. */
  readonly bytes: number
  readonly examples: readonly string[]
}

/** Looked at in one go; between two, viewers are served. */
const AT_ONCE_MS = 2
/** Between two looks at the clock. */
const AT_ONCE = 16

/** Counts what these names would take that is not taken already, over all that the cache holds. Rejects with the signal's reason. */
export async function previewInvalidation(
  {
    cache,
    clock,
    changes,
  }: { readonly cache: Cache; readonly clock: Clock; readonly changes: () => Changes },
  names: { readonly distribution: string; readonly paths: readonly string[] },
  options: { readonly examples: number; readonly signal: AbortSignal },
): Promise<InvalidationPreview> {
  const taken = new InvalidationIndex()
  taken.add({ seq: 1, ...names })
  const generations = new Set<Generation>()
  const examples = new Set<string>()
  let objects = 0
  let bytes = 0
  let looked = 0
  let began = clock.monotonic()
  const pause = (): Promise<void> | undefined => {
    looked++
    if (looked % AT_ONCE !== 0 || clock.monotonic() - began < AT_ONCE_MS) return undefined
    options.signal.throwIfAborted()
    return new Promise((resolve) =>
      setImmediate(() => {
        began = clock.monotonic()
        resolve()
      }),
    )
  }
  const takes = (facts: ObjectFacts) => {
    const { distribution, path, tags = [] } = facts
    if (taken.check({ distribution, path, tags }, 0).kind === 'valid') return false
    if (validityOf({ facts, restUntil: 0 }, changes()).kind === 'gone') return false
    objects++
    if (examples.size < options.examples) examples.add(path)
    return true
  }
  for (const { facts, generation } of cache.each()) {
    const turn = pause()
    if (turn) await turn
    if (!takes(facts)) continue
    if (!generations.has(generation)) bytes += generation.heldBytes
    generations.add(generation)
  }
  for (const packed of cache.eachPacked()) {
    const turn = pause()
    if (turn) await turn
    if (packed && takes(packed.facts)) bytes += packed.bytes
  }
  return { objects, bytes, examples: [...examples] }
}
