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

  /**
   * Calls `wake` once, later, when `ready` holds or all are released; until then the disposable takes it back. `what` names it:
   * under one name every `ready` must say the same. A callback, because thousands wait for each part: a promise of each, and what
   * waits on it, are more to collect than the answer.
   */
  wait(what: string, ready: () => boolean, wake: () => void): Disposable {
    const group = this.#groups.get(what) ?? { ready, waiters: new Set() }
    this.#groups.set(what, group)
    group.waiters.add(wake)
    this.#size++
    return { [Symbol.dispose]: () => this.#leave(what, group, wake) }
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
    wakeInTurns([...group.waiters])
    group.waiters.clear()
  }

  #leave(what: string, group: Group, wake: () => void): void {
    if (!group.waiters.delete(wake)) return
    this.#size--
    if (group.waiters.size === 0) this.#groups.delete(what)
  }
}

/** So many answers are begun in one turn of the event loop: thousands of them would keep everything else waiting. */
const AT_ONCE = 128

function wakeInTurns(waiters: readonly (() => void)[], from = 0): void {
  for (const wake of waiters.slice(from, from + AT_ONCE)) wake()
  if (from + AT_ONCE < waiters.length) setImmediate(() => wakeInTurns(waiters, from + AT_ONCE))
}
