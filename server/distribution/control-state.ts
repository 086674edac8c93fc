import type { Change } from './change.ts'
import { InvalidationIndex } from './invalidation-index.ts'
import type { Distribution, OriginOptions } from './types.ts'

/** What the configuration gives before the first change. */
export interface ControlSeed {
  readonly distributions: readonly Distribution[]
  readonly origins: Readonly<Record<string, OriginOptions>>
}

/** Control state at one position of the log. A new object after each change that touches it, never changed itself. */
export interface ControlSnapshot {
  readonly seq: number
  readonly distributions: readonly Distribution[]
  readonly origins: Readonly<Record<string, OriginOptions>>
  /** Stream name by key; revoked keys are gone. */
  readonly streamKeys: ReadonlyMap<string, string>
}

/** The fold of the change log over the configuration: the same changes give the same state on every machine. */
export class ControlState {
  readonly invalidations: InvalidationIndex
  readonly #distributions = new Map<string, Distribution>()
  readonly #origins = new Map<string, OriginOptions>()
  readonly #streamKeys = new Map<string, string>()
  #snapshot: ControlSnapshot

  constructor(seed: ControlSeed, invalidations = new InvalidationIndex()) {
    this.invalidations = invalidations
    for (const distribution of seed.distributions)
      this.#distributions.set(distribution.id, distribution)
    for (const [id, options] of Object.entries(seed.origins)) this.#origins.set(id, options)
    this.#snapshot = {
      seq: 0,
      distributions: [...this.#distributions.values()],
      origins: Object.fromEntries(this.#origins),
      streamKeys: new Map(),
    }
  }

  /** Position of the last change applied; 0 before the first. */
  get seq(): number {
    return this.#snapshot.seq
  }

  /** Takes the next change; one that is known already (seq not above the last) is ignored and gives false. */
  apply(change: Change): boolean {
    if (change.seq <= this.#snapshot.seq) return false
    const { seq } = change
    switch (change.kind) {
      case 'invalidation':
        this.invalidations.add(change)
        this.#snapshot = { ...this.#snapshot, seq }
        break
      case 'invalidation-undo': {
        const { of, distribution, paths } = change
        this.invalidations.undo({ seq: of, distribution, paths })
        this.#snapshot = { ...this.#snapshot, seq }
        break
      }
      case 'stream-key':
        if (change.revoked) this.#streamKeys.delete(change.key)
        else this.#streamKeys.set(change.key, change.name)
        this.#snapshot = { ...this.#snapshot, seq, streamKeys: new Map(this.#streamKeys) }
        break
      case 'distribution':
        put(this.#distributions, change.distribution.id, change.distribution, change.removed)
        this.#snapshot = {
          ...this.#snapshot,
          seq,
          distributions: [...this.#distributions.values()],
        }
        break
      case 'origin':
        put(this.#origins, change.id, change.options, change.removed)
        this.#snapshot = { ...this.#snapshot, seq, origins: Object.fromEntries(this.#origins) }
        break
      default:
        // A newer server's kind of change: nothing here depends on it, and the position moves on.
        this.#snapshot = { ...this.#snapshot, seq }
    }
    return true
  }

  /** The state now; cheap, the same object until the next change. */
  snapshot(): ControlSnapshot {
    return this.#snapshot
  }
}

function put<T>(map: Map<string, T>, id: string, value: T, removed: boolean): void {
  if (removed) map.delete(id)
  else map.set(id, value)
}
