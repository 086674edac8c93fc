interface Group {
  readonly ready: () => boolean
  readonly waiters: Set<() => void>
}

/**
 * Who waits for what of a window. All who wait for the same thing are one group, so that a change costs a look at each
 * thing that is waited for, however many wait for it.
 */
export class WaitingRoom {
  readonly #groups = new Map<string, Group>()
  #size = 0

  get size(): number {
    return this.#size
  }
  /** Things that are waited for. */
  get groups(): number {
    return this.#groups.size
  }

  /** Resolves when `ready` holds. `what` names it: under one name every `ready` must say the same. */
  wait(what: string, ready: () => boolean): { readonly promise: Promise<void> } & Disposable {
    if (ready()) return { promise: Promise.resolve(), [Symbol.dispose]: () => {} }
    let resolve = () => {}
    const promise = new Promise<void>((done) => {
      resolve = done
    })
    const group = this.#groups.get(what) ?? { ready, waiters: new Set() }
    this.#groups.set(what, group)
    group.waiters.add(resolve)
    this.#size++
    return { promise, [Symbol.dispose]: () => this.#leave(what, group, resolve) }
  }

  /** Something changed: those whose wait is over go. */
  wake(): void {
    for (const [what, group] of this.#groups) if (group.ready()) this.#release(what, group)
  }

  /** All go, and find out by themselves. */
  release(): void {
    for (const [what, group] of this.#groups) this.#release(what, group)
  }

  #release(what: string, group: Group): void {
    this.#groups.delete(what)
    this.#size -= group.waiters.size
    resolveInTurns([...group.waiters])
    group.waiters.clear()
  }

  #leave(what: string, group: Group, resolve: () => void): void {
    if (!group.waiters.delete(resolve)) return
    this.#size--
    if (group.waiters.size === 0) this.#groups.delete(what)
  }
}

/** So many answers are begun in one turn of the event loop: thousands of them would keep everything else waiting. */
const AT_ONCE = 256

function resolveInTurns(waiters: readonly (() => void)[], from = 0): void {
  for (const resolve of waiters.slice(from, from + AT_ONCE)) resolve()
  if (from + AT_ONCE < waiters.length) setImmediate(() => resolveInTurns(waiters, from + AT_ONCE))
}
