import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'
import { writeTailEvent, writeTailHead } from './tail.ts'
import type { LiveWindow } from './window.ts'
import { recentOf } from './window-snapshot.ts'
import type { WindowEvent } from './window-event.ts'

/** What a tail may have waiting beyond its snapshot: about 20 s at 12 Mbit/s. */
export const TAIL_QUEUE_BYTES_MAX = 32 * 1024 * 1024

/** The reader at the other end takes a silence of three of these for a broken connection. */
export const BEAT_MS = 5000

/**
 * A window as bytes: what it holds now, then each change as it happens, until it ends or the reader is too slow. Media of
 * older segments comes when nothing newer waits. The bytes stay the window's own.
 */
export async function* tailOf(
  window: LiveWindow,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let queue: Uint8Array[] = []
  let bytes = 0
  let failure: NearcastError | undefined
  let ended = window.ended
  let wake = () => {}
  const add = (event: WindowEvent) => {
    if (failure) return
    for (const piece of writeTailEvent(event)) {
      queue.push(piece)
      bytes += piece.length
    }
    if (event.kind === 'end') ended = true
    if (bytes > TAIL_QUEUE_BYTES_MAX) {
      failure = new NearcastError('limit-exceeded', `the tail of ${window.name} is read too slowly`)
      queue = []
    }
    wake()
  }
  // The first beat says that the snapshot is whole: before it a replica shows nothing.
  const { events, owed } = recentOf(window)
  const snapshot: readonly WindowEvent[] = [...events, { kind: 'beat' }]
  const head = [writeTailHead(), ...snapshot.flatMap(writeTailEvent)]
  using _listening = window.listen(add)
  using _beat = clock.every(BEAT_MS, () => add({ kind: 'beat' }))
  const stop = () => wake()
  signal.addEventListener('abort', stop, { once: true })
  try {
    yield* head
    for (;;) {
      if (failure) throw failure
      if (signal.aborted) return
      const pieces = queue
      queue = []
      bytes = 0
      yield* pieces
      if (queue.length > 0 || failure) continue
      const older = owed.next()
      if (!older.done) {
        yield* writeTailEvent(older.value)
        continue
      }
      if (ended && queue.length === 0) return
      if (queue.length === 0 && !failure && !signal.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
