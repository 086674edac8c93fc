import type { Change } from '../distribution/change.ts'

/** What a compacted log keeps: the newest word on each thing, and the newest invalidations. */
export interface FoldedChanges {
  readonly changes: readonly Change[]
  /** Changes up to this number may be missing: who knows less starts over. */
  readonly floor: number
}

export interface FoldBounds {
  /** Undos are counted with them. */
  readonly invalidations: number
  /** Characters of all invalidated paths together. */
  readonly pathCharacters: number
  /** Of each kind: things that were removed or revoked, kept so that followers hear of it and the configuration's own stay away. */
  readonly removals: number
}

export const FOLD_BOUNDS: FoldBounds = {
  invalidations: 100_000,
  pathCharacters: 4 * 1024 * 1024,
  removals: 10_000,
}

/** Drops what a later change overrules, and past the bounds the oldest invalidations and removals, which raises the floor. */
export function foldChanges(
  changes: readonly Change[],
  floor: number,
  bounds: FoldBounds = FOLD_BOUNDS,
): FoldedChanges {
  const places = new DistributionPlaces()
  const seen = new Set<string>()
  const kept = new Set<Change>()
  let invalidations = 0
  let pathCharacters = 0
  const removals = new Map<Change['kind'], number>()
  let raised = floor
  for (const change of changes.toReversed()) {
    if (change.kind === 'invalidation' || change.kind === 'invalidation-undo') {
      invalidations += 1
      for (const path of change.paths) pathCharacters += path.length
      if (invalidations > bounds.invalidations || pathCharacters > bounds.pathCharacters) {
        raised = Math.max(raised, change.seq)
        continue
      }
    } else {
      if (change.kind === 'distribution') places.see(change)
      const subject = subjectOf(change)
      if (seen.has(subject)) continue
      seen.add(subject)
      const removed = change.kind === 'stream-key' ? change.revoked : change.removed
      const count = (removals.get(change.kind) ?? 0) + (removed ? 1 : 0)
      removals.set(change.kind, count)
      if (removed && count > bounds.removals) {
        // Followers are told no keys, so they miss nothing.
        if (change.kind !== 'stream-key') raised = Math.max(raised, change.seq)
        continue
      }
    }
    kept.add(change)
  }
  for (const change of places.kept()) kept.add(change)
  return { changes: changes.filter((change) => kept.has(change)), floor: raised }
}

type DistributionChange = Extract<Change, { kind: 'distribution' }>

/**
 * Of two distributions with one host the first answers, so each keeps its place: where it was made, and behind that its
 * removal, if there was one, which took it from its place before. Sees the newest change first.
 */
class DistributionPlaces {
  readonly #byId = new Map<string, { made?: Change; removed?: Change; known: boolean }>()

  see(change: DistributionChange): void {
    const { id } = change.distribution
    const place = this.#byId.get(id)
    if (!place)
      this.#byId.set(id, change.removed ? { known: true } : { made: change, known: false })
    else if (place.known) return
    else if (change.removed) Object.assign(place, { removed: change, known: true })
    else place.made = change
  }

  *kept(): Generator<Change> {
    for (const { made, removed } of this.#byId.values()) {
      if (removed) yield removed
      if (made) yield made
    }
  }
}

function subjectOf(
  change: Exclude<Change, { kind: 'invalidation' | 'invalidation-undo' }>,
): string {
  switch (change.kind) {
    case 'stream-key':
      return `stream-key ${change.key}`
    case 'distribution':
      return `distribution ${change.distribution.id}`
    case 'origin':
      return `origin ${change.id}`
    default:
      // A newer server's kind: each is kept, because nobody here knows what overrules it.
      return `unknown ${(change satisfies never as Change).seq}`
  }
}
