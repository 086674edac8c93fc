import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'

export interface AcknowledgeDeps {
  /** `EPOCH:SEQ` up to which changes are in force here; undefined while none is known. */
  readonly position: () => string | undefined
  /** `leaving`: the last word of this process. */
  readonly send: (position: string, leaving: boolean, signal: AbortSignal) => Promise<void>
  readonly clock: Clock
  readonly log: Log
}

/** Tells a parent how far this edge is. */
export interface Acknowledging {
  /** There may be more to tell. */
  changed(): void
  /** Says goodbye, so that nobody waits for it. */
  close(): Promise<void>
}

/** Said again so often, so that a parent that was started anew knows it too; well within what it remembers. */
const REPEAT_MS = 15_000
const SEND_MS = 5000
const LEAVE_MS = 500

/** One message at a time, and in it always the newest position: a burst of changes costs two. */
export function acknowledgeApplied(deps: AcknowledgeDeps): Acknowledging {
  const { clock, log, position, send } = deps
  const stop = new AbortController()
  let said: string | undefined
  let sending = false

  const tell = async () => {
    if (sending) return
    sending = true
    try {
      for (let now = position(); now !== undefined && now !== said; now = position()) {
        await send(now, false, AbortSignal.any([stop.signal, AbortSignal.timeout(SEND_MS)]))
        said = now
      }
    } catch (error) {
      // The next change, or the next turn, says it again.
      if (!stop.signal.aborted)
        log.debug('the parent was not told how far this edge is', { error: describeError(error) })
    } finally {
      sending = false
    }
  }
  const repeating = clock.every(REPEAT_MS, () => {
    said = undefined
    void tell()
  })
  return {
    changed: () => void tell(),
    close: async () => {
      repeating[Symbol.dispose]()
      stop.abort()
      const last = position()
      // Without it, the parent forgets this process after a while.
      if (last !== undefined) await send(last, true, AbortSignal.timeout(LEAVE_MS)).catch(() => {})
    },
  }
}
