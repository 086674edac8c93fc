import { assertNever, NearcastError } from '../lib/errors.ts'
import { Audience } from './audience.ts'
import { DateRanges } from './date-ranges.ts'
import {
  type ArchivedSegment,
  becomeGap,
  emptyRendition,
  emptySegment,
  type ForgetSegment,
  letGo,
  letGoOfStored,
  type MutableRendition,
  type MutableSegment,
  oldestHeld,
  restoreSegments,
} from './eviction.ts'
import { dropUnusedInits, keepInit } from './init-sections.ts'
import { firstListed, holdsMoreThan, isSilent, type Rendition } from './segment.ts'
import { WaitingRoom } from './waiting-room.ts'
import { DEFAULT_WINDOW_LIMITS, type WindowLimits } from './window-limits.ts'
import type {
  ArchivedEvent,
  FillEvent,
  PartEvent,
  PastEvent,
  RenditionFacts,
  RenditionId,
  SegmentEvent,
  WindowEvent,
} from './window-event.ts'

/** Bounds for what a parent or a saved file says; far above what a segmenter makes. */
const SEGMENTS_MAX = 50_000
const PARTS_MAX = 10_000
const RENDITIONS_MAX = 64

/**
 * What of a live stream can be asked for now: its renditions, segments and parts, and who waits for the next one.
 * It changes only by events, which may be applied twice: what is known already is skipped.
 */
export class LiveWindow {
  readonly id: string
  readonly name: string
  readonly bornAt: number
  readonly windowSeconds: number
  readonly dvrSeconds: number
  /** Grows with each change: what was rendered from another version is old. */
  version = 0
  ended = false
  epoch = ''
  partTargetSeconds: number | undefined
  targets: readonly number[] = []
  currentTarget: number | undefined
  /** No playlist says a smaller target duration: the longest segment so far, rounded. */
  targetFloor = 0
  byteLength = 0
  /** Grows when media is lost that playlists name: what was written of old segments is not true any more. */
  losses = 0
  /** Told of each closed segment that leaves the window. */
  onForgotten: ForgetSegment | undefined
  readonly audience = new Audience()
  readonly dateRanges = new DateRanges()
  readonly #limits: WindowLimits
  readonly #renditions = new Map<RenditionId, MutableRendition>()
  readonly #listeners = new Set<(event: WindowEvent) => void>()
  readonly #waiting = new WaitingRoom()

  constructor(open: Extract<WindowEvent, { kind: 'open' }>, limits = DEFAULT_WINDOW_LIMITS) {
    this.id = open.id
    this.name = open.name
    this.bornAt = open.bornAt
    this.windowSeconds = open.windowSeconds
    this.dvrSeconds = open.dvrSeconds
    this.#limits = limits
  }

  get renditions(): readonly Rendition[] {
    return [...this.#renditions.values()]
  }
  rendition(id: RenditionId): Rendition | undefined {
    return this.#renditions.get(id)
  }
  init(id: RenditionId, uri: string): Uint8Array | undefined {
    return this.#renditions.get(id)?.inits.get(uri)
  }
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Everything a player needs is there. hls.js begins PART-HOLD-BACK behind the end: before there is so much media it
   * would ask for what was before the first part, and rest for a second.
   */
  get playable(): boolean {
    // A rung comes a little later: its own playlist waits for it.
    const own = this.offered.filter((rendition) => rendition.bitsPerSecond === 0)
    return own.length > 0 && own.every((rendition) => this.#isPlayable(rendition))
  }
  /** This rendition can be played on, whatever another one still lacks. */
  plays(id: RenditionId): boolean {
    const rendition = this.#renditions.get(id)
    return rendition !== undefined && this.#isPlayable(rendition)
  }
  /** What new viewers are told of: players wait for every rendition they know, also for one that never comes. */
  get offered(): readonly Rendition[] {
    return this.renditions.filter((rendition) => !rendition.retired && !isSilent(rendition))
  }

  /** Throws `origin-failed` when the event doesn't follow from what was applied before. */
  apply(event: WindowEvent): void {
    this.#change(event)
    // Nothing rendered changes when the media arrives that was named before.
    if (event.kind !== 'fill') this.version++
    for (const listener of this.#listeners) listener(event)
    this.#waiting.wake()
  }

  listen(listener: (event: WindowEvent) => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  /** Calls `wake` once when `ready` holds, which is the same for all of one `what`; the caller has a deadline of its own and disposes. */
  wait(what: string, ready: () => boolean, wake: () => void): Disposable {
    return this.#waiting.wait(what, ready, wake)
  }

  /** Wakes everybody: this window is replaced or dropped, and they find out by themselves. */
  release(): void {
    this.#waiting.release()
  }

  /** An archive has this segment: memory may let go of it. False when it is not in the window any more. */
  store(id: RenditionId, sequence: number, place: string): boolean {
    const rendition = this.#renditions.get(id)
    const segment = rendition?.segments.findLast((one) => one.sequence === sequence)
    if (!rendition || !segment || segment.open || segment.gap) return false
    segment.place = place
    this.#letGo(rendition)
    return true
  }

  /** What an archive had promised is not there: the segment is a gap from now on. */
  lose(id: RenditionId, sequence: number): void {
    const segment = this.#renditions.get(id)?.segments.findLast((one) => one.sequence === sequence)
    if (!segment || segment.held || segment.gap) return
    becomeGap(segment)
    this.losses++
    this.version++
  }

  /** What an archive has from before: told of segments that are known, put before them where they join. */
  restore(id: RenditionId, older: readonly ArchivedSegment[]): void {
    const rendition = this.#renditions.get(id)
    if (!rendition) return
    restoreSegments(rendition, older)
    this.losses++
    this.version++
    this.#evict(rendition)
  }

  #isPlayable(rendition: Rendition): boolean {
    const { partTargetSeconds, currentTarget } = this
    if (partTargetSeconds === undefined || currentTarget === undefined) return false
    return holdsMoreThan(rendition, this.ended ? 0 : 3 * partTargetSeconds)
  }

  #change(event: WindowEvent): void {
    switch (event.kind) {
      case 'open':
        if (event.id !== this.id) throw broken(`window ${event.id} is not ${this.id}`)
        return
      case 'pace':
        this.partTargetSeconds ??= event.partTargetSeconds
        return
      case 'promise':
        this.targets = event.targets
        this.currentTarget = event.current
        this.targetFloor = Math.max(this.targetFloor, event.floor)
        return
      case 'publish':
        this.epoch = event.epoch
        return
      case 'announce':
        this.#announce(event.rendition, event.facts, event.bitsPerSecond)
        return
      case 'init':
        this.#addInit(event.rendition, event.uri, event.facts, event.bytes)
        return
      case 'segment':
        this.#addSegment(event)
        return
      case 'part':
        this.#addPart(event)
        return
      case 'past':
        this.#addPast(event)
        return
      case 'archived':
        this.#addArchived(event)
        return
      case 'fill':
        this.#fill(event)
        return
      case 'date-range':
        this.dateRanges.add(event)
        return
      case 'close':
        this.#closeSegment(event.rendition, event.sequence)
        return
      case 'retire':
        this.#find(event.rendition).retired = true
        return
      case 'end':
        this.ended = true
        return
      case 'beat':
      case 'saved':
        return
      default:
        assertNever(event)
    }
  }

  #addInit(id: RenditionId, uri: string, facts: RenditionFacts, bytes: Uint8Array): void {
    const rendition = this.#renditions.get(id) ?? this.#open(id, facts)
    rendition.facts = facts
    rendition.retired = false
    keepInit(rendition, uri, bytes)
  }

  #announce(id: RenditionId, facts: RenditionFacts, bitsPerSecond: number): void {
    const rendition = this.#renditions.get(id) ?? this.#open(id, facts)
    rendition.facts = facts
    rendition.bitsPerSecond = bitsPerSecond
    rendition.retired = false
  }

  #open(id: RenditionId, facts: RenditionFacts): MutableRendition {
    if (this.#renditions.size >= RENDITIONS_MAX) throw broken(`rendition ${id} is one too many`)
    const rendition = emptyRendition(id, facts)
    this.#renditions.set(id, rendition)
    return rendition
  }

  #addSegment(event: SegmentEvent): void {
    const rendition = this.#find(event.rendition)
    const last = rendition.segments.at(-1)
    if (last && event.sequence <= last.sequence) return
    const hole = last !== undefined && event.sequence > last.sequence + 1
    if (last?.open && !hole)
      throw broken(`segment ${event.sequence} begins while ${last.sequence} is open`)
    const gap = event.gapSeconds > 0
    rendition.segments.push(emptySegment(event, last))
    // A replica that was cut off for long: the numbers of a playlist have no hole (rfc8216bis §4.4.3.2).
    if (hole) this.#forget(rendition, rendition.segments.length - 1)
    if (gap) this.#evict(rendition)
    if (rendition.segments.length > SEGMENTS_MAX) this.#forget(rendition, 1)
  }

  #addPart(event: PartEvent): void {
    const rendition = this.#find(event.rendition)
    const segment = rendition.segments.at(-1)
    if (!segment || event.sequence < segment.sequence) return
    if (event.sequence > segment.sequence)
      throw broken(`part of segment ${event.sequence} in segment ${segment.sequence}`)
    if (event.index < segment.parts.length) {
      this.#fill(event)
      return
    }
    if (event.index > segment.parts.length || event.index >= PARTS_MAX || !segment.open)
      throw broken(`part ${event.index} does not fit segment ${event.sequence}`)
    segment.parts.push({
      index: event.index,
      durationSeconds: event.durationSeconds,
      independent: event.independent,
      samples: event.samples,
      byteLength: event.bytes.length,
      bytes: event.bytes,
    })
    this.#grow(segment, event.durationSeconds, event.bytes.length)
    this.#evictByBytes()
  }

  /** Its media counts from now on: it was asked for and comes. */
  #addPast(event: PastEvent): void {
    this.#addSegment({ ...event, kind: 'segment', gapSeconds: 0 })
    const segment = this.#find(event.rendition).segments.at(-1)
    if (!segment?.open || segment.sequence !== event.sequence) return
    for (const [index, part] of event.parts.entries()) {
      if (index < segment.parts.length) continue
      const [durationSeconds, independent, samples, byteLength] = part
      segment.parts.push({
        index,
        durationSeconds,
        independent,
        samples,
        byteLength,
        bytes: undefined,
      })
      this.#grow(segment, durationSeconds, byteLength)
    }
    this.#evictByBytes()
    this.#closeSegment(event.rendition, event.sequence)
  }

  #addArchived(event: ArchivedEvent): void {
    this.#addSegment({ ...event, kind: 'segment', gapSeconds: 0 })
    const segment = this.#find(event.rendition).segments.at(-1)
    if (!segment?.open || segment.sequence !== event.sequence || segment.parts.length > 0) return
    segment.durationSeconds = event.durationSeconds
    segment.byteLength = event.byteLength
    segment.place = event.place
    segment.open = false
    segment.held = false
  }

  #fill({ rendition, sequence, index, bytes }: FillEvent | PartEvent): void {
    const segment = this.#find(rendition).segments.findLast((one) => one.sequence === sequence)
    const part = segment?.parts[index]
    if (!part || part.bytes) return
    if (bytes.length !== part.byteLength)
      throw broken(`part ${index} of segment ${sequence} has ${bytes.length} bytes`)
    part.bytes = bytes
  }

  #grow(segment: MutableSegment, seconds: number, bytes: number): void {
    segment.durationSeconds += seconds
    segment.byteLength += bytes
    this.byteLength += bytes
  }

  #closeSegment(id: RenditionId, sequence: number): void {
    const rendition = this.#find(id)
    const segment = rendition.segments.at(-1)
    if (!segment || sequence < segment.sequence || !segment.open) return
    if (sequence !== segment.sequence) throw broken(`segment ${sequence} is not the open one`)
    segment.open = false
    this.targetFloor = Math.max(this.targetFloor, Math.round(segment.durationSeconds))
    this.#evict(rendition)
  }

  #find(id: RenditionId): MutableRendition {
    const rendition = this.#renditions.get(id)
    if (!rendition) throw broken(`rendition ${id} has no init section`)
    return rendition
  }

  /**
   * rfc8216bis §6.2.2: what leaves the playlist stays to be had for as long as the longest playlist that named it, here once
   * more the length of the main one; of the rewind window, for that long too.
   */
  #evict(rendition: MutableRendition): void {
    const listed = Math.max(this.windowSeconds, 3 * Math.max(this.targetFloor, ...this.targets))
    const keepSeconds = Math.max(listed, this.dvrSeconds) + this.windowSeconds
    this.#forget(rendition, firstListed(rendition.segments, keepSeconds))
    this.#letGo(rendition)
    const begins = this.renditions.flatMap(({ segments }) => segments[0]?.startedAt ?? [])
    this.dateRanges.dropBefore(Math.min(...begins))
  }

  #letGo(rendition: MutableRendition): void {
    this.byteLength -= letGoOfStored(rendition, 2 * this.windowSeconds)
  }

  #evictByBytes(): void {
    while (this.byteLength > this.#limits.bytes) {
      const oldest = oldestHeld(this.#renditions.values())
      if (!oldest) return
      const { rendition, segment } = oldest
      const at = rendition.bare
      if (segment.place === undefined && at === 0) {
        this.#forget(rendition, 1)
        continue
      }
      this.byteLength -= letGo(segment)
      rendition.bare = at + 1
      if (segment.place !== undefined) continue
      // Older ones are in the archive: this one alone is missing.
      becomeGap(segment)
      this.losses++
    }
  }

  #forget(rendition: MutableRendition, count: number): void {
    if (count === 0) return
    rendition.bare = Math.max(0, rendition.bare - count)
    for (const segment of rendition.segments.splice(0, count)) {
      if (segment.held) this.byteLength -= segment.byteLength
      if (segment.place !== undefined) this.onForgotten?.(rendition.id, segment)
    }
    dropUnusedInits(rendition)
  }
}

function broken(message: string): NearcastError {
  return new NearcastError('origin-failed', message)
}
