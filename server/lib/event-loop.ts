import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Metrics } from './metrics.ts'

const RESOLUTION_MS = 5

/** How late timers of this process came since the last look, 99 of 100 and at worst: above some milliseconds it has too much to do. */
export function measureEventLoop(metrics: Metrics): Disposable {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delays.enable()
  // A histogram of timers holds their period too.
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000)
  metrics.gauge(
    'nearcast_event_loop_delay_max_seconds',
    'The latest timer of the main process since the last look',
    () => seconds(delays.max),
  )
  metrics.gauge(
    'nearcast_event_loop_delay_p99_seconds',
    'How late timers of the main process came since the last look: 99 of 100 were no later',
    () => {
      const p99 = seconds(delays.percentile(99))
      delays.reset()
      return p99
    },
  )
  return { [Symbol.dispose]: () => void delays.disable() }
}
