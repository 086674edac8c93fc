/** Time as a dependency: the only place that reads the system's clocks and timers. */
export interface Clock {
  /** Milliseconds since 1970; may jump when the system's clock is set. */
  now(): number
  /** Milliseconds on a clock that never goes back; only differences mean something. */
  monotonic(): number
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs `task` once after `ms` unless disposed. Does not keep the process alive. */
  after(ms: number, task: () => void): Disposable
  /** Runs `task` each `ms` until disposed. Does not keep the process alive. */
  every(ms: number, task: () => void): Disposable
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      const abort = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }, ms)
      signal?.addEventListener('abort', abort, { once: true })
    }),
  after: (ms, task) => {
    const timer = setTimeout(task, ms).unref()
    return { [Symbol.dispose]: () => clearTimeout(timer) }
  },
  every: (ms, task) => {
    const timer = setInterval(task, ms).unref()
    return { [Symbol.dispose]: () => clearInterval(timer) }
  },
}
