import { firstListed, type Part, type Rendition, type Segment } from './segment.ts'
import type { LiveWindow } from './window.ts'
import type { WindowEvent } from './window-event.ts'

/** Segments at the end of each rendition that a replica is sent whole before its first answer: where players begin. */
const RECENT = 3
/** A segment of more parts is sent in full: its event would be longer than a tail takes. */
const PAST_PARTS_MAX = 1000

/** A segment whose media follows the snapshot. */
interface Owed {
  readonly rendition: string
  readonly sequence: number
  readonly startedAt: number
}

/** The events that make another window like this one, with the segments of the main playlist; rewinding begins there. */
export function snapshotOf(window: LiveWindow): readonly WindowEvent[] {
  return eventsOf(window, () => false)
}

/**
 * The same with the media of the newest segments only: older ones are named, so that playlists are whole at once, and
 * `owed` brings their media, newest first. What left the window meanwhile is left out.
 */
export function recentOf(window: LiveWindow): {
  readonly events: readonly WindowEvent[]
  readonly owed: Iterator<WindowEvent, undefined>
} {
  const late: Owed[] = []
  const events = eventsOf(window, (rendition, segment, fromEnd) => {
    const { sequence, startedAt, parts, open } = segment
    if (fromEnd < RECENT || open || parts.length > PAST_PARTS_MAX) return false
    late.push({ rendition: rendition.id, sequence, startedAt })
    return true
  })
  late.sort((a, b) => b.startedAt - a.startedAt || b.sequence - a.sequence)
  return { events, owed: mediaOf(window, late) }
}

function* mediaOf(window: LiveWindow, late: readonly Owed[]): Generator<WindowEvent, undefined> {
  for (const { rendition, sequence } of late) {
    const segment = window
      .rendition(rendition)
      ?.segments.findLast((one) => one.sequence === sequence)
    for (const { index, bytes } of segment?.parts ?? [])
      if (bytes) yield { kind: 'fill', rendition, sequence, index, bytes }
  }
  return undefined
}

type IsLate = (rendition: Rendition, segment: Segment, fromEnd: number) => boolean

function eventsOf(window: LiveWindow, isLate: IsLate): readonly WindowEvent[] {
  const { id, name, bornAt, windowSeconds, dvrSeconds } = window
  const events: WindowEvent[] = [{ kind: 'open', id, name, bornAt, windowSeconds, dvrSeconds }]
  const { partTargetSeconds, currentTarget, targets, targetFloor, epoch } = window
  if (partTargetSeconds !== undefined) events.push({ kind: 'pace', partTargetSeconds })
  if (currentTarget !== undefined)
    events.push({ kind: 'promise', targets, current: currentTarget, floor: targetFloor })
  if (epoch !== '') events.push({ kind: 'publish', epoch })
  for (const rendition of window.renditions)
    events.push(...renditionEvents(window, rendition, isLate))
  for (const range of window.dateRanges.list) events.push({ kind: 'date-range', ...range })
  if (window.ended) events.push({ kind: 'end' })
  return events
}

function renditionEvents(
  window: LiveWindow,
  rendition: Rendition,
  isLate: IsLate,
): readonly WindowEvent[] {
  const { id, facts } = rendition
  const seconds = Math.max(
    window.windowSeconds,
    3 * Math.max(window.targetFloor, ...window.targets),
  )
  const segments = rendition.segments.slice(firstListed(rendition.segments, seconds))
  const events: WindowEvent[] = []
  const { bitsPerSecond } = rendition
  if (bitsPerSecond > 0) events.push({ kind: 'announce', rendition: id, facts, bitsPerSecond })
  // The one in force comes last.
  const inits = new Set(segments.map((segment) => segment.init))
  inits.delete(rendition.init)
  for (const uri of inits.add(rendition.init)) {
    const bytes = window.init(id, uri)
    if (bytes) events.push({ kind: 'init', rendition: id, uri, facts, bytes })
  }
  for (const [at, segment] of segments.entries())
    events.push(...segmentEvents(id, segment, isLate(rendition, segment, segments.length - 1 - at)))
  if (rendition.retired) events.push({ kind: 'retire', rendition: id })
  return events
}

function segmentEvents(rendition: string, segment: Segment, late: boolean): readonly WindowEvent[] {
  const { sequence, epoch, init, startedAt, discontinuity, discontinuitySequence } = segment
  const named = {
    rendition,
    sequence,
    epoch,
    init,
    startedAt,
    discontinuity,
    discontinuitySequence,
  }
  if (segment.gap) return [{ kind: 'segment', ...named, gapSeconds: segment.durationSeconds }]
  if (!segment.held && segment.place !== undefined) {
    const { durationSeconds, byteLength, place } = segment
    return [{ kind: 'archived', ...named, durationSeconds, byteLength, place }]
  }
  if (late) return [{ kind: 'past', ...named, parts: segment.parts.map(entryOf) }]
  return [
    { kind: 'segment', ...named, gapSeconds: 0 },
    ...segment.parts.flatMap((part) => partEvent(rendition, sequence, part)),
    ...(segment.open ? [] : [{ kind: 'close', rendition, sequence } as const]),
  ]
}

function entryOf({ durationSeconds, independent, samples, byteLength }: Part) {
  return [durationSeconds, independent, samples, byteLength] as const
}

function partEvent(rendition: string, sequence: number, part: Part): readonly WindowEvent[] {
  const { index, durationSeconds, independent, samples, bytes } = part
  if (!bytes) return []
  return [
    { kind: 'part', rendition, sequence, index, durationSeconds, independent, samples, bytes },
  ]
}
