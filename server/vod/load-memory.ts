import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'

/** So long a film waits for room; then its viewer is told to come again. */
const WAIT_MS = 10_000

interface Waiting {
  readonly bytes: number
  readonly go: () => void
}

/** What the indexes of all films that are being opened may take at once; beyond it they wait in the order they came. */
export class LoadMemory {
  readonly #clock: Clock
  readonly #bytes: number
  readonly #waiting: Waiting[] = []
  #free: number

  constructor(clock: Clock, bytes: number) {
    this.#clock = clock
    this.#bytes = bytes
    this.#free = bytes
  }

  get used(): number {
    return this.#bytes - this.#free
  }

  /** Of one film; whoever opens it disposes it. */
  share(signal: AbortSignal): MemoryShare {
    return new MemoryShare(this, signal)
  }

  tryTake(bytes: number): boolean {
    if (this.#waiting.length > 0 || bytes > this.#free) return false
    this.#free -= bytes
    return true
  }

  /** Throws `unavailable` when there is no room for long, and the signal's reason. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.tryTake(bytes)) return
    if (bytes > this.#bytes) throw noRoom(bytes)
    await new Promise<void>((resolve, reject) => {
      const end = () => {
        timer[Symbol.dispose]()
        signal.removeEventListener('abort', abort)
      }
      const waiting: Waiting = {
        bytes,
        go: () => {
          end()
          resolve()
        },
      }
      const leave = (reason: unknown) => {
        end()
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        this.#serve()
        reject(reason)
      }
      const abort = () => leave(signal.reason)
      const timer = this.#clock.after(WAIT_MS, () => leave(noRoom(bytes)))
      signal.addEventListener('abort', abort, { once: true })
      this.#waiting.push(waiting)
    })
  }

  give(bytes: number): void {
    this.#free += bytes
    this.#serve()
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#free -= next.bytes
      this.#waiting.shift()
      next.go()
    }
  }
}

/** What one film takes of it. */
export class MemoryShare implements Disposable {
  readonly #memory: LoadMemory
  readonly #signal: AbortSignal
  #bytes = 0

  constructor(memory: LoadMemory, signal: AbortSignal) {
    this.#memory = memory
    this.#signal = signal
  }

  /**
   * Makes the share `bytes` large. Where that has to wait nothing is held meanwhile, or films could wait for each other for ever:
   * `letGo` drops what was read.
   */
  async grow(bytes: number, letGo: () => void): Promise<void> {
    if (bytes <= this.#bytes || this.#tryGrow(bytes)) return
    letGo()
    this[Symbol.dispose]()
    await this.#memory.take(bytes, this.#signal)
    this.#bytes = bytes
  }

  /** Adds to it at once or throws `unavailable`. */
  add(bytes: number): void {
    if (!this.#tryGrow(this.#bytes + bytes)) throw noRoom(bytes)
  }

  [Symbol.dispose](): void {
    const bytes = this.#bytes
    this.#bytes = 0
    this.#memory.give(bytes)
  }

  #tryGrow(bytes: number): boolean {
    if (!this.#memory.tryTake(bytes - this.#bytes)) return false
    this.#bytes = bytes
    return true
  }
}

function noRoom(bytes: number): NearcastError {
  return new NearcastError(
    'unavailable',
    `no room for ${bytes} bytes of index beside the films that are being opened`,
  )
}
