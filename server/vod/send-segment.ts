import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'
import { nextTurn } from '../lib/in-turns.ts'
import type { CountingMetric } from '../lib/metrics.ts'
import type { ObjectRead, ObjectStore } from '../storage/object-store.ts'
import { withDeadline } from '../lib/deadline.ts'
import type { Film } from './film.ts'
import { mendPictures, type PlacedBytes } from './mend-pictures.ts'
import type { PlannedRead, SegmentLayout } from './segment.ts'

interface Deps {
  readonly store: ObjectStore
  readonly clock: Clock
  readonly mended: CountingMetric
}

const OPEN_DEADLINE_MS = 10_000
/** Between two chunks that were asked for. */
const CHUNK_DEADLINE_MS = 20_000
const PIECES_A_TURN = 512
/** Reads of a badly interleaved file that are open at a time. */
const OPEN_AHEAD = 4

/**
 * Opens the reads of a segment and gives its bytes as they arrive. Fails before the first byte with `object-changed` when the object
 * is another one now. `signal` ends the body too. The first bytes are waited for: a store that reads through a cache asks the origin
 * for them only then, and what it says must come before the viewer's status.
 */
export async function sendSegment(
  deps: Deps,
  film: Film,
  layout: SegmentLayout,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const [first] = layout.reads
  if (first === undefined) return only(layout.header)
  const ended = new AbortController()
  const scope = AbortSignal.any([signal, ended.signal])
  const opened = await openToFirstBytes(deps, film, first, scope).catch((error: unknown) => {
    // A read that opens after its deadline is nobody's.
    ended.abort(notWanted())
    throw error
  })
  const body = send(deps, film, layout, opened, scope, ended)
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => body.next(),
      // A generator that was never begun runs no `finally`, so the open read is ended here.
      return: () => {
        ended.abort(notWanted())
        return body.return(undefined)
      },
    }),
  }
}

function notWanted(): NearcastError {
  return new NearcastError('unavailable', 'the segment is not wanted any more')
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function* send(
  deps: Deps,
  film: Film,
  layout: SegmentLayout,
  opened: ObjectRead,
  signal: AbortSignal,
  ended: AbortController,
): AsyncGenerator<Uint8Array> {
  const pending: Promise<ObjectRead>[] = [Promise.resolve(opened)]
  const openNext = (index: number) => {
    const read = layout.reads[index]
    if (read === undefined) return
    const opening = open(deps, film, read, signal)
    opening.catch(() => {})
    pending.push(opening)
  }
  async function* mediaOf(): AsyncGenerator<PlacedBytes> {
    for (const [i, read] of layout.reads.entries()) {
      const source = await pending[i]
      if (source) yield* piecesOf(deps, film, read, source, signal)
      openNext(i + OPEN_AHEAD)
    }
  }
  try {
    for (let i = 1; i < OPEN_AHEAD; i += 1) openNext(i)
    yield layout.header
    const media = mediaOf()
    if (layout.pictures) yield* mendPictures(media, layout.pictures, () => deps.mended.add())
    else for await (const { bytes } of media) yield bytes
  } finally {
    ended.abort(notWanted())
  }
}

function open(
  { store, clock }: Deps,
  film: Film,
  { start, end }: PlannedRead,
  signal: AbortSignal,
): Promise<ObjectRead> {
  // The signal must outlive the opening, so the deadline only ends the wait for it.
  return withDeadline(clock, OPEN_DEADLINE_MS, film.key, signal, () =>
    store.read(film.key, {
      range: { start, end: end - 1 },
      ifMatch: film.info.etag,
      signal,
    }),
  )
}

async function openToFirstBytes(
  deps: Deps,
  film: Film,
  planned: PlannedRead,
  signal: AbortSignal,
): Promise<ObjectRead> {
  const opened = await open(deps, film, planned, signal)
  const chunks = opened.body[Symbol.asyncIterator]()
  const chunk = await nextChunk(deps, film, chunks, signal)
  let first: IteratorResult<Uint8Array> | undefined = chunk
  const next = async () => {
    const result = first
    first = undefined
    return result ?? chunks.next()
  }
  const done = async () => (await chunks.return?.()) ?? { done: true as const, value: undefined }
  return { ...opened, body: { [Symbol.asyncIterator]: () => ({ next, return: done }) } }
}

function nextChunk(
  { clock }: Deps,
  film: Film,
  chunks: AsyncIterator<Uint8Array>,
  signal: AbortSignal,
): Promise<IteratorResult<Uint8Array>> {
  return withDeadline(clock, CHUNK_DEADLINE_MS, film.key, signal, () => chunks.next())
}

/** The wanted pieces of one read, as views of the chunks that arrive. */
async function* piecesOf(
  deps: Deps,
  film: Film,
  read: PlannedRead,
  source: ObjectRead,
  signal: AbortSignal,
): AsyncGenerator<PlacedBytes> {
  let at = read.start
  let next = 0
  let given = 0
  const chunks = source.body[Symbol.asyncIterator]()
  try {
    while (next < read.pieces.length) {
      const chunk = await nextChunk(deps, film, chunks, signal)
      if (chunk.done) throw new NearcastError('store-failed', `${film.key} ended at byte ${at}`)
      const bytes = chunk.value
      const end = at + bytes.length
      for (; next < read.pieces.length; next += 1) {
        const piece = read.pieces[next]
        if (piece === undefined || piece.start >= end) break
        // They are there already: however many they are, nobody else would come in between.
        given += 1
        if (given % PIECES_A_TURN === 0) await nextTurn()
        const from = Math.max(0, piece.start - at)
        yield { at: at + from, bytes: bytes.subarray(from, Math.min(bytes.length, piece.end - at)) }
        if (piece.end > end) break
      }
      at = end
    }
  } finally {
    // Not waited for: a body that stands still may close only once `signal` ends it.
    void chunks.return?.().catch(() => {})
  }
}
