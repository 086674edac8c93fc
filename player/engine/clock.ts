/** Time and chance for the player: the only file of player/ that reads the browser's clocks and timers. */
export interface PlayerClock {
  /** Milliseconds since 1970 by the viewer's clock. */
  now(): number
  /** Milliseconds on a clock that never goes back. */
  monotonic(): number
  /** Runs `task` once after `ms`; the returned function cancels it. */
  after(ms: number, task: () => void): () => void
  /** Runs `task` each `ms` until the returned function is called. */
  every(ms: number, task: () => void): () => void
  /** A number in [0, 1): spreads polls of many players over time. */
  fraction(): number
}

/* oxlint-disable no-restricted-properties, no-restricted-globals -- the one place, as server/lib/clock.ts is for the server */
export const browserClock: PlayerClock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, task) => {
    const timer = setTimeout(task, ms)
    return () => clearTimeout(timer)
  },
  every: (ms, task) => {
    const timer = setInterval(task, ms)
    return () => clearInterval(timer)
  },
  fraction: () => Math.random(),
}
