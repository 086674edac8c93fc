/** Where invalidations are looked up: the newest seq for each path and each prefix, never a list to scan. */
export interface InvalidationEntry {
  readonly seq: number
  /** Distribution id, or `*` for all. */
  readonly distribution: string
  /** Absolute paths; a closing `*` means everything that begins so. */
  readonly paths: readonly string[]
}

const DEFAULT_MAX_ENTRIES = 100_000

/**
 * Answers whether something stored at a log position was invalidated since. Holds at most `maxEntries` paths and
 * prefixes; beyond that the oldest half is folded into one floor, below which everything counts as invalidated.
 */
export class InvalidationIndex {
  readonly #maxEntries: number
  readonly #scopes = new Map<string, Scope>()
  #entries = 0
  #newest = 0
  #floor = 0

  constructor(maxEntries = DEFAULT_MAX_ENTRIES) {
    this.#maxEntries = maxEntries
  }

  /** Seq of the last invalidation; 0 for none. */
  get newestSeq(): number {
    return this.#newest
  }

  /** Everything stored before this seq is invalidated. */
  get floorSeq(): number {
    return this.#floor
  }

  /** Paths and prefixes held. */
  get size(): number {
    return this.#entries
  }

  /** Each path costs its own length, whatever is held already. */
  add(entry: InvalidationEntry): void {
    let scope = this.#scopes.get(entry.distribution)
    if (!scope) {
      scope = new Scope()
      this.#scopes.set(entry.distribution, scope)
    }
    for (const path of entry.paths) if (scope.add(path, entry.seq)) this.#entries++
    this.#newest = Math.max(this.#newest, entry.seq)
    if (this.#entries > this.#maxEntries) this.#fold()
  }

  /** Everything stored before `seq` is invalidated: for a log whose older part is gone. */
  raiseFloor(seq: number): void {
    this.#floor = Math.max(this.#floor, seq)
    this.#newest = Math.max(this.#newest, seq)
  }

  /** Whether what was stored for `path` (any query) when the log was at `sinceSeq` is invalid now. */
  isInvalidated(distributionId: string, path: string, sinceSeq: number): boolean {
    if (sinceSeq >= this.#newest) return false
    if (sinceSeq < this.#floor) return true
    const canonical = canonicalPath(path)
    const own = this.#scopes.get(distributionId)
    if (own && own.newestFor(canonical) > sinceSeq) return true
    const all = this.#scopes.get('*')
    return all !== undefined && all.newestFor(canonical) > sinceSeq
  }

  #fold(): void {
    const seqs = [...this.#scopes.values()].flatMap((scope) => scope.seqs()).sort((a, b) => a - b)
    const keepAbove = seqs[Math.ceil(seqs.length / 2) - 1] ?? 0
    this.#floor = Math.max(this.#floor, keepAbove)
    this.#entries = 0
    for (const [id, scope] of this.#scopes) {
      const kept = scope.dropUpTo(this.#floor)
      if (kept === 0) this.#scopes.delete(id)
      this.#entries += kept
    }
  }
}

/** The invalidations of one distribution. */
class Scope {
  readonly #paths = new Map<string, number>()
  readonly #prefixes = new Map<string, number>()
  #tree = newNode('')

  /** True when the path was not held before. */
  add(pattern: string, seq: number): boolean {
    const isPrefix = pattern.endsWith('*')
    // An invalidation is of the path, and so of all its queries.
    const prefix = isPrefix && !pattern.includes('?')
    const text = (isPrefix ? pattern.slice(0, -1) : pattern).split('?', 1)[0] ?? ''
    // A prefix may end inside an escape: `/a%4*` is held as `/a`.
    const path = canonicalPath(prefix ? text.replace(/%[0-9a-f]?$/i, '') : text)
    const map = prefix ? this.#prefixes : this.#paths
    const known = map.get(path)
    map.set(path, Math.max(seq, known ?? 0))
    if (map === this.#prefixes) insert(this.#tree, path, seq)
    return known === undefined
  }

  newestFor(path: string): number {
    return Math.max(this.#paths.get(path) ?? 0, newestPrefix(this.#tree, path))
  }

  seqs(): readonly number[] {
    return [...this.#paths.values(), ...this.#prefixes.values()]
  }

  /** Forgets everything up to `seq`; gives the number of entries left. */
  dropUpTo(seq: number): number {
    for (const map of [this.#paths, this.#prefixes])
      for (const [path, at] of map) if (at <= seq) map.delete(path)
    this.#tree = newNode('')
    for (const [prefix, at] of this.#prefixes) insert(this.#tree, prefix, at)
    return this.#paths.size + this.#prefixes.size
  }
}

/** A compressed prefix tree: at most two nodes for each prefix, however long. */
interface Node {
  text: string
  seq: number
  readonly children: Map<string, Node>
}

function newNode(text: string): Node {
  return { text, seq: 0, children: new Map() }
}

function insert(root: Node, prefix: string, seq: number): void {
  let node = root
  let rest = prefix
  while (rest !== '') {
    const first = rest.charAt(0)
    const child = node.children.get(first)
    if (!child) {
      const leaf = newNode(rest)
      node.children.set(first, leaf)
      node = leaf
      break
    }
    const shared = sharedLength(child.text, rest)
    if (shared < child.text.length) {
      const middle = newNode(child.text.slice(0, shared))
      child.text = child.text.slice(shared)
      middle.children.set(child.text.charAt(0), child)
      node.children.set(first, middle)
      node = middle
    } else node = child
    rest = rest.slice(shared)
  }
  node.seq = Math.max(node.seq, seq)
}

function newestPrefix(root: Node, path: string): number {
  let node: Node | undefined = root
  let newest = root.seq
  let at = 0
  while (at < path.length) {
    node = node.children.get(path.charAt(at))
    if (!node || !path.startsWith(node.text, at)) break
    newest = Math.max(newest, node.seq)
    at += node.text.length
  }
  return newest
}

function sharedLength(a: string, b: string): number {
  let i = 0
  while (i < a.length && i < b.length && a[i] === b[i]) i++
  return i
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
