import type { Clock } from '../lib/clock.ts'
import { deferred } from '../lib/deferred.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { readTail } from './tail.ts'
import { BEAT_MS } from './tail-queue.ts'
import { LiveWindow } from './window.ts'
import type { WindowLimits } from './window-limits.ts'
import type { OpenEvent, WindowEvent } from './window-event.ts'

export type OpenTail = (
  name: string,
  signal: AbortSignal,
) => Promise<AsyncIterable<Uint8Array> | undefined>

export interface ReplicaDeps {
  readonly openTail: OpenTail
  /** The window keeps what can be rewound; else it is the parent's. */
  readonly rewinds: boolean
  readonly clock: Clock
  readonly log: Log
  readonly onReopen: () => void
  readonly onClosed: (replica: Replica) => void
}

const OPEN_DEADLINE_MS = 10_000
const SILENCE_MAX_MS = 3 * BEAT_MS
const BACKOFF_FIRST_MS = 200
const BACKOFF_MAX_MS = 5000
/** How long a name that nobody sends, or a stream that ended, is not asked for again. */
const UNKNOWN_MS = 1000
const ENDED_MS = 10_000

/** A copy of one stream's window, kept true by a tail that is opened again when it breaks. */
export class Replica {
  readonly name: string
  readonly #deps: ReplicaDeps
  readonly #limits: WindowLimits
  readonly #stop = new AbortController()
  readonly #asked = deferred()
  #window: LiveWindow | undefined
  /** Filled from the snapshot, shown when that is whole. */
  #next: LiveWindow | undefined
  /** A segment whose first part is still on its way: no playlist may show one without (rfc8216bis §4.4.5.4). */
  #opening: WindowEvent | undefined
  #failure: unknown
  #viewers = 0
  #lastWanted: number
  #backoffMs = BACKOFF_FIRST_MS

  constructor(name: string, limits: WindowLimits, deps: ReplicaDeps) {
    this.name = name
    this.#limits = limits
    this.#deps = deps
    this.#lastWanted = deps.clock.now()
    void this.#run()
  }

  /** undefined until a first snapshot is whole, and where the parent has no such stream. */
  get window(): LiveWindow | undefined {
    return this.#window
  }
  /** Why the parent could not be asked; undefined when it answered. */
  get failure(): unknown {
    return this.#failure
  }
  get idleSince(): number {
    return this.#viewers > 0 ? Number.POSITIVE_INFINITY : this.#lastWanted
  }

  /** A request begins; disposed when it is answered. */
  enter(): Disposable {
    this.#viewers++
    return {
      [Symbol.dispose]: () => {
        this.#viewers--
        this.#lastWanted = this.#deps.clock.now()
      },
    }
  }

  /** Resolves when the parent has said something of the stream; rejects when `signal` aborts before. */
  async whenAsked(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const left = deferred()
    const leave = () => left.resolve()
    signal.addEventListener('abort', leave, { once: true })
    await Promise.race([this.#asked.promise, left.promise])
    signal.removeEventListener('abort', leave)
    signal.throwIfAborted()
  }

  close(): void {
    this.#stop.abort(new NearcastError('unavailable', 'the replica is closed'))
    this.#asked.resolve()
    this.#window?.release()
    this.#deps.onClosed(this)
  }

  async #run(): Promise<void> {
    const { clock } = this.#deps
    while (!this.#stop.signal.aborted) {
      const result = await this.#follow()
      if (this.#stop.signal.aborted) return
      this.#asked.resolve()
      if (result !== 'broken') {
        const restMs = result === 'unknown' ? UNKNOWN_MS : ENDED_MS
        clock.after(restMs, () => this.close())
        return
      }
      this.#deps.onReopen()
      await this.#rest()
    }
  }

  async #rest(): Promise<void> {
    const ms = this.#backoffMs
    this.#backoffMs = Math.min(BACKOFF_MAX_MS, ms * 2)
    try {
      await this.#deps.clock.sleep(ms, this.#stop.signal)
    } catch {
      // Closed meanwhile: the loop sees it.
    }
  }

  /** One tail from its opening to its end. */
  async #follow(): Promise<'unknown' | 'ended' | 'broken'> {
    const { clock, log, openTail } = this.#deps
    const connection = new AbortController()
    const abort = () => connection.abort(this.#stop.signal.reason)
    this.#stop.signal.addEventListener('abort', abort, { once: true })
    const watch = new Watch(clock, connection)
    this.#next = undefined
    this.#opening = undefined
    try {
      watch.within(OPEN_DEADLINE_MS)
      const bytes = await watch.race(openTail(this.name, connection.signal))
      if (!bytes) {
        this.#failure = undefined
        this.#window?.release()
        this.#window = undefined
        return 'unknown'
      }
      for await (const event of readTail(watch.over(bytes))) this.#apply(event)
      if (this.#window?.ended) return 'ended'
      throw new NearcastError('origin-failed', 'the tail ended before its stream')
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        this.#failure = error
        const stream = this.name
        log.warn('the tail of a live stream broke', { stream, reason: describeError(error) })
      }
      return 'broken'
    } finally {
      this.#stop.signal.removeEventListener('abort', abort)
      watch[Symbol.dispose]()
      connection.abort(new NearcastError('unavailable', 'the tail is done'))
    }
  }

  #apply(event: WindowEvent): void {
    if (event.kind === 'open') {
      // The same window again: what is known already is skipped, and whoever waits goes on waiting.
      this.#next =
        this.#window?.id === event.id
          ? this.#window
          : new LiveWindow(this.#kept(event), this.#limits)
      return
    }
    const window = this.#next
    if (!window) throw new NearcastError('origin-failed', 'the tail does not begin with its name')
    if (event.kind === 'segment' && event.gapSeconds === 0) {
      this.#opening = event
      return
    }
    // Says nothing of that segment.
    if (event.kind === 'date-range') {
      window.apply(event)
      return
    }
    if (this.#opening) window.apply(this.#opening)
    this.#opening = undefined
    if (event.kind === 'beat') this.#show(window)
    else window.apply(event)
  }

  #kept(open: OpenEvent): OpenEvent {
    return this.#deps.rewinds ? open : { ...open, dvrSeconds: 0 }
  }

  #show(window: LiveWindow): void {
    this.#failure = undefined
    this.#backoffMs = BACKOFF_FIRST_MS
    if (this.#window !== window) {
      const old = this.#window
      this.#window = window
      old?.release()
    }
    this.#asked.resolve()
  }
}

/** Aborts a connection that says nothing for too long. */
class Watch {
  readonly #clock: Clock
  readonly #connection: AbortController
  #timer: Disposable | undefined

  constructor(clock: Clock, connection: AbortController) {
    this.#clock = clock
    this.#connection = connection
  }

  within(ms: number): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#clock.after(ms, () =>
      this.#connection.abort(new NearcastError('origin-timeout', `silent for ${ms} ms`)),
    )
  }

  /** The promise, or the connection's end before it: an origin that ignores the signal holds nobody. */
  async race<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#connection
    const aborted = deferred<never>()
    const abort = () => aborted.reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await Promise.race([promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async *over(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    const iterator = bytes[Symbol.asyncIterator]()
    try {
      for (;;) {
        this.within(SILENCE_MAX_MS)
        const { done, value } = await this.race(iterator.next())
        if (done) return
        yield value
      }
    } finally {
      // Not awaited: a source that hangs would hang here too.
      void Promise.resolve(iterator.return?.()).catch(() => {})
    }
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
  }
}
