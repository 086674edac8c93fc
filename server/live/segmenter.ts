import type { Frame } from '../codecs/frame.ts'
import type { Track, VideoTrack } from '../codecs/track.ts'
import { writeInit } from '../formats/isobmff/write-init.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { initUri } from './address.ts'
import { AudioFollower } from './audio-follower.ts'
import { bytesOf, type Cut, Lane, PART_BYTES_MAX, type Sample, ticksOf } from './lane.ts'
import {
  audioGrid,
  type Chosen,
  chooseTracks,
  factsOf,
  sameTrack,
  VIDEO_TIMESCALE,
} from './lane-tracks.ts'
import { LeadTimeline } from './lead-timeline.ts'
import { choosePartTarget } from './part-target.ts'
import { SampleClock } from './sample-clock.ts'
import { SegmentTargets } from './segment-targets.ts'
import { WallClock } from './wall-clock.ts'
import type { LiveWindow } from './window.ts'
import type { RenditionId } from './window-event.ts'

export interface SegmenterOptions {
  readonly window: LiveWindow
  readonly epoch: string
  readonly clock: Clock
  readonly log: Log
  /** The wish for PART-TARGET. */
  readonly partSeconds: number
  /** Segments begin with the first key frame after so long. */
  readonly segmentSeconds: number
  readonly onDiscontinuity: (reason: string) => void
}

/** A picture shown this long after it is decoded is a broken timestamp. */
const REORDER_MAX_MS = 10_000
/** The segments of one number never hold more: the window's bound works on whole segments. */
const SEGMENT_BYTES_MAX = 48 * 1024 * 1024
const LEAD_IN_MS = 200
const NO_DISCONTINUITY = { discontinuity: false, discontinuitySequence: 0 } as const

/** The picture whose length is known only when the next one comes. */
type Held = Omit<Sample, 'duration'>

/**
 * Makes one publish of a stream into parts and segments of a window: repairs times, chooses where segments begin, keeps
 * all renditions cut at the same moments. The picture leads where there is one, else the sound.
 */
export class Segmenter {
  readonly #options: SegmenterOptions
  readonly #window: LiveWindow
  readonly #wall: WallClock
  readonly #targets: SegmentTargets
  readonly #timeline = new LeadTimeline()
  #chosen: Chosen = { video: undefined, audio: undefined }
  #lead: Lane | undefined
  #leadClock: SampleClock | undefined
  #follower: AudioFollower | undefined
  #inits = 0
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
  }

  /** Seconds between the last two key frames, and the frame rate as the last frames show it; 0 when unknown. */
  get facts(): { readonly keyFrameIntervalSeconds: number; readonly framesPerSecond: number } {
    const seconds = this.#chosen.video ? this.#typicalSeconds : 0
    return {
      keyFrameIntervalSeconds: this.#targets.lastIntervalSeconds,
      framesPerSecond: seconds > 0 ? 1 / seconds : 0,
    }
  }

  onTracks(tracks: readonly Track[]): void {
    const former = this.#chosen
    const chosen = this.#usable(chooseTracks(tracks))
    if (sameTrack(former.video, chosen.video) && sameTrack(former.audio, chosen.audio)) return
    if (this.#lead) this.#break('the encoder changed its settings')
    this.#chosen = chosen
    this.#makeLanes()
  }

  onFrame(frame: Frame): void {
    if (this.#ended) return
    const { video, audio } = this.#chosen
    if (video && frame.trackId === video.id) this.#takeVideo(frame, video)
    else if (audio && frame.trackId === audio.id) {
      const ms = (frame.dts * 1000) / audio.timescale
      if (this.#follower) this.#follower.take(ms, frame.data)
      else this.#takeLeadAudio(ms, frame.data)
    }
  }

  /** Closes all that is open; nothing is taken any more. */
  finish(): void {
    if (this.#ended) return
    this.#closeAll()
    this.#ended = true
  }

  get #typicalSeconds(): number {
    return this.#lead ? this.#typicalTicks / this.#lead.timescale : 0
  }

  #usable(chosen: Chosen): Chosen {
    if (!chosen.audio) return chosen
    try {
      audioGrid(chosen.audio)
      return chosen
    } catch (error) {
      this.#options.log.warn('the audio of a live stream is left out', {
        stream: this.#window.name,
        reason: describeError(error),
      })
      return { ...chosen, audio: undefined }
    }
  }

  #makeLanes(): void {
    const { video, audio } = this.#chosen
    this.#lead = undefined
    this.#follower = undefined
    this.#leadClock = undefined
    this.#typicalTicks = 0
    if (video) {
      this.#lead = this.#makeLane('video', video, VIDEO_TIMESCALE, true)
      if (audio) {
        const grid = audioGrid(audio)
        this.#follower = new AudioFollower(this.#makeLane('audio', audio, grid.rate, false), grid)
      }
    } else if (audio) {
      const { rate, frameSamples } = audioGrid(audio)
      this.#lead = this.#makeLane('audio', audio, rate, true)
      this.#leadClock = new SampleClock(rate, frameSamples)
      this.#typicalTicks = frameSamples
    }
    if (this.#lead) this.#targets.begin(video !== undefined)
    for (const { id, retired } of this.#window.renditions) {
      const used = id === this.#lead?.id || id === this.#follower?.lane.id
      if (!used && !retired) this.#window.apply({ kind: 'retire', rendition: id })
    }
  }

  #makeLane(id: RenditionId, track: Track, timescale: number, leads: boolean): Lane {
    const lane = new Lane(this.#window, {
      id,
      trackId: track.id,
      timescale,
      leading: leads
        ? {
            longestSegmentSeconds: () => this.#targets.longestSegmentSeconds,
            beforeTooLong: (dts) => this.#forceCut(dts),
            afterPart: (dts) => this.#afterPart(dts),
          }
        : undefined,
    })
    const bytes = writeInit([{ ...track, timescale }])
    const known = this.#window.rendition(id)
    const knownBytes = known && this.#window.init(id, known.init)
    // The same settings again need no new init section: its URL is kept, and players keep what they have.
    const same = known !== undefined && knownBytes !== undefined && bytes.equals(knownBytes)
    const uri = same ? known.init : initUri(id, this.#options.epoch, ++this.#inits)
    lane.setInit(uri)
    if (!same || known.retired)
      this.#window.apply({ kind: 'init', rendition: id, uri, facts: factsOf(track), bytes })
    return lane
  }

  #takeVideo(frame: Frame, track: VideoTrack): void {
    const lead = this.#lead
    if (!lead) return
    const rawMs = (frame.dts * 1000) / track.timescale
    const offsetMs = ((frame.pts - frame.dts) * 1000) / track.timescale
    const reorderMs = Math.abs(offsetMs) > REORDER_MAX_MS ? 0 : offsetMs
    this.#checkJump(rawMs)
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
      this.#follower?.advance((dts * 1000) / lead.timescale + this.#reorderMs)
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

  #takeLeadAudio(ms: number, data: Uint8Array): void {
    const lead = this.#lead
    const clock = this.#leadClock
    if (!lead || !clock) return
    this.#checkJump(ms)
    if (this.#waitingForKey) {
      clock.reset()
      this.#anchor(ms)
    }
    this.#timeline.see(ms)
    const dts = clock.place(ms + this.#timeline.offsetMs)
    if (dts === undefined) return
    this.#wall.observe(this.#options.clock.now(), (dts * 1000) / lead.timescale)
    if (this.#waitingForKey) {
      this.#waitingForKey = false
      this.#cut(lead, dts)
    }
    const duration = this.#typicalTicks
    this.#pushLead(lead, { dts, duration, compositionOffset: 0, key: true, data })
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
    this.#pushLead(lead, { ...held, duration })
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
    const others = this.#follower ? [this.#follower.frameSeconds] : []
    const isVideo = this.#chosen.video !== undefined
    this.#typicalTicks = frame * lead.timescale
    const partTargetSeconds = choosePartTarget(this.#options.partSeconds, frame, others, isVideo)
    this.#window.apply({ kind: 'pace', partTargetSeconds })
    for (const sample of samples) lead.push(sample, this.#typicalTicks)
  }

  #afterPart(endDts: number): void {
    const lead = this.#lead
    if (!lead || this.#cutting) return
    const part = this.#window.partTargetSeconds ?? 1
    const { segmentSeconds } = this.#options
    const full = !this.#chosen.video && lead.segmentSeconds + part / 2 >= segmentSeconds
    // rfc8216bis §4.4.3.1: no EXTINF above the target, whatever the key frames do. B.1 wants a key frame in each segment;
    // a stream whose key frames are further apart than its first ones promised can't have both, and the first is a must.
    const tooLong = lead.segmentSeconds + part > this.#targets.longestSegmentSeconds
    if (tooLong && this.#chosen.video) this.#targets.exceed()
    const bytes = lead.segmentBytes + (this.#follower?.lane.segmentBytes ?? 0)
    if (full || tooLong || bytes > SEGMENT_BYTES_MAX) this.#forceCut(endDts)
  }

  /** A segment ends here, key frame or not. */
  #forceCut(dts: number): void {
    const lead = this.#lead
    if (!lead) return
    this.#startsWithKey = this.#chosen.video === undefined
    this.#cut(lead, dts)
  }

  #cut(lead: Lane, dts: number): void {
    const atMs = (dts * 1000) / lead.timescale + this.#reorderMs
    if (this.#sequence === 0) this.#leadIn(lead, atMs)
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
    lead.cutNow(cut)
    this.#follower?.lane.cutLater(cut)
  }

  /**
   * hls.js takes no playlist without a complete segment, and the first one is complete only after a group of pictures
   * (8.3 s of an untouched OBS); nor does it join among the parts of a segment before which no part is listed. So a
   * window begins with a segment that is missing: it costs nobody anything, and the picture is there with the first
   * parts. (A first segment of one part was tried: who came before the second key frame waited for it.)
   */
  #leadIn(lead: Lane, atMs: number): void {
    const startMs = atMs - LEAD_IN_MS
    const startedAt = this.#wall.at(startMs)
    const sequence = this.#sequence++
    for (const lane of this.#follower ? [lead, this.#follower.lane] : [lead]) {
      lane.cutNow({ sequence, atMs: startMs, startedAt, ...NO_DISCONTINUITY })
      lane.finish(atMs)
    }
  }

  #checkJump(rawMs: number): void {
    if (this.#waitingForKey) return
    const jump = this.#timeline.jump(rawMs, this.#typicalSeconds * 1000)
    if (jump !== undefined) this.#break(`time jumped by ${Math.round(jump)} ms`)
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
    const typical = Math.max(1, Math.round(this.#typicalTicks))
    const endDts = this.#held
      ? this.#held.dts + typical
      : Math.round(((this.#timeline.lastMs + this.#timeline.offsetMs) * lead.timescale) / 1000)
    this.#completeHeld(lead, endDts)
    this.#settlePace(lead)
    const endMs = (endDts * 1000) / lead.timescale + this.#reorderMs
    this.#follower?.advance(endMs)
    lead.finish(endMs)
    this.#follower?.finish(endMs)
  }

  /** Raw time `rawMs` is now; on the window's timeline never before what it holds already. */
  #anchor(rawMs: number): void {
    const { window, clock } = this.#options
    const ends = window.renditions.flatMap((rendition) => {
      const last = rendition.segments.at(-1)
      return last ? last.startedAt + last.durationSeconds * 1000 - window.bornAt : []
    })
    const startMs = Math.ceil(Math.max(0, clock.now() - window.bornAt, ...ends))
    this.#timeline.anchor(rawMs, startMs)
    this.#lastKeyMs = undefined
    this.#reorderMs = 0
    this.#wall.anchor()
    this.#follower?.anchor(this.#timeline.offsetMs, startMs)
  }
}
