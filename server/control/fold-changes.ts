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
  const seen = new Set<string>()
  const kept: Change[] = []
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
      const subject = subjectOf(change)
      if (seen.has(subject)) continue
      seen.add(subject)
      const removed = change.kind === 'stream-key' ? change.revoked : change.removed
      const count = (removals.get(change.kind) ?? 0) + (removed ? 1 : 0)
      removals.set(change.kind, count)
      if (removed && count > bounds.removals) {
        raised = Math.max(raised, change.seq)
        continue
      }
    }
    kept.push(change)
  }
  return { changes: kept.reverse(), floor: raised }
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
