import type { RecordedSegment } from '../formats/recording/recording-index.ts'
import type { Journal } from './archive-journal.ts'
import type { Chapter } from './chapter.ts'
import type { ArchivedSegment } from './eviction.ts'
import { LiveWindow } from './window.ts'
import type { WindowLimits } from './window-limits.ts'
import type { RenditionId } from './window-event.ts'

/** So far behind is no disk that wrote anything in the last ten minutes. */
const MISSING_MAX = 1000
/** Behind more than half a day of missing segments a rendition begins anew; a damaged number would take for ever. */
const SILENT_MAX = 50_000

/** Tells a window that goes on where its older segments are; the oldest chapter first. */
export function attachChapters(window: LiveWindow, chapters: readonly Chapter[]): void {
  const older = new Map<RenditionId, ArchivedSegment[]>()
  for (const chapter of chapters)
    for (const [id, { segments }] of chapter.renditions) {
      const list = older.get(id) ?? []
      older.set(id, list)
      for (const segment of segments) list.push(archivedOf(segment, chapter.place))
    }
  for (const [id, segments] of older)
    window.restore(
      id,
      segments.sort((a, b) => a.sequence - b.sequence),
    )
}

/**
 * The window of a process that was killed, as its journals know it: all closed segments are in the archive, and the number of the one
 * that was open is missing. undefined when it had ended, or stood still for too long.
 */
export function windowOf(
  journals: readonly Journal[],
  {
    now,
    oldMs,
    limits,
  }: { readonly now: number; readonly oldMs: number; readonly limits: WindowLimits },
): LiveWindow | undefined {
  const [first] = journals
  const entries = journals.flatMap((journal) => journal.entries)
  const kept = entries.flatMap((entry) => (entry.kind === 'kept' ? [entry] : []))
  // Half a day of several renditions is more than a call takes as arguments.
  let newest = 0
  let lastKept = -1
  for (const { startedAt, seconds, sequence } of kept) {
    newest = Math.max(newest, startedAt + seconds * 1000)
    lastKept = Math.max(lastKept, sequence)
  }
  if (!first || now - newest > oldMs || entries.some(({ kind }) => kind === 'window-end'))
    return undefined
  const { id, name, bornAt, windowSeconds, dvrSeconds } = first.head
  const window = new LiveWindow(
    { kind: 'open', id, name, bornAt, windowSeconds, dvrSeconds },
    limits,
  )
  for (const entry of entries) {
    if (entry.kind === 'pace' || entry.kind === 'promise') window.apply(entry)
    if (entry.kind !== 'init') continue
    const { rendition, uri, facts, bitsPerSecond, media } = entry
    if (bitsPerSecond > 0) window.apply({ kind: 'announce', rendition, facts, bitsPerSecond })
    window.apply({ kind: 'init', rendition, uri, facts, bytes: Buffer.from(media, 'base64') })
  }
  const epoch = kept.at(-1)?.epoch
  if (epoch !== undefined) window.apply({ kind: 'publish', epoch })
  const begun = new Map<number, number>()
  // Where none is noted, the one behind the last that was kept had begun.
  const least = 1 + lastKept
  let last = least
  for (const entry of entries) {
    if (entry.kind !== 'begun' || entry.sequence > least + MISSING_MAX) continue
    begun.set(entry.sequence, entry.discontinuitySequence)
    last = Math.max(last, entry.sequence)
  }
  for (const rendition of window.renditions) {
    const own = kept.filter((entry) => entry.rendition === rendition.id)
    const end = own.at(-1)
    // Players know parts of the one that was open, so no other media may have its number.
    if (end) addMissing(window, rendition.id, end, last, begun)
  }
  return window
}

/** Segments of one rendition that are missing up to `last`; `begun`: their discontinuity sequences, where known. */
function addMissing(
  window: LiveWindow,
  id: RenditionId,
  end: RecordedSegment,
  last: number,
  begun: ReadonlyMap<number, number>,
): void {
  let startedAt = end.startedAt + end.seconds * 1000
  let { discontinuitySequence } = end
  const first = last - end.sequence > SILENT_MAX ? last : end.sequence + 1
  for (let sequence = first; sequence <= last; sequence++) {
    const gapSeconds = Math.max(0.2, end.seconds)
    const { epoch, init } = end
    const before = discontinuitySequence
    discontinuitySequence = Math.max(before, begun.get(sequence) ?? before)
    window.apply({
      kind: 'segment',
      rendition: id,
      sequence,
      epoch,
      init,
      startedAt: Math.round(startedAt),
      discontinuity: discontinuitySequence > before,
      discontinuitySequence,
      gapSeconds,
    })
    startedAt += gapSeconds * 1000
  }
}

function archivedOf(segment: RecordedSegment, place: string): ArchivedSegment {
  const { seconds, bytes, samples: _, independent: __, slate: ___, ...rest } = segment
  return {
    ...rest,
    durationSeconds: seconds,
    byteLength: bytes,
    place: segment.gap ? undefined : place,
  }
}
