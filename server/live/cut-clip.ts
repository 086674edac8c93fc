import type { RecordingIndex } from '../formats/recording/recording-index.ts'
import { isPlayed, leadOf } from '../formats/recording/recording-totals.ts'

/** Starts are whole milliseconds, and slewed: a segment that is touched by no more than this is not meant. */
const TOUCH_MS = 20

/**
 * The part of a recording between two moments (milliseconds since 1970), whole segments: it begins where a decoder can. undefined when
 * the recording has nothing there. `of` is the START of the recording.
 */
export function cutClip(
  index: RecordingIndex,
  of: string,
  from: number,
  to: number,
): RecordingIndex | undefined {
  const lead = leadOf(index)
  if (!lead) return undefined
  const segments = lead.segments.filter(({ slate }) => !slate)
  const touches = ({ startedAt, seconds }: { startedAt: number; seconds: number }) =>
    startedAt < to - TOUCH_MS && startedAt + seconds * 1000 > from + TOUCH_MS
  let first = segments.findIndex(touches)
  const last = segments.findLastIndex(touches)
  if (first < 0) return undefined
  while (first > 0 && !segments[first]?.independent && !segments[first]?.gap) first--
  const begin = segments[first]
  const end = segments[last]
  if (!begin || !end) return undefined
  const renditions = index.renditions.flatMap((rendition) => {
    const own = rendition.segments.filter(
      ({ sequence }) => sequence >= begin.sequence && sequence <= end.sequence,
    )
    return own.some(isPlayed) ? [{ ...rendition, segments: own }] : []
  })
  if (!renditions.some(({ id }) => id === lead.id)) return undefined
  return { stream: index.stream, startedAt: begin.startedAt, ended: true, of, renditions }
}
