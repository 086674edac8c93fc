import type { Clock } from '../lib/clock.ts'

interface Said {
  readonly edge: string
  readonly epoch: string
  readonly seq: number
  readonly at: number
}

/** An edge repeats itself each 15 s: one that is silent for so long has gone, and how far it is nobody knows. */
const REMEMBERED_MS = 60_000
/** With more of them the one that was silent longest is forgotten. */
const EDGES_MAX = 1000

/** How far edges on other machines say they have applied the change log; of processes with one name, the last of them. */
export class EdgePositions {
  readonly #clock: Clock
  /** By process. */
  readonly #said = new Map<string, Said>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  take(said: Omit<Said, 'at'> & { readonly process: string }, leaving: boolean): void {
    const { process, ...position } = said
    this.#said.delete(process)
    if (leaving) return
    this.#said.set(process, { ...position, at: this.#clock.monotonic() })
    if (this.#said.size <= EDGES_MAX) return
    for (const oldest of this.#said.keys()) return void this.#said.delete(oldest)
  }

  /** By the edge's id; those that said nothing of this log, or not lately, are not in it. */
  of(epoch: string): ReadonlyMap<string, number> {
    const since = this.#clock.monotonic() - REMEMBERED_MS
    const seqs = new Map<string, number>()
    for (const said of this.#said.values())
      if (said.epoch === epoch && said.at >= since)
        seqs.set(said.edge, Math.min(said.seq, seqs.get(said.edge) ?? said.seq))
    return seqs
  }
}
