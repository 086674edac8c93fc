import { firstListed, type Part, type Rendition, type Segment } from './segment.ts'
import type { RenditionFacts, RenditionId, SegmentEvent } from './window-event.ts'

export interface MutablePart extends Part {
  bytes: Uint8Array | undefined
}
export interface MutableSegment extends Segment {
  parts: MutablePart[]
  durationSeconds: number
  byteLength: number
  initChanged: boolean
  open: boolean
  gap: boolean
  held: boolean
  place: string | undefined
}
export interface MutableRendition extends Rendition {
  facts: RenditionFacts
  bitsPerSecond: number
  init: string
  retired: boolean
  segments: MutableSegment[]
  /** So many of the first segments are not held: they are in an archive, or missing. */
  bare: number
  readonly inits: Map<string, Uint8Array>
}

export type ForgetSegment = (rendition: RenditionId, segment: Segment) => void

/** A segment whose media an archive has, or that is missing (`gap`). */
export type ArchivedSegment = Omit<Segment, 'parts' | 'open' | 'held' | 'initChanged'>

export function emptyRendition(id: RenditionId, facts: RenditionFacts): MutableRendition {
  return {
    id,
    facts,
    bitsPerSecond: 0,
    init: '',
    retired: false,
    segments: [],
    bare: 0,
    inits: new Map(),
  }
}

/** A segment that begins behind `last`: open, or a gap that is closed at once. */
export function emptySegment(event: SegmentEvent, last: Segment | undefined): MutableSegment {
  const { sequence, epoch, init, startedAt, discontinuity, discontinuitySequence } = event
  const gap = event.gapSeconds > 0
  return {
    sequence,
    epoch,
    init,
    initChanged: last !== undefined && last.init !== init,
    startedAt,
    discontinuity,
    discontinuitySequence,
    gap,
    parts: [],
    durationSeconds: event.gapSeconds,
    byteLength: 0,
    open: !gap,
    held: !gap,
    place: undefined,
  }
}

/** Drops the media of stored segments further than `seconds` from the end; gives the bytes that are free now. */
export function letGoOfStored(rendition: MutableRendition, seconds: number): number {
  const until = firstListed(rendition.segments, seconds)
  let free = 0
  while (rendition.bare < until) {
    const segment = rendition.segments[rendition.bare]
    // In order: what is not stored yet holds back what is behind it, and the window's bound of bytes holds both.
    if (!segment || (segment.held && segment.place === undefined)) break
    free += letGo(segment)
    rendition.bare++
  }
  return free
}

/** Drops a segment's media, and with it its parts, which no playlist lists any more; gives the bytes. */
export function letGo(segment: MutableSegment): number {
  if (!segment.held) return 0
  segment.parts = []
  segment.held = false
  return segment.byteLength
}

/** Its media is nowhere (rfc8216bis §4.4.4.7). */
export function becomeGap(segment: MutableSegment): void {
  segment.gap = true
  segment.place = undefined
}

/** The oldest segment in memory of a rendition that has another behind it. */
export function oldestHeld(
  renditions: Iterable<MutableRendition>,
): { readonly rendition: MutableRendition; readonly segment: MutableSegment } | undefined {
  let oldest: { rendition: MutableRendition; segment: MutableSegment } | undefined
  for (const rendition of renditions) {
    const { segments } = rendition
    while (rendition.bare < segments.length && segments[rendition.bare]?.held === false)
      rendition.bare++
    const segment = segments[rendition.bare]
    if (!segment || rendition.bare === segments.length - 1) continue
    if (!oldest || segment.startedAt < oldest.segment.startedAt) oldest = { rendition, segment }
  }
  return oldest
}

/**
 * Tells known segments where they are archived, and puts older ones before them. The numbers of a playlist have no hole
 * (rfc8216bis §4.4.3.2), so what lies before one is left out.
 */
export function restoreSegments(
  rendition: MutableRendition,
  older: readonly ArchivedSegment[],
): void {
  const known = new Map(rendition.segments.map((segment) => [segment.sequence, segment]))
  for (const { sequence, epoch, place } of older) {
    const segment = known.get(sequence)
    if (segment && segment.epoch === epoch && !segment.gap) segment.place = place
  }
  const first = rendition.segments[0]
  const before: MutableSegment[] = []
  let next = first?.sequence
  for (const one of older.toReversed()) {
    if (next !== undefined && one.sequence >= next) continue
    if (next !== undefined && one.sequence !== next - 1) break
    next = one.sequence
    before.push({ ...one, parts: [], open: false, held: false, initChanged: false })
  }
  before.reverse()
  rendition.segments = [...before, ...rendition.segments]
  rendition.bare = rendition.segments.findIndex((segment) => segment.held)
  if (rendition.bare < 0) rendition.bare = rendition.segments.length
  let init: string | undefined
  for (const segment of rendition.segments.slice(0, before.length + 1)) {
    segment.initChanged = init !== undefined && init !== segment.init
    init = segment.init
  }
}
