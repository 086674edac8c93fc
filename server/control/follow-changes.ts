import type { Change } from '../distribution/change.ts'
import type { ChangesHeader } from '../distribution/read-change.ts'
import type { Distribution } from '../distribution/types.ts'
import { type Deferred, deferred } from '../lib/deferred.ts'
import type { ChangeLog, ChangePosition } from './change-log.ts'

/**
 * The header, what comes after `after`, then each change as it is made, until `signal` is aborted; for edges, so without
 * stream keys and without the fields that origins are sent. Ends by itself when a follower fell behind a fold: it asks again.
 */
export async function* followChanges(
  log: ChangeLog,
  distributions: () => readonly Distribution[],
  after: ChangePosition | undefined,
  signal: AbortSignal,
): AsyncGenerator<ChangesHeader | Change, void, undefined> {
  let wake: Deferred<void> = deferred<void>()
  using _ = log.subscribe(() => wake.resolve())
  const stop = () => wake.resolve()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const { epoch } = log.position
    const asked = after?.epoch === epoch ? after.seq : 0
    let last = log.since(asked) === undefined ? 0 : asked
    const seq = log.since(0)?.findLast(isTold)?.seq ?? 0
    yield { epoch, seq, floor: log.floor ?? 0, after: last, distributions: distributions() }
    while (!signal.aborted) {
      wake = deferred<void>()
      const changes = log.since(last)
      if (changes === undefined) return
      for (const change of changes) {
        last = change.seq
        if (isTold(change)) yield forEdges(change)
      }
      if (changes.length === 0) await wake.promise
    }
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** An edge takes no streams: their keys stay here. */
function isTold({ kind }: Change): boolean {
  return kind !== 'stream-key'
}

/** An edge reaches origins through its parent: what they are sent stays here. */
function forEdges(change: Change): Change {
  if (change.kind === 'origin' && change.options.kind === 'http')
    return { ...change, options: { ...change.options, headers: {} } }
  return change
}
