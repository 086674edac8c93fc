import type { Frame } from '../codecs/frame.ts'
import { videoRangeOf } from '../codecs/colour.ts'
import { silentFrame } from '../codecs/silence.ts'
import type { AudioTrack, Track, VideoTrack } from '../codecs/track.ts'
import { writeInit } from '../formats/isobmff/write-init.ts'
import type { Clock } from '../lib/clock.ts'
import { initUri } from './address.ts'
import { AudioFollower } from './audio-follower.ts'
import { CaptionWatch } from './caption-watch.ts'
import type { Follower } from './follower.ts'
import { type Cut, Lane, type Leading } from './lane.ts'
import {
  audioGrid,
  type Chosen,
  coloursLike,
  factsOf,
  renditionIdOf,
  VIDEO_TIMESCALE,
} from './lane-tracks.ts'
import { PartGate } from './part-gate.ts'
import type { Rung } from './rung.ts'
import { StampRepairs } from './stamp-repairs.ts'
import { VideoFollower } from './video-follower.ts'
import type { LiveWindow } from './window.ts'
import type { RenditionId } from './window-event.ts'

export interface LaneSetOptions {
  readonly window: LiveWindow
  readonly epoch: string
  readonly clock: Clock
  readonly leading: Leading
}

/** A rung whose encoder has begun. */
interface Encoded {
  readonly follower: VideoFollower
  /** Of its frames. */
  readonly timescale: number
  /** The first segment that it may have a part in. */
  readonly fromSequence: number
}

const LEAD_IN_MS = 200
const NO_DISCONTINUITY = { discontinuity: false, discontinuitySequence: 0 } as const

/** All renditions of one publish: the lane that leads, and what is cut where it is cut. */
export class LaneSet {
  readonly #options: LaneSetOptions
  readonly #gate: PartGate
  /** What the lead's stamps needed, its rungs' need, too. */
  readonly repairs = new StampRepairs()
  readonly #captions: CaptionWatch
  /** By track of the publisher. */
  readonly #ids = new Map<number, RenditionId>()
  readonly #tracks = new Map<number, Follower>()
  readonly #rungs = new Map<RenditionId, Encoded | undefined>()
  /** Rungs that were given up in this publish. */
  readonly #gone = new Set<RenditionId>()
  #lead: Lane | undefined
  #source: VideoTrack | undefined
  #inits = 0
  #anchor: { readonly offsetMs: number; readonly startMs: number } | undefined
  #lastCut: Cut | undefined
  #leadMs = 0

  constructor(options: LaneSetOptions) {
    this.#options = options
    this.#captions = new CaptionWatch(options.window)
    this.#gate = new PartGate(options.clock, (event) => options.window.apply(event))
  }

  get lead(): Lane | undefined {
    return this.#lead
  }
  /** What a track that does not lead goes to. */
  of(trackId: number): Follower | undefined {
    return this.#tracks.get(trackId)
  }
  get frameSeconds(): readonly number[] {
    return this.#followers.map((one) => one.frameSeconds).filter((seconds) => seconds > 0)
  }
  get followersSegmentBytes(): number {
    return this.#followers.reduce((sum, { lane }) => sum + lane.segmentBytes, 0)
  }

  get #followers(): readonly Follower[] {
    const rungs = [...this.#rungs.values()].flatMap((one) => one?.follower ?? [])
    return [...this.#tracks.values(), ...rungs]
  }

  /** Lanes for the publisher's tracks; renditions that it has no longer are retired. */
  open({ videos, audios }: Chosen): void {
    this.#gate.flush()
    this.#tracks.clear()
    this.#lead = undefined
    const [firstVideo, ...otherVideos] = videos
    const [firstAudio, ...otherAudios] = audios
    this.#source = firstVideo
    if (firstVideo) this.#lead = this.#laneOf(firstVideo, VIDEO_TIMESCALE, true)
    else if (firstAudio) this.#lead = this.#laneOf(firstAudio, audioGrid(firstAudio).rate, true)
    for (const track of otherVideos)
      this.#follow(track, new VideoFollower(this.#laneOf(track, VIDEO_TIMESCALE, false)))
    for (const track of firstVideo ? audios : otherAudios) this.#followAudio(track)
    const used = new Set([this.#lead?.id, ...this.#followers.map(({ lane }) => lane.id)])
    for (const { id, retired } of this.#options.window.renditions)
      if (!retired && !used.has(id) && !this.#rungs.has(id))
        this.#options.window.apply({ kind: 'retire', rendition: id })
  }

  /** A frame of the publisher's, before it is made into anything. */
  see({ trackId, data }: Frame): void {
    const id = this.#ids.get(trackId)
    if (id !== undefined) this.#captions.see(id, data)
  }

  /** What a ladder will make; rungs of before that are not among them have stopped for good. */
  announce(rungs: readonly Rung[]): void {
    const { window } = this.#options
    for (const [id, encoded] of this.#rungs) {
      if (rungs.some((rung) => rung.id === id)) continue
      // Its segment would stay open, and no other could begin behind it.
      this.#gone.add(id)
      encoded?.follower.restart()
      encoded?.follower.lane.finish(this.#leadMs)
      this.#rungs.delete(id)
      this.#gate.forget(id)
      window.apply({ kind: 'retire', rendition: id })
    }
    for (const { id, facts, bitsPerSecond } of rungs) {
      const { colour } = this.#source ?? {}
      const captions = this.#captions.of(id)
      const seen = { ...facts, captions, videoRange: videoRangeOf(colour) }
      window.apply({ kind: 'announce', rendition: id, facts: seen, bitsPerSecond })
      if (!this.#rungs.has(id)) this.#rungs.set(id, undefined)
    }
  }

  /** The rung's encoder has begun, or begun anew. */
  openRung(id: RenditionId, encoded: VideoTrack): void {
    if (!this.#rungs.has(id)) return
    const track = coloursLike(encoded, this.#source)
    const { timescale } = track
    const known = this.#rungs.get(id)?.follower
    if (known) {
      known.restart()
      this.#captions.follow(id, track)
      known.lane.setInit(this.#init(id, track, VIDEO_TIMESCALE))
      this.#rungs.set(id, { follower: known, timescale, fromSequence: 0 })
      return
    }
    const lane = this.#makeLane(id, track, VIDEO_TIMESCALE, undefined)
    const follower = new VideoFollower(lane, (endMs) => this.#gate.reach(id, endMs))
    const last = this.#options.window.rendition(id)?.segments.at(-1)
    const gone = this.#gone.delete(id)
    // What was given up in the midst of a segment does not go on behind it: with a number left out nothing of it is listed.
    const fromSequence = last && gone ? last.sequence + 2 : 0
    this.#rungs.set(id, { follower, timescale, fromSequence })
    this.#join(follower, fromSequence)
  }

  takeRung(id: RenditionId, { dts, pts, key, data }: Frame): void {
    const rung = this.#rungs.get(id)
    if (!rung) return
    this.#captions.see(id, data)
    const scale = 1000 / rung.timescale
    const rawMs = dts * scale + this.repairs.shiftOf(Math.round(pts * scale))
    rung.follower.take({ rawMs, reorderMs: (pts - dts) * scale, key, data })
  }

  /** Nobody waits for a rung that has stopped; its missing segments are gaps. */
  loseRung(id: RenditionId): void {
    this.#rungs.get(id)?.follower.restart()
    this.#gate.forget(id)
  }

  anchor(offsetMs: number, startMs: number): void {
    this.#anchor = { offsetMs, startMs }
    for (const follower of this.#followers) follower.anchor(offsetMs, startMs)
  }

  cut(cut: Cut): void {
    this.#lastCut = cut
    this.#lead?.cutNow(cut)
    for (const { lane } of this.#tracks.values()) lane.cutLater(cut)
    for (const rung of this.#rungs.values())
      if (rung && cut.sequence >= rung.fromSequence) rung.follower.lane.cutLater(cut)
  }

  /**
   * hls.js takes no playlist without a complete segment, and the first one is complete only after a group of pictures
   * (8.3 s of an untouched OBS); nor does it join among the parts of a segment before which no part is listed. So a
   * rendition begins with a segment that is missing: it costs nobody anything, and the picture is there with the first
   * parts. (A first segment of one part was tried: who came before the second key frame waited for it.)
   */
  leadIn(sequence: number, atMs: number, startedAt: number): void {
    const lanes = [this.#lead, ...this.#followers.map(({ lane }) => lane)]
    for (const lane of lanes) if (lane) this.#leadInOf(lane, sequence, atMs, startedAt)
  }

  /** The lead is here. */
  advance(leadMs: number): void {
    this.#leadMs = leadMs
    for (const follower of this.#followers) follower.advance(leadMs)
  }

  /** Closes all that is open. */
  finish(endMs: number): void {
    this.advance(endMs)
    this.#lead?.finish(endMs)
    for (const follower of this.#followers) follower.finish(endMs)
    this.#anchor = undefined
    this.#lastCut = undefined
    this.#gate.flush()
  }

  #leadInOf(lane: Lane, sequence: number, atMs: number, startedAt: number): void {
    const startMs = atMs - LEAD_IN_MS
    const began = startedAt - LEAD_IN_MS
    lane.cutNow({ sequence, atMs: startMs, startedAt: began, ...NO_DISCONTINUITY })
    lane.finish(atMs)
  }

  #follow(track: Track, follower: Follower): void {
    this.#tracks.set(track.id, follower)
  }

  #followAudio(track: AudioTrack): void {
    const grid = audioGrid(track)
    const lane = this.#laneOf(track, grid.rate, false)
    const { clock } = this.#options
    this.#follow(track, new AudioFollower(lane, grid, clock, silentFrame(track)))
  }

  /** A rung whose encoder is there only now begins in the segment that is open, and not with what was before. */
  #join(follower: Follower, fromSequence: number): void {
    const { window } = this.#options
    const cut = this.#lastCut
    if (this.#anchor) {
      const { offsetMs, startMs } = this.#anchor
      follower.anchor(offsetMs, Math.max(startMs, cut?.atMs ?? startMs))
    }
    if (!cut || cut.sequence < fromSequence) return
    const fresh = window.rendition(follower.lane.id)?.segments.length === 0
    if (fresh) this.#leadInOf(follower.lane, cut.sequence - 1, cut.atMs, cut.startedAt)
    // What it had before it was given up may have the number already.
    const last = window.rendition(follower.lane.id)?.segments.at(-1)
    if (!last || last.sequence < cut.sequence) follower.lane.cutNow(cut)
  }

  #laneOf(track: Track, timescale: number, leads: boolean): Lane {
    const id = renditionIdOf(track)
    this.#ids.set(track.id, id)
    return this.#makeLane(id, track, timescale, leads ? this.#options.leading : undefined)
  }

  #makeLane(id: RenditionId, track: Track, timescale: number, leading: Leading | undefined): Lane {
    const { window } = this.#options
    const isRung = this.#rungs.has(id)
    const lane = new Lane(window, {
      id,
      trackId: track.id,
      timescale,
      leading,
      emit: (event, endMs) => {
        if (isRung) window.apply(event)
        else this.#gate.push(event, endMs, window.partTargetSeconds ?? 1)
      },
    })
    this.#captions.follow(id, track)
    lane.setInit(this.#init(id, track, timescale))
    return lane
  }

  /** The same settings again need no new init section: its URL is kept, and players keep what they have. */
  #init(id: RenditionId, track: Track, timescale: number): string {
    const { window, epoch } = this.#options
    const bytes = writeInit([{ ...track, timescale }])
    const known = window.rendition(id)
    const knownBytes = known && window.init(id, known.init)
    const same = known !== undefined && knownBytes !== undefined && bytes.equals(knownBytes)
    const uri = same ? known.init : initUri(id, epoch, ++this.#inits)
    if (!same || known.retired) {
      const facts = { ...factsOf(track), captions: this.#captions.of(id) }
      window.apply({ kind: 'init', rendition: id, uri, facts, bytes })
    }
    return uri
  }
}
