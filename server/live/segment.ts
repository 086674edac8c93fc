import type { RenditionFacts, RenditionId } from './window-event.ts'

export interface Part {
  readonly index: number
  readonly durationSeconds: number
  readonly independent: boolean
  readonly samples: number
  readonly byteLength: number
  /** undefined in a replica while they are on their way. */
  readonly bytes: Uint8Array | undefined
}

export interface Segment {
  readonly sequence: number
  readonly epoch: string
  readonly init: string
  /** Another init section than the segment before. */
  readonly initChanged: boolean
  readonly startedAt: number
  readonly discontinuity: boolean
  readonly discontinuitySequence: number
  readonly gap: boolean
  readonly parts: readonly Part[]
  readonly durationSeconds: number
  readonly byteLength: number
  readonly open: boolean
  /** Its media is in memory, or on its way there. */
  readonly held: boolean
  /** Where an archive has it: what its objects' keys begin with; undefined: nowhere. */
  readonly place: string | undefined
}

export interface Rendition {
  readonly id: RenditionId
  readonly facts: RenditionFacts
  /** The encoder's bound for a rung, in bits a second; 0 for what the publisher sends itself. */
  readonly bitsPerSecond: number
  /** URI of the init section of what comes next; empty for a rung that has not begun. */
  readonly init: string
  readonly retired: boolean
  /** All that is kept, listed or not, oldest first; only the last may be open, and then has a part. */
  readonly segments: readonly Segment[]
}

/** Index of the first segment of a playlist of at least `seconds`: the latest with which the closed ones last so long. */
export function firstListed(segments: readonly Segment[], seconds: number): number {
  let sum = 0
  for (let i = segments.length - 1; i >= 0; i--) {
    const segment = segments[i]
    if (segment && !segment.open) sum += segment.durationSeconds
    if (sum >= seconds) return i
  }
  return 0
}

/** Where the next part of a rendition will be: in the open segment, or first of the next one. */
export function nextPart(rendition: Rendition): { sequence: number; index: number } {
  const last = rendition.segments.at(-1)
  if (!last) return { sequence: 0, index: 0 }
  return last.open
    ? { sequence: last.sequence, index: last.parts.length }
    : { sequence: last.sequence + 1, index: 0 }
}

/** What the name of that part begins with. */
export function hintedEpoch(window: { readonly epoch: string }, rendition: Rendition): string {
  const last = rendition.segments.at(-1)
  return last?.open ? last.epoch : window.epoch
}

/** Parts that are listed as missing of a segment that is a gap: none longer than the target; 0 for another segment. */
export function gapPartCount(segment: Segment, partTargetSeconds: number): number {
  return segment.gap
    ? Math.max(1, Math.ceil(segment.durationSeconds / partTargetSeconds - 1e-6))
    : 0
}

/** More than so many seconds of media are there. */
export function holdsMoreThan({ segments }: Rendition, seconds: number): boolean {
  let sum = 0
  for (let i = segments.length - 1; i >= 0 && sum <= seconds; i--) {
    const segment = segments[i]
    if (segment && !segment.gap) sum += segment.durationSeconds
  }
  return sum > seconds
}

/** Announced by the publisher, but nothing came for a whole segment: whoever waits for it waits in vain. */
export function isSilent({ segments }: Rendition): boolean {
  // The first segment of a rendition is a gap in all windows.
  return segments.length > 1 && segments.every((segment) => segment.gap)
}

/** Date at which a window's media ends, milliseconds since 1970; that of its birth before there is any. */
export function endOf(window: {
  readonly bornAt: number
  readonly renditions: readonly Rendition[]
}): number {
  const ends = window.renditions.flatMap(({ segments }) => {
    const last = segments.at(-1)
    return last ? last.startedAt + last.durationSeconds * 1000 : []
  })
  return Math.max(window.bornAt, ...ends)
}
