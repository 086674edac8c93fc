import type { RecordedRendition, RecordedSegment, RecordingIndex } from './recording-index.ts'

export interface RecordingTotals {
  /** End of the last segment that is shown, milliseconds since 1970; its start while it has none. */
  readonly endsAt: number
  /** Of its longest rendition. */
  readonly seconds: number
  /** Of all renditions. */
  readonly bytes: number
  readonly missingSegments: number
}

export function totalsOf({ startedAt, renditions }: RecordingIndex): RecordingTotals {
  let endsAt = startedAt
  let longest = 0
  let bytes = 0
  let missingSegments = 0
  for (const { segments } of renditions) {
    let seconds = 0
    for (const segment of segments) {
      if (segment.slate) continue
      seconds += segment.seconds
      if (segment.gap) missingSegments++
      else bytes += segment.bytes
    }
    const last = segments.findLast(({ slate }) => !slate)
    if (last) endsAt = Math.max(endsAt, Math.round(last.startedAt + last.seconds * 1000))
    longest = Math.max(longest, seconds)
  }
  return { endsAt, seconds: Math.round(longest * 1000) / 1000, bytes, missingSegments }
}

/** It has media, and it is a publisher's. */
export function isPlayed({ gap, slate }: RecordedSegment): boolean {
  return !gap && !slate
}

/** The rendition that all others are cut with: the first picture, else the first sound; undefined when it has no media yet. */
export function leadOf({ renditions }: RecordingIndex): RecordedRendition | undefined {
  const begun = renditions.filter(({ segments }) => segments.some(isPlayed))
  return begun.find(({ facts }) => facts.kind === 'video') ?? begun[0]
}
