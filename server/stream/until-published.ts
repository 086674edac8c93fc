import type { Clock } from '../lib/clock.ts'
import type { LiveStream } from './live-stream.ts'
import type { StreamRegistry } from './registry.ts'

/** Streams that begin when somebody wants them. */
export interface Demand {
  /** Somebody asks for it now; false when nothing of this name begins by itself. */
  wanted(name: string): boolean
  /** Somebody watches it until the hold is disposed; undefined when nothing of this name begins by itself. */
  hold(name: string): Disposable | undefined
}

/** How long who asks first waits for a stream that only then begins. */
const BEGIN_MS = 10_000

/** The stream of this name, once somebody publishes it; undefined when nobody does in time or the signal is aborted. */
export function untilPublished(
  registry: StreamRegistry,
  name: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<LiveStream | undefined> {
  const live = registry.get(name)
  if (live || signal.aborted) return Promise.resolve(live)
  return new Promise((resolve) => {
    const over = (stream?: LiveStream) => {
      observing[Symbol.dispose]()
      late[Symbol.dispose]()
      signal.removeEventListener('abort', leave)
      resolve(stream)
    }
    const leave = () => over()
    const observing = registry.observe((stream) => stream.name === name && over(stream))
    const late = clock.after(BEGIN_MS, leave)
    signal.addEventListener('abort', leave, { once: true })
  })
}
