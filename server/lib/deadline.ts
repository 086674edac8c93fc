import type { Clock } from './clock.ts'
import { NearcastError } from './errors.ts'

/** Runs `task` with a signal that follows `parent` and is aborted after `ms`, when the result is `origin-timeout`. */
export async function withDeadline<T>(
  clock: Clock,
  ms: number,
  what: string,
  parent: AbortSignal,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  parent.throwIfAborted()
  const controller = new AbortController()
  const follow = () => controller.abort(parent.reason)
  parent.addEventListener('abort', follow, { once: true })
  const timer = clock.after(ms, () =>
    controller.abort(new NearcastError('origin-timeout', `${what} took more than ${ms} ms`)),
  )
  try {
    return await orAborted(task(controller.signal), controller.signal)
  } finally {
    timer[Symbol.dispose]()
    parent.removeEventListener('abort', follow)
  }
}

/** The result, or the signal's reason if that comes first. A late failure of `work` is nobody's any more. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      work.catch(() => {})
      reject(signal.reason)
      return
    }
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    work
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort))
      .catch(() => {})
  })
}
