import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { ChangeLog } from './change-log.ts'
import { expiredStreamKeys, revokeStreamKey } from './stream-keys.ts'

export interface ExpireKeysDeps {
  readonly changes: ChangeLog
  readonly clock: Clock
  readonly log: Log
  /** Ends those who publish this name with a key that no longer holds. */
  readonly cutRevoked: (name: string) => void
}

const CHECK_MS = 1000

/** Revokes keys that were replaced when their overlap is over, and cuts who publishes with one, within a second. */
export function expireKeys(deps: ExpireKeysDeps): Disposable {
  const { changes, clock, log, cutRevoked } = deps
  // The log may be long, and nearly always no key in it has an end.
  let limited = true
  let busy = false
  const told = new Set<string>()
  const subscription = changes.subscribe((change) => {
    if (change.kind === 'stream-key' && change.until !== undefined) limited = true
  })
  const check = async () => {
    for (const key of expiredStreamKeys(changes, clock.now())) {
      // It holds no longer whether that can be written or not.
      cutRevoked(key.name)
      try {
        await revokeStreamKey(changes, key)
        told.delete(key.id)
        log.info('stream key expired', { stream: key.name, id: key.id })
      } catch (error) {
        if (told.has(key.id)) continue
        told.add(key.id)
        const reason = describeError(error)
        log.warn('an expired key is not written down', { id: key.id, error: reason })
      }
    }
    limited = expiredStreamKeys(changes, Number.POSITIVE_INFINITY).length > 0
  }
  const timer = clock.every(CHECK_MS, () => {
    if (!limited || busy) return
    busy = true
    void check().finally(() => {
      busy = false
    })
  })
  return {
    [Symbol.dispose]: () => {
      timer[Symbol.dispose]()
      subscription[Symbol.dispose]()
    },
  }
}
