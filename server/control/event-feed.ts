import { type Deferred, deferred } from '../lib/deferred.ts'
import type { Clock } from '../lib/clock.ts'
import { type Random, readableToken } from '../lib/random.ts'

export type EventKind =
  | 'publish'
  | 'unpublish'
  | 'record-started'
  | 'record-ended'
  | 'error'
  | 'health'

/** Something that happened to a stream, with plain values and no secrets. */
export interface StreamEvent {
  readonly kind: EventKind
  readonly stream: string
  readonly [fact: string]: unknown
}

/** `id` names this process too: another one's ids say nothing here. */
export interface NumberedEvent {
  readonly id: string
  /** Milliseconds since 1970. */
  readonly at: number
  readonly event: StreamEvent
}

/** How many events a reader that was away is told of. */
const KEPT = 1000
const RUN_LENGTH = 8

/** The newest events, and who waits for more. A reader that falls behind what is kept is told so, and holds nothing here. */
export class EventFeed {
  readonly #run: string
  readonly #clock: Clock
  readonly #kept: NumberedEvent[] = []
  readonly #listeners = new Set<(event: NumberedEvent) => void>()
  #last = 0

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#run = readableToken(random, RUN_LENGTH)
  }

  tell(event: StreamEvent): void {
    this.#last += 1
    const numbered = { id: `${this.#run}-${this.#last}`, at: this.#clock.now(), event }
    this.#kept.push(numbered)
    if (this.#kept.length > KEPT) this.#kept.shift()
    for (const listener of this.#listeners) listener(numbered)
  }

  /** Called with each event from now on; must not block. */
  subscribe(listener: (event: NumberedEvent) => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  /**
   * What came behind the event of this id, then each as it happens, and `beat` when none did for so long; `missed` first
   * where events are gone or the id is not of this process. Without an id only what comes from now on. Ends with `signal`.
   */
  async *follow(
    lastId: string | undefined,
    beatMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<NumberedEvent | 'missed' | 'beat', void, undefined> {
    let wake: Deferred<void> = deferred<void>()
    const stop = () => wake.resolve()
    signal.addEventListener('abort', stop, { once: true })
    using _ = this.subscribe(() => wake.resolve())
    try {
      let last = lastId === undefined ? this.#last : this.#numberOf(lastId)
      if (last === undefined) yield 'missed'
      last ??= this.#floor
      while (!signal.aborted) {
        if (last < this.#floor) {
          yield 'missed'
          last = this.#floor
        }
        const next = this.#kept[last - this.#floor]
        if (next) {
          last += 1
          yield next
          continue
        }
        wake = deferred<void>()
        let silent = false
        using _beat = this.#clock.after(beatMs, () => {
          silent = true
          wake.resolve()
        })
        await wake.promise
        if (silent && !signal.aborted) yield 'beat'
      }
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** Number of the last event that is not kept any more. */
  get #floor(): number {
    return this.#last - this.#kept.length
  }

  #numberOf(id: string): number | undefined {
    const [run, number = ''] = id.split('-')
    if (run !== this.#run || !/^\d{1,15}$/.test(number)) return undefined
    return Number(number) <= this.#last ? Number(number) : undefined
  }
}
