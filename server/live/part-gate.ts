import type { Clock } from '../lib/clock.ts'
import type { RenditionId, WindowEvent } from './window-event.ts'

interface Waiting {
  readonly event: WindowEvent
  /** How far every rung must have got. */
  readonly neededMs: number
  /** Monotonic: after this the rungs that are not there are late. */
  readonly until: number
}

/**
 * rfc8216bis §6.2.1: all renditions are within one part target of each other. What an encoder makes of a picture comes a
 * little after the picture itself, so the publisher's own renditions are held back until the slowest rung that keeps up is
 * that near. One that is later than a part target is waited for no longer until it has caught up.
 */
export class PartGate {
  readonly #clock: Clock
  readonly #apply: (event: WindowEvent) => void
  readonly #reached = new Map<RenditionId, number>()
  readonly #late = new Set<RenditionId>()
  readonly #queue: Waiting[] = []
  #neededMs = Number.NEGATIVE_INFINITY
  #timer: Disposable | undefined

  constructor(clock: Clock, apply: (event: WindowEvent) => void) {
    this.#clock = clock
    this.#apply = apply
  }

  /** Rungs that are waited for no longer. */
  get late(): ReadonlySet<RenditionId> {
    return this.#late
  }

  /** `endMs`: where the media of the event ends on the window's timeline; `target`: PART-TARGET in seconds. */
  push(event: WindowEvent, endMs: number, target: number): void {
    const targetMs = target * 1000
    const until = this.#clock.monotonic() + targetMs
    this.#queue.push({ event, neededMs: endMs - targetMs, until })
    this.#release()
  }

  /** A rung is complete up to here. It is waited for from when it first is where it must be: nobody waits for one that begins. */
  reach(id: RenditionId, endMs: number): void {
    const needed = this.#queue[0]?.neededMs ?? this.#neededMs
    if (endMs >= needed) this.#late.delete(id)
    else if (!this.#reached.has(id)) this.#late.add(id)
    this.#reached.set(id, endMs)
    this.#release()
  }

  /** A rung that stopped. */
  forget(id: RenditionId): void {
    this.#reached.delete(id)
    this.#late.delete(id)
    this.#release()
  }

  /** Everything goes at once: what follows is of another time. */
  flush(): void {
    for (const { event } of this.#queue.splice(0)) this.#apply(event)
    this.#release()
  }

  #release(): void {
    let slowest = Number.POSITIVE_INFINITY
    for (const [id, endMs] of this.#reached)
      if (!this.#late.has(id)) slowest = Math.min(slowest, endMs)
    while ((this.#queue[0]?.neededMs ?? Number.POSITIVE_INFINITY) <= slowest) {
      const first = this.#queue.shift()
      if (!first) break
      this.#neededMs = first.neededMs
      this.#apply(first.event)
    }
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    const oldest = this.#queue[0]
    if (!oldest) return
    const waitMs = Math.max(0, oldest.until - this.#clock.monotonic())
    this.#timer = this.#clock.after(waitMs, () => this.#giveUp(oldest))
  }

  #giveUp({ neededMs }: Waiting): void {
    for (const [id, endMs] of this.#reached) if (endMs < neededMs) this.#late.add(id)
    this.#release()
  }
}
