import type { Frame } from '../codecs/frame.ts'
import type { AudioTrack, Track, VideoTrack } from '../codecs/track.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { bytesOf, type Cut, type Lane, PART_BYTES_MAX, type Sample, ticksOf } from './lane.ts'
import { LaneSet } from './lane-set.ts'
import { type AudioGrid, audioGrid, type Chosen, chooseTracks, sameTracks } from './lane-tracks.ts'
import { LeadTimeline } from './lead-timeline.ts'
import { choosePartTarget } from './part-target.ts'
import type { RungSink } from './rung.ts'
import { SampleClock } from './sample-clock.ts'
import { endOf } from './segment.ts'
import { SegmentTargets } from './segment-targets.ts'
import { StillStamps } from './still-stamps.ts'
import { WallClock } from './wall-clock.ts'
import type { LiveWindow } from './window.ts'

export interface SegmenterOptions {
  readonly window: LiveWindow
  readonly epoch: string
  readonly clock: Clock
  readonly log: Log
  /** The wish for PART-TARGET. */
  readonly partSeconds: number
  /** Segments begin with the first key frame after so long. */
  readonly segmentSeconds: number
  /** How long before its first frame comes its time may begin, where the window holds nothing of that time. */
  readonly backMs?: number | undefined
  readonly onDiscontinuity: (reason: string) => void
}

/** A picture shown this long after it is decoded is a broken timestamp. */
const REORDER_MAX_MS = 10_000
/** How long a picture is shown that no other follows. */
const LONE_FRAME_SECONDS = 0.04
/** The segments of one number never hold more: the window's bound works on whole segments. */
const SEGMENT_BYTES_MAX = 48 * 1024 * 1024

/** The picture whose length is known only when the next one comes. */
type Held = Omit<Sample, 'duration'>

/**
 * Makes one publish of a stream into parts and segments of a window: repairs times, chooses where segments begin, keeps
 * all renditions cut at the same moments. The first picture leads where there is one, else the first sound.
 */
export class Segmenter {
  readonly #options: SegmenterOptions
  readonly #window: LiveWindow
  readonly #wall: WallClock
  readonly #targets: SegmentTargets
  readonly #timeline = new LeadTimeline()
  readonly #lanes: LaneSet
  #stamps = new StillStamps()
  #chosen: Chosen = { videos: [], audios: [] }
  #leadSound: { readonly clock: SampleClock; readonly grid: AudioGrid } | undefined
  #waitingForKey = true
  #discontinuity: boolean
  #sequence: number
  #discontinuitySequence: number
  #lastKeyMs: number | undefined
  #reorderMs = 0
  #held: Held | undefined
  #typicalTicks = 0
  #warmUp: Sample[] = []
  #startsWithKey = true
  /** The part being closed is the last of its segment: a key frame is here. */
  #cutting = false
  #ended = false
  #anchored = false

  constructor(options: SegmenterOptions) {
    this.#options = options
    this.#window = options.window
    this.#wall = new WallClock(options.window.bornAt)
    this.#targets = new SegmentTargets(options.window, options.segmentSeconds)
    const last = options.window.renditions.flatMap((rendition) => rendition.segments.at(-1) ?? [])
    this.#sequence = Math.max(-1, ...last.map((segment) => segment.sequence)) + 1
    this.#discontinuitySequence = Math.max(0, ...last.map((s) => s.discontinuitySequence))
    // Another publish, another encoder, another clock: rfc8216bis §4.4.4.3.
    this.#discontinuity = last.length > 0
    options.window.apply({ kind: 'publish', epoch: options.epoch })
    this.#lanes = new LaneSet({
      ...options,
      leading: {
        longestSegmentSeconds: () => this.#targets.longestSegmentSeconds,
        beforeTooLong: (dts) => this.#forceCut(dts),
        afterPart: (dts) => this.#afterPart(dts),
      },
    })
  }

  /** Where an encoder brings what it makes of this publish's picture. */
  get rungs(): RungSink {
    const unlessEnded = (act: () => void) => {
      if (!this.#ended) act()
    }
    return {
      announce: (rungs) => unlessEnded(() => this.#lanes.announce(rungs)),
      onTrack: (id, track) => unlessEnded(() => this.#lanes.openRung(id, track)),
      onLost: (id) => unlessEnded(() => this.#lanes.loseRung(id)),
      onFrame: (id, frame) => unlessEnded(() => this.#lanes.takeRung(id, frame)),
    }
  }

  /** Seconds between the last two key frames, and the frame rate as the last frames show it; 0 when unknown. */
  get facts(): { readonly keyFrameIntervalSeconds: number; readonly framesPerSecond: number } {
    const seconds = this.#hasPicture ? this.#typicalSeconds : 0
    return {
      keyFrameIntervalSeconds: this.#targets.lastIntervalSeconds,
      framesPerSecond: seconds > 0 ? 1 / seconds : 0,
    }
  }

  /** Milliseconds since 1970 of a time of the publisher's: that of its newest media where it is far from it. */
  dateOf(rawMs: number): number | undefined {
    return this.#anchored ? this.#wall.at(this.#timeline.momentOf(rawMs)) : undefined
  }

  onTracks(tracks: readonly Track[]): void {
    const former = this.#chosen
    const chosen = this.#usable(chooseTracks(tracks))
    if (sameTracks(former, chosen)) return
    if (this.#lead) this.#break('the encoder changed its settings')
    this.#chosen = chosen
    this.#makeLanes()
  }

  onFrame(frame: Frame): void {
    if (this.#ended) return
    this.#lanes.see(frame)
    const { videos, audios } = this.#chosen
    const [video] = videos
    if (video && frame.trackId === video.id) {
      this.#takeVideo(frame, video)
      return
    }
    const track = [...videos, ...audios].find(({ id }) => id === frame.trackId)
    if (!track) return
    const rawMs = (frame.dts * 1000) / track.timescale
    const reorderMs = ((frame.pts - frame.dts) * 1000) / track.timescale
    const follower = this.#lanes.of(track.id)
    if (follower) follower.take({ rawMs, reorderMs, key: frame.key, data: frame.data })
    else this.#takeLeadAudio(rawMs, frame.data)
  }

  /** Closes all that is open; nothing is taken any more. */
  finish(): void {
    if (this.#ended) return
    this.#closeAll()
    this.#ended = true
  }

  get #lead(): Lane | undefined {
    return this.#lanes.lead
  }
  get #hasPicture(): boolean {
    return this.#chosen.videos.length > 0
  }
  get #typicalSeconds(): number {
    return this.#lead ? this.#typicalTicks / this.#lead.timescale : 0
  }

  #usable({ videos, audios }: Chosen): Chosen {
    return { videos, audios: audios.filter((track) => this.#isUsable(track)) }
  }

  #isUsable(track: AudioTrack): boolean {
    try {
      audioGrid(track)
      return true
    } catch (error) {
      this.#options.log.warn('a sound of a live stream is left out', {
        stream: this.#window.name,
        reason: describeError(error),
      })
      return false
    }
  }

  #makeLanes(): void {
    this.#leadSound = undefined
    this.#typicalTicks = 0
    this.#stamps = new StillStamps()
    this.#lanes.open(this.#chosen)
    const [audio] = this.#chosen.audios
    if (!this.#hasPicture && audio) {
      const grid = audioGrid(audio)
      this.#leadSound = { grid, clock: new SampleClock(grid.rate) }
      this.#typicalTicks = grid.frameSamples
    }
    if (this.#lead) this.#targets.begin(this.#hasPicture)
  }

  #takeVideo(frame: Frame, track: VideoTrack): void {
    const lead = this.#lead
    if (!lead) return
    const stampMs = (frame.dts * 1000) / track.timescale
    const mendedMs = this.#stamps.mend(stampMs, this.#options.clock.monotonic())
    const offsetMs = ((frame.pts - frame.dts) * 1000) / track.timescale
    const reorderMs = Math.abs(offsetMs) > REORDER_MAX_MS ? 0 : offsetMs
    const rawMs = this.#goOn(mendedMs, frame.key)
    const presentedMs = Math.round(stampMs + reorderMs)
    this.#lanes.repairs.note(presentedMs, rawMs - stampMs, rawMs !== mendedMs)
    if (this.#waitingForKey) {
      if (!frame.key) return
      this.#anchor(rawMs)
      this.#reorderMs = reorderMs
    }
    this.#timeline.see(rawMs)
    const stamped = ((rawMs + this.#timeline.offsetMs) * lead.timescale) / 1000
    // A timestamp that stands still or steps back a little: the picture lasts a millisecond, and time catches up.
    const earliest = this.#held ? this.#held.dts + lead.timescale / 1000 : 0
    const dts = Math.max(Math.round(stamped), earliest)
    this.#wall.observe(this.#options.clock.now(), (dts * 1000) / lead.timescale)
    this.#completeHeld(lead, dts)
    if (frame.key) this.#takeKey(lead, dts)
    const compositionOffset = Math.round((reorderMs * lead.timescale) / 1000)
    this.#held = { dts, compositionOffset, key: frame.key, data: frame.data }
    // Sound waits too until the length of a part is known.
    if (this.#window.partTargetSeconds !== undefined)
      this.#lanes.advance((dts * 1000) / lead.timescale + this.#reorderMs)
  }

  #takeKey(lead: Lane, dts: number): void {
    const ms = (dts * 1000) / lead.timescale
    if (this.#waitingForKey) {
      this.#waitingForKey = false
      this.#lastKeyMs = ms
      this.#startsWithKey = true
      this.#cut(lead, dts)
      return
    }
    if (this.#lastKeyMs !== undefined) this.#targets.learn((ms - this.#lastKeyMs) / 1000)
    this.#lastKeyMs = ms
    const warmUp = ticksOf(this.#warmUp) / lead.timescale
    const seconds = lead.segmentSeconds + lead.pendingSeconds + warmUp
    if (this.#startsWithKey && !this.#targets.endsAtKey(seconds, this.#typicalSeconds / 2)) return
    this.#settlePace(lead)
    this.#cutting = true
    lead.closePart()
    this.#cutting = false
    this.#startsWithKey = true
    if (!lead.fresh) this.#cut(lead, dts)
  }

  #takeLeadAudio(stampMs: number, data: Uint8Array): void {
    const lead = this.#lead
    if (!lead || !this.#leadSound) return
    const { clock, grid } = this.#leadSound
    const mendedMs = this.#stamps.mend(stampMs, this.#options.clock.monotonic())
    const ms = this.#goOn(mendedMs, true)
    if (this.#waitingForKey) {
      clock.reset()
      this.#anchor(ms)
    }
    this.#timeline.see(ms)
    const duration = grid.samplesOf(data)
    const dts = clock.place(ms + this.#timeline.offsetMs, duration)
    if (dts === undefined) return
    this.#wall.observe(this.#options.clock.now(), (dts * 1000) / lead.timescale)
    if (this.#waitingForKey) {
      this.#waitingForKey = false
      this.#cut(lead, dts)
    }
    this.#typicalTicks = duration
    this.#pushLead(lead, { dts, duration, compositionOffset: 0, key: true, data })
    if (this.#window.partTargetSeconds !== undefined)
      this.#lanes.advance(((dts + duration) * 1000) / lead.timescale)
  }

  /** The picture before is as long as the time to this one. */
  #completeHeld(lead: Lane, nextDts: number): void {
    const held = this.#held
    if (!held) return
    this.#held = undefined
    const duration = nextDts - held.dts
    // A hole in the picture says little about the frames after it.
    const usual = Math.min(duration, 2 * (this.#typicalTicks || duration))
    this.#typicalTicks += (usual - this.#typicalTicks) / (this.#typicalTicks === 0 ? 1 : 8)
    this.#pushLead(lead, { duration, ...held })
  }

  /** Until the length of a part is chosen from the first frames, they wait. */
  #pushLead(lead: Lane, sample: Sample): void {
    if (this.#window.partTargetSeconds !== undefined) {
      lead.push(sample, this.#typicalTicks)
      return
    }
    this.#warmUp.push(sample)
    const enough = this.#options.partSeconds * lead.timescale
    const full = bytesOf(this.#warmUp) > PART_BYTES_MAX
    if (full || ticksOf(this.#warmUp) + this.#typicalTicks > enough) this.#settlePace(lead)
  }

  #settlePace(lead: Lane): void {
    const samples = this.#warmUp
    if (samples.length === 0) return
    this.#warmUp = []
    const frame = Math.max(0.001, ticksOf(samples) / samples.length / lead.timescale)
    const others = this.#lanes.frameSeconds
    this.#typicalTicks = frame * lead.timescale
    const wish = this.#options.partSeconds
    const partTargetSeconds = choosePartTarget(wish, frame, others, this.#hasPicture)
    this.#window.apply({ kind: 'pace', partTargetSeconds })
    for (const sample of samples) lead.push(sample, this.#typicalTicks)
  }

  #afterPart(endDts: number): void {
    const lead = this.#lead
    if (!lead || this.#cutting) return
    const part = this.#window.partTargetSeconds ?? 1
    const { segmentSeconds } = this.#options
    const full = !this.#hasPicture && lead.segmentSeconds + part / 2 >= segmentSeconds
    // rfc8216bis §4.4.3.1: no EXTINF above the target, whatever the key frames do. B.1 wants a key frame in each segment;
    // a stream whose key frames are further apart than its first ones promised can't have both, and the first is a must.
    const tooLong = lead.segmentSeconds + part > this.#targets.longestSegmentSeconds
    if (tooLong && this.#hasPicture) this.#targets.exceed()
    const bytes = lead.segmentBytes + this.#lanes.followersSegmentBytes
    if (full || tooLong || bytes > SEGMENT_BYTES_MAX) this.#forceCut(endDts)
  }

  /** A segment ends here, key frame or not. */
  #forceCut(dts: number): void {
    const lead = this.#lead
    if (!lead) return
    this.#startsWithKey = !this.#hasPicture
    this.#cut(lead, dts)
  }

  #cut(lead: Lane, dts: number): void {
    const atMs = (dts * 1000) / lead.timescale + this.#reorderMs
    if (this.#sequence === 0) this.#lanes.leadIn(this.#sequence++, atMs, this.#wall.at(atMs))
    if (this.#discontinuity) this.#discontinuitySequence++
    this.#wall.slew()
    const cut: Cut = {
      sequence: this.#sequence++,
      atMs,
      startedAt: this.#wall.at(atMs),
      discontinuity: this.#discontinuity,
      discontinuitySequence: this.#discontinuitySequence,
    }
    this.#discontinuity = false
    this.#lanes.cut(cut)
  }

  /** The time of a frame; where it does not follow from those before, another timeline begins. */
  #goOn(rawMs: number, key: boolean): number {
    if (this.#waitingForKey) return rawMs
    const frameMs = this.#typicalSeconds * 1000
    const jump = this.#timeline.jump(rawMs, frameMs)
    if (jump !== undefined) {
      const slippedTo = this.#timeline.slip(rawMs, key, frameMs)
      if (slippedTo !== undefined) return slippedTo
      this.#break(`time jumped by ${Math.round(jump)} ms`)
    } else if (key && this.#wall.isBehind(this.#options.clock.now())) {
      this.#break('time fell behind the clock')
    }
    return rawMs
  }

  /** What follows does not continue what was: it begins with a key frame behind a discontinuity. */
  #break(reason: string): void {
    this.#closeAll()
    this.#waitingForKey = true
    this.#discontinuity = this.#window.renditions.some((rendition) => rendition.segments.length > 0)
    if (this.#discontinuity) this.#options.onDiscontinuity(reason)
  }

  #closeAll(): void {
    const lead = this.#lead
    if (!lead || this.#waitingForKey) return
    const typical = Math.round(this.#typicalTicks || LONE_FRAME_SECONDS * lead.timescale)
    const endDts = this.#held
      ? this.#held.dts + typical
      : Math.round(((this.#timeline.lastMs + this.#timeline.offsetMs) * lead.timescale) / 1000)
    this.#completeHeld(lead, endDts)
    this.#settlePace(lead)
    const endMs = (endDts * 1000) / lead.timescale + this.#reorderMs
    this.#lanes.finish(endMs)
  }

  /** Raw time `rawMs` is now; on the window's timeline never before what it holds already. */
  #anchor(rawMs: number): void {
    const { window, clock } = this.#options
    const began = clock.now() - (this.#anchored ? 0 : (this.#options.backMs ?? 0))
    this.#anchored = true
    const startMs = Math.ceil(Math.max(0, Math.max(began, endOf(window)) - window.bornAt))
    this.#timeline.anchor(rawMs, startMs)
    this.#lastKeyMs = undefined
    this.#reorderMs = 0
    this.#wall.anchor()
    this.#lanes.anchor(this.#timeline.offsetMs, startMs)
  }
}
