import type { Clock } from '../lib/clock.ts'
import { type Random, readableToken } from '../lib/random.ts'
import { LiveStream } from './live-stream.ts'

/** The session behind a stream, as the registry sees it. */
export interface Publisher {
  /** For logs and the API: protocol and remote address. */
  readonly description: string
  /** Ends the session at once; its stream has already ended. */
  cut(reason: string): void
  /** False once the key it came with is revoked. */
  mayPublish(): boolean
}

/** Who publishes what. One publisher a name: the newest wins. */
export class StreamRegistry {
  readonly #clock: Clock
  readonly #random: Random
  readonly #live = new Map<string, { stream: LiveStream; publisher: Publisher }>()
  readonly #observers = new Set<(stream: LiveStream) => void>()

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  /** Starts a stream of this name; whoever published it before is cut with `replaced`. */
  publish(name: string, publisher: Publisher): LiveStream {
    const former = this.#live.get(name)
    const stream = new LiveStream(name, readableToken(this.#random, 8), this.#clock.now())
    this.#live.set(name, { stream, publisher })
    if (former) {
      former.stream.end('replaced')
      former.publisher.cut('another publisher took over')
    }
    stream.addReader({
      onTracks: () => {},
      onFrame: () => {},
      onEnd: () => {
        if (this.#live.get(name)?.stream === stream) this.#live.delete(name)
      },
    })
    for (const observer of this.#observers) observer(stream)
    return stream
  }

  get(name: string): LiveStream | undefined {
    return this.#live.get(name)?.stream
  }

  list(): readonly { readonly stream: LiveStream; readonly publisher: Publisher }[] {
    return [...this.#live.values()]
  }

  /** Called with each stream that starts from now on. */
  observe(observer: (stream: LiveStream) => void): Disposable {
    this.#observers.add(observer)
    return { [Symbol.dispose]: () => void this.#observers.delete(observer) }
  }
}
