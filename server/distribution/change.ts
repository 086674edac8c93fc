import type { Distribution, OriginOptions } from './types.ts'

/** What an invalidation removes. A path may end in `*`, it matches with any query; `#tag` names what the origin tagged so. */
export interface InvalidationChange {
  readonly kind: 'invalidation'
  readonly id: string
  /** Distribution id, or `*` for all. */
  readonly distribution: string
  readonly paths: readonly string[]
  /** What is stored is stale, not gone. */
  readonly soft?: boolean | undefined
}
/** What an invalidation removed is valid again where it is still stored. Names it whole, so that nobody need remember it. */
export interface InvalidationUndoChange {
  readonly kind: 'invalidation-undo'
  /** Of the invalidation, like all that follows. */
  readonly id: string
  readonly of: number
  readonly distribution: string
  readonly paths: readonly string[]
}
export interface StreamKeyChange {
  readonly kind: 'stream-key'
  readonly name: string
  readonly key: string
  readonly revoked: boolean
  /** Of a publisher that stands by for the one with another key of this name. */
  readonly backup?: boolean | undefined
  /** It was replaced, and holds no longer than this; milliseconds since 1970. */
  readonly until?: number | undefined
  /** When it was made, where this change is not the one that made it. */
  readonly createdAt?: number | undefined
}
export interface DistributionChange {
  readonly kind: 'distribution'
  readonly distribution: Distribution
  readonly removed: boolean
}
export interface OriginChange {
  readonly kind: 'origin'
  readonly id: string
  readonly options: OriginOptions
  readonly removed: boolean
}
export type ChangeBody =
  | InvalidationChange
  | InvalidationUndoChange
  | StreamKeyChange
  | DistributionChange
  | OriginChange

/** An entry of the change log; control state is the fold of the log. `at` is milliseconds since 1970. */
export type Change = ChangeBody & { readonly seq: number; readonly at: number }
