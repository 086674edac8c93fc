import type { Clock } from '../lib/clock.ts'
import type { StreamRegistry } from '../stream/registry.ts'
import { type Demand, untilPublished } from '../stream/until-published.ts'
import { livePlaySource } from './play-live.ts'
import type { PlaySource } from './play-source.ts'

/** A stream that begins when it is played; its player is told the end when it does not begin in time. */
export function demandedPlaySource(
  name: string,
  deps: { readonly registry: StreamRegistry; readonly demand: Demand; readonly clock: Clock },
): PlaySource {
  return {
    name,
    durationSeconds: undefined,
    start: (output) => {
      const hold = deps.demand.hold(name)
      const stop = new AbortController()
      const live = deps.registry.get(name)
      let reading = live && livePlaySource(live).start(output)
      if (!live)
        void untilPublished(deps.registry, name, deps.clock, stop.signal).then((stream) => {
          if (stop.signal.aborted) return
          if (stream) reading = livePlaySource(stream).start(output)
          else output.finish()
        })
      return {
        [Symbol.dispose]: () => {
          stop.abort()
          reading?.[Symbol.dispose]()
          hold?.[Symbol.dispose]()
        },
      }
    },
  }
}
