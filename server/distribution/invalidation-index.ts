import { PrefixTree } from './prefix-tree.ts'

/** What is invalidated, where, and as which change of a log. */
export interface InvalidationEntry {
  readonly seq: number
  /** Distribution id, or `*` for all. */
  readonly distribution: string
  /** Absolute paths, a closing `*` means everything that begins so; or `#tag`. */
  readonly paths: readonly string[]
  /** What is stored is stale, not gone. */
  readonly soft?: boolean | undefined
  /** Milliseconds since 1970; without it nothing can be undone. */
  readonly at?: number | undefined
}

/** How something stored stands: `since` is when it was made stale, in milliseconds since 1970. */
export type Validity =
  | { readonly kind: 'valid' }
  | { readonly kind: 'stale'; readonly since: number }
  | { readonly kind: 'gone' }

export interface Named {
  readonly distribution: string
  readonly path: string
  /** As `tagsOf` gives them; `unknown`: any tag may be its own. */
  readonly tags: readonly string[] | 'unknown'
}

export interface IndexBounds {
  /** Paths, prefixes and tags. */
  readonly entries: number
  readonly characters: number
}

/** So long after it was made an invalidation may be undone, in milliseconds. */
export const UNDO_MS = 60_000

const BOUNDS: IndexBounds = { entries: 250_000, characters: 32 * 1024 * 1024 }
/** Invalidations of one name that are told apart so that each can be undone; older ones stay. */
const STAMPS_MAX = 16
const VALID: Validity = { kind: 'valid' }
const GONE: Validity = { kind: 'gone' }

/**
 * Answers how something stored at a log position stands since: a map of paths, a tree of prefixes and a map of tags, never a list to scan.
 * Within bounds: the name that was not invalidated for the longest is forgotten, and all that was stored before counts as invalidated,
 * until what invalidated it is undone.
 */
export class InvalidationIndex {
  readonly #bounds: IndexBounds
  readonly #scopes = new Map<string, Scope>()
  /** In the order of their newest invalidation. */
  readonly #marks = new Set<Mark>()
  // Kept, because one that begins anew walks over all that was taken out in front.
  #oldest = this.#marks.values()
  #characters = 0
  #newest = 0
  readonly #floor: Stamped = { stamps: [], hard: 0, soft: 0, softAt: 0 }
  #state: object = {}

  constructor(bounds: Partial<IndexBounds> = {}) {
    this.#bounds = { ...BOUNDS, ...bounds }
  }

  /** Seq of the last invalidation; 0 for none. */
  get newestSeq(): number {
    return this.#newest
  }

  /** Everything stored before this seq is gone. */
  get floorSeq(): number {
    return this.#floor.hard
  }

  /** Paths, prefixes and tags held. */
  get size(): number {
    return this.#marks.size
  }

  /** Another object after each change: while it is the same, so are the answers. */
  get state(): object {
    return this.#state
  }

  /** Each path costs its own length, whatever is held already. */
  add(entry: InvalidationEntry): void {
    let scope = this.#scopes.get(entry.distribution)
    if (!scope) {
      scope = new Scope(entry.distribution)
      this.#scopes.set(entry.distribution, scope)
    }
    const { seq, at, soft = false } = entry
    for (const path of entry.paths) {
      const mark = scope.markFor(path)
      // Behind all others: it is the newest now.
      if (!this.#marks.delete(mark)) this.#characters += mark.name.length
      this.#marks.add(mark)
      settle(mark, [{ seq, at, soft }])
      scope.newest = Math.max(scope.newest, seq)
      if (mark.kind === 'tag') scope.newestTag = Math.max(scope.newestTag, seq)
    }
    this.#newest = Math.max(this.#newest, seq)
    this.#state = {}
    this.#shrink()
  }

  /** What this entry alone invalidated is valid again. */
  undo(entry: Pick<InvalidationEntry, 'seq' | 'distribution' | 'paths'>): void {
    const scope = this.#scopes.get(entry.distribution)
    for (const path of scope ? entry.paths : []) {
      const mark = scope?.find(path)
      if (mark && takeBack(mark, entry.seq) && mark.stamps.length === 0) this.#forget(mark)
    }
    // Names of it that were forgotten stand here.
    takeBack(this.#floor, entry.seq)
    this.#state = {}
  }

  /** Everything stored before `seq` is gone: for a log whose older part is gone. */
  raiseFloor(seq: number): void {
    settle(this.#floor, [{ seq, at: undefined, soft: false, several: true }])
    this.#newest = Math.max(this.#newest, seq)
    this.#state = {}
  }

  /** How what was stored (whatever its query) when the log was at `sinceSeq` stands now. */
  check(what: Named, sinceSeq: number): Validity {
    if (sinceSeq >= this.#newest) return VALID
    if (sinceSeq < this.#floor.hard) return GONE
    const { hard, soft, softAt } = this.#floor
    const found: Newest = { hard, soft, softAt }
    const path = canonicalPath(what.path)
    this.#scopes.get(what.distribution)?.look(path, what.tags, sinceSeq, found)
    this.#scopes.get('*')?.look(path, what.tags, sinceSeq, found)
    if (found.hard > sinceSeq) return GONE
    return found.soft > sinceSeq ? { kind: 'stale', since: found.softAt } : VALID
  }

  #shrink(): void {
    const { entries, characters } = this.#bounds
    while (this.#marks.size > entries || this.#characters > characters) {
      let oldest = this.#oldest.next()
      // One that has come to the end stays there.
      if (oldest.done) {
        this.#oldest = this.#marks.values()
        oldest = this.#oldest.next()
      }
      if (oldest.done) return
      settle(this.#floor, oldest.value.stamps)
      this.#forget(oldest.value)
    }
  }

  #forget(mark: Mark): void {
    this.#marks.delete(mark)
    this.#characters -= mark.name.length
    const { scope } = mark
    scope.drop(mark)
    if (scope.empty) this.#scopes.delete(scope.distribution)
  }
}

interface Stamp {
  readonly seq: number
  readonly at: number | undefined
  readonly soft: boolean
  /** Stands for older ones too, which an undo of this one must leave. */
  readonly several?: boolean
}
interface Newest {
  hard: number
  soft: number
  softAt: number
}
interface Stamped extends Newest {
  /** In the order of their seq, one of each. */
  stamps: readonly Stamp[]
}
/** A path, prefix or tag that was invalidated. */
interface Mark extends Stamped {
  readonly scope: Scope
  readonly kind: 'path' | 'prefix' | 'tag'
  readonly name: string
}

/** The invalidations of one distribution. */
class Scope {
  readonly distribution: string
  readonly #paths = new Map<string, Mark>()
  readonly #prefixes = new Map<string, Mark>()
  readonly #tags = new Map<string, Mark>()
  readonly #tree = new PrefixTree<Mark>()
  newest = 0
  newestTag = 0

  constructor(distribution: string) {
    this.distribution = distribution
  }

  get empty(): boolean {
    return this.#paths.size + this.#prefixes.size + this.#tags.size === 0
  }

  find(pattern: string): Mark | undefined {
    const { kind, name } = readPattern(pattern)
    return this.#mapOf(kind).get(name)
  }

  markFor(pattern: string): Mark {
    const { kind, name } = readPattern(pattern)
    const map = this.#mapOf(kind)
    const present = map.get(name)
    if (present) return present
    const mark: Mark = { scope: this, kind, name, stamps: [], hard: 0, soft: 0, softAt: 0 }
    map.set(name, mark)
    if (kind === 'prefix') this.#tree.set(name, mark)
    return mark
  }

  drop({ kind, name }: Mark): void {
    this.#mapOf(kind).delete(name)
    if (kind === 'prefix') this.#tree.delete(name)
  }

  look(path: string, tags: Named['tags'], sinceSeq: number, found: Newest): void {
    if (this.newest <= sinceSeq) return
    const exact = this.#paths.get(path)
    if (exact) raise(found, exact)
    if (this.#prefixes.size > 0) this.#tree.eachPrefixOf(path, (mark) => raise(found, mark))
    if (this.newestTag <= sinceSeq) return
    if (tags === 'unknown') {
      found.hard = Math.max(found.hard, this.newestTag)
      return
    }
    for (const tag of tags) {
      const mark = this.#tags.get(tag)
      if (mark) raise(found, mark)
    }
  }

  #mapOf(kind: Mark['kind']): Map<string, Mark> {
    if (kind === 'tag') return this.#tags
    return kind === 'prefix' ? this.#prefixes : this.#paths
  }
}

/** False when it has no stamp of this seq that may be taken back. */
function takeBack(from: Stamped, seq: number): boolean {
  const kept = from.stamps.filter((one) => one.several || one.seq !== seq)
  if (kept.length === from.stamps.length) return false
  from.stamps = kept
  summarize(from)
  return true
}

/** Adds stamps; what can't be undone any more need not be told apart: the newest of it stands for all. */
function settle(into: Stamped, more: readonly Stamp[]): void {
  const [one] = more
  // Most names that are forgotten in a row were invalidated together.
  if (one && more.length === 1 && into.stamps.at(-1)?.seq === one.seq && !one.several) return
  const bySeq = new Map<number, Stamp>()
  for (const each of [...into.stamps, ...more])
    if (!bySeq.get(each.seq)?.several) bySeq.set(each.seq, each)
  const stamps = [...bySeq.values()]
  stamps.sort(bySequence)
  const newest = Math.max(...stamps.map(({ at }) => at ?? Number.NEGATIVE_INFINITY))
  const recent = stamps
    .filter(({ at, several }) => at !== undefined && at >= newest - 2 * UNDO_MS && !several)
    .slice(-STAMPS_MAX)
  const settled = stamps.filter((each) => !recent.includes(each))
  const standing = [false, true].flatMap((soft) => {
    const alike = settled.filter((each) => each.soft === soft)
    return alike.slice(-1).map((each) => (alike.length > 1 ? { ...each, several: true } : each))
  })
  into.stamps = [...standing, ...recent].sort(bySequence)
  summarize(into)
}

function bySequence(a: Stamp, b: Stamp): number {
  return a.seq - b.seq
}

function summarize(mark: Stamped): void {
  mark.hard = 0
  mark.soft = 0
  mark.softAt = 0
  for (const { seq, at, soft } of mark.stamps)
    raise(mark, soft ? { hard: 0, soft: seq, softAt: at ?? 0 } : { hard: seq, soft: 0, softAt: 0 })
}

function raise(found: Newest, by: Newest): void {
  found.hard = Math.max(found.hard, by.hard)
  if (by.soft <= found.soft) return
  found.soft = by.soft
  found.softAt = by.softAt
}

function readPattern(pattern: string): Pick<Mark, 'kind' | 'name'> {
  if (pattern.startsWith('#')) return { kind: 'tag', name: pattern.slice(1).toLowerCase() }
  const starred = pattern.endsWith('*')
  // An invalidation is of the path, and so of all its queries.
  const prefix = starred && !pattern.includes('?')
  const text = (starred ? pattern.slice(0, -1) : pattern).split('?', 1)[0] ?? ''
  // A prefix may end inside an escape: `/a%4*` is held as `/a`.
  const name = canonicalPath(prefix ? text.replace(/%[0-9a-f]?$/i, '') : text)
  return { kind: prefix ? 'prefix' : 'path', name }
}

// `/%7Euser`, `/~user` and `/a%2fb`, `/a/b` are held alike: an invalidation may take too much, never too little. The text
// stands for bytes, so that a prefix may end inside a character.
function canonicalPath(path: string): string {
  const bytes = /[^ -~]/.test(path) ? Buffer.from(path, 'utf8').toString('latin1') : path
  if (!bytes.includes('%')) return bytes
  return bytes.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
