import type { Frame } from '../codecs/frame.ts'
import type { AudioTrack, Track, VideoTrack } from '../codecs/track.ts'
import { writeInit } from '../formats/isobmff/write-init.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { StreamEnd, StreamMetadata, StreamReader } from '../stream/live-stream.ts'
import { initUri } from './address.ts'
import { AudioFollower } from './audio-follower.ts'
import { KeyIntervals, LONGEST_TARGET_SECONDS, longestSegmentSeconds } from './key-intervals.ts'
import { type Cut, Lane, type Sample } from './lane.ts'
import { audioGrid, type Chosen, chooseTracks, factsOf, VIDEO_TIMESCALE } from './lane-tracks.ts'
import { choosePartTarget } from './part-target.ts'
import { SampleClock } from './sample-clock.ts'
import { StartGate } from './start-gate.ts'
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

/** Time that goes on by more than this, or by three frames if they are longer, is a jump; so is time that goes back this far. */
const JUMP_MS = 1500
const BACK_MS = 500
/** Before two frames have shown how long one lasts. */
const FIRST_JUMP_MS = 10_000
/** A picture shown this long after it is decoded is a broken timestamp. */
const REORDER_MAX_MS = 10_000
/** A segment never holds more: the window's bound works on whole segments. */
const SEGMENT_BYTES_MAX = 48 * 1024 * 1024

/** The picture whose length is known only when the next one comes. */
interface Held {
  readonly dts: number
  readonly compositionOffset: number
  readonly key: boolean
  readonly data: Uint8Array
}

/**
 * Makes one publish of a stream into parts and segments of a window: repairs times, chooses where segments begin, keeps
 * all renditions cut at the same moments.
 */
export class Segmenter implements StreamReader {
  readonly #options: SegmenterOptions
  readonly #window: LiveWindow
  readonly #gate: StartGate
  readonly #wall: WallClock
  readonly #intervals = new KeyIntervals()
  #chosen: Chosen = { video: undefined, audio: undefined }
  #lead: Lane | undefined
  #leadClock: SampleClock | undefined
  #follower: AudioFollower | undefined
  #inits = 0
  #running = false
  #waitingForKey = true
  #discontinuity: boolean
  #sequence: number
  #discontinuitySequence: number
  /** Window time = raw time + this, in milliseconds. */
  #offsetMs = 0
  #lastRawMs: number | undefined
  #lastKeyMs: number | undefined
  #reorderMs = 0
  #held: Held | undefined
  #typicalTicks = 0
  #warmUp: Sample[] = []
  #startsWithKey = true
  #ended = false

  constructor(options: SegmenterOptions) {
    this.#options = options
    this.#window = options.window
    this.#gate = new StartGate((frame) => this.#take(frame))
    this.#wall = new WallClock(options.window.bornAt)
    const last = options.window.renditions.flatMap((rendition) => rendition.segments.at(-1) ?? [])
    this.#sequence = Math.max(-1, ...last.map((segment) => segment.sequence)) + 1
    this.#discontinuitySequence = Math.max(0, ...last.map((s) => s.discontinuitySequence))
    // Another publish, another encoder, another clock: rfc8216bis §4.4.4.3.
    this.#discontinuity = last.length > 0
    options.window.apply({ kind: 'publish', epoch: options.epoch })
  }

  /** Seconds between the last two key frames, and the frame rate as the last frames show it; 0 when unknown. */
  get facts(): { readonly keyFrameIntervalSeconds: number; readonly framesPerSecond: number } {
    const timescale = this.#lead?.timescale ?? VIDEO_TIMESCALE
    const isVideo = this.#chosen.video !== undefined
    return {
      keyFrameIntervalSeconds: this.#intervals.lastSeconds,
      framesPerSecond: isVideo && this.#typicalTicks > 0 ? timescale / this.#typicalTicks : 0,
    }
  }

  onTracks(tracks: readonly Track[]): void {
    const chosen = this.#usable(chooseTracks(tracks))
    const former = this.#chosen
    this.#chosen = chosen
    this.#gate.setTracks(chosen)
    if (!this.#running) return
    if (sameTrack(former.video, chosen.video) && sameTrack(former.audio, chosen.audio)) return
    this.#break('the encoder changed its settings')
    this.#makeLanes()
  }

  onMetadata(metadata: StreamMetadata): void {
    this.#gate.setMetadata(metadata)
  }

  onFrame(frame: Frame): void {
    if (this.#ended) return
    if (this.#running) this.#take(frame)
    else this.#gate.hold(frame)
  }

  onEnd(_reason: StreamEnd): void {
    this.finish()
  }

  /** Closes all that is open; nothing is taken any more. */
  finish(): void {
    if (this.#ended) return
    this.#gate.release()
    this.#closeAll()
    this.#ended = true
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

  #take(frame: Frame): void {
    if (!this.#running) {
      this.#running = true
      this.#makeLanes()
    }
    const { video, audio } = this.#chosen
    if (video && frame.trackId === video.id) this.#takeVideo(frame, video)
    else if (audio && frame.trackId === audio.id) {
      const ms = (frame.dts * 1000) / audio.timescale
      if (this.#follower) this.#follower.take(ms, frame.data)
      else this.#takeLeadAudio(ms, frame.data)
    }
  }

  #makeLanes(): void {
    const { video, audio } = this.#chosen
    this.#lead = undefined
    this.#follower = undefined
    this.#leadClock = undefined
    if (video) {
      this.#lead = this.#makeLane('video', video, VIDEO_TIMESCALE, true)
      if (audio) {
        const lane = this.#makeLane('audio', audio, audioGrid(audio).rate, false)
        this.#follower = new AudioFollower(lane, audioGrid(audio))
      }
      this.#promise(this.#window.currentTarget ?? LONGEST_TARGET_SECONDS)
    } else if (audio) {
      const { rate, frameSamples } = audioGrid(audio)
      this.#lead = this.#makeLane('audio', audio, rate, true)
      this.#leadClock = new SampleClock(rate, frameSamples)
      this.#typicalTicks = frameSamples
      this.#promise(Math.max(1, Math.ceil(this.#options.segmentSeconds)))
    }
    for (const { id, retired } of this.#window.renditions) {
      const used = id === this.#lead?.id || (id === 'audio' && this.#follower !== undefined)
      if (!used && !retired) this.#window.apply({ kind: 'retire', rendition: id })
    }
  }

  #makeLane(id: RenditionId, track: Track, timescale: number, leads: boolean): Lane {
    const lane = new Lane(this.#window, {
      id,
      trackId: track.id,
      timescale,
      longestSegmentSeconds: () =>
        leads ? longestSegmentSeconds(this.#smallestTarget()) : Number.POSITIVE_INFINITY,
      ...(leads
        ? {
            beforeTooLong: (dts: number) => this.#forceCut(dts),
            afterPart: (dts: number) => this.#afterPart(dts),
          }
        : {}),
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
    const rawMs = (frame.dts * 1000) / track.timescale
    const offsetMs = ((frame.pts - frame.dts) * 1000) / track.timescale
    const reorderMs = Math.abs(offsetMs) > REORDER_MAX_MS ? 0 : offsetMs
    this.#checkJump(rawMs)
    if (this.#waitingForKey) {
      if (!frame.key) {
        this.#lastRawMs = rawMs
        return
      }
      this.#anchor(rawMs)
      this.#reorderMs = reorderMs
    }
    const lead = this.#lead
    if (!lead) return
    const stamped = ((rawMs + this.#offsetMs) * lead.timescale) / 1000
    // A timestamp that stands still or steps back a little: the picture lasts a millisecond, and time catches up.
    const floor = this.#held ? this.#held.dts + lead.timescale / 1000 : 0
    const dts = Math.max(Math.round(stamped), Math.ceil(floor))
    this.#lastRawMs = Math.max(rawMs, this.#lastRawMs ?? rawMs)
    this.#wall.observe(this.#options.clock.now(), (dts * 1000) / lead.timescale)
    this.#completeHeld(dts)
    if (frame.key) this.#takeKey(lead, dts)
    const compositionOffset = Math.round((reorderMs * lead.timescale) / 1000)
    this.#held = { dts, compositionOffset, key: frame.key, data: frame.data }
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
    if (this.#lastKeyMs !== undefined) this.#learn((ms - this.#lastKeyMs) / 1000)
    this.#lastKeyMs = ms
    if (!this.#cutsAtKey(lead)) return
    this.#settlePace(lead)
    lead.closePart()
    this.#startsWithKey = true
    if (!lead.fresh) this.#cut(lead, dts)
  }

  #cutsAtKey(lead: Lane): boolean {
    const warming = this.#warmUp.reduce((sum, sample) => sum + sample.duration, 0) / lead.timescale
    const seconds = lead.segmentSeconds + lead.pendingSeconds + warming
    const { segmentSeconds } = this.#options
    const halfFrame = this.#typicalTicks / lead.timescale / 2
    if (!this.#startsWithKey || seconds >= segmentSeconds - halfFrame) return true
    // The next key frame may be the longest interval away: better a short segment than one cut without a key frame.
    const longest = longestSegmentSeconds(this.#smallestTarget())
    return seconds + this.#intervals.longestSeconds > longest
  }

  #learn(seconds: number): void {
    this.#intervals.add(seconds)
    const current = this.#window.currentTarget ?? LONGEST_TARGET_SECONDS
    if (this.#intervals.longestSeconds > longestSegmentSeconds(current)) {
      this.#promise(LONGEST_TARGET_SECONDS)
      return
    }
    const target = this.#intervals.targetSeconds(this.#options.segmentSeconds)
    if (target !== undefined) this.#promise(target)
  }

  /**
   * The target duration can't change, but the URL of a playlist holds it: what was promised once binds the segments for
   * the window's life, and new viewers are sent to the URL that fits the stream as it is known now.
   */
  #promise(target: number): void {
    const { targets, currentTarget } = this.#window
    if (currentTarget === target) return
    const all = targets.includes(target) ? targets : [...targets, target]
    this.#window.apply({ kind: 'promise', targets: all, current: target })
  }

  #smallestTarget(): number {
    return Math.min(LONGEST_TARGET_SECONDS, ...this.#window.targets)
  }

  #takeLeadAudio(ms: number, data: Uint8Array): void {
    const lead = this.#lead
    const clock = this.#leadClock
    if (!lead || !clock) return
    this.#checkJump(ms)
    this.#lastRawMs = Math.max(ms, this.#lastRawMs ?? ms)
    if (this.#waitingForKey) {
      clock.reset()
      this.#anchor(ms)
    }
    const dts = clock.place(ms + this.#offsetMs)
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
  #completeHeld(nextDts: number): void {
    const held = this.#held
    if (!held || !this.#lead) return
    this.#held = undefined
    const duration = nextDts - held.dts
    // A hole in the picture says little about the frames after it.
    const usual = Math.min(duration, 2 * (this.#typicalTicks || duration))
    this.#typicalTicks += (usual - this.#typicalTicks) / (this.#typicalTicks === 0 ? 1 : 8)
    this.#pushLead(this.#lead, { ...held, duration })
  }

  /** Until the length of a part is chosen from the first frames, they wait. */
  #pushLead(lead: Lane, sample: Sample): void {
    if (this.#window.partTargetSeconds !== undefined) {
      lead.push(sample, this.#typicalTicks)
      return
    }
    this.#warmUp.push(sample)
    const ticks = this.#warmUp.reduce((sum, { duration }) => sum + duration, 0)
    if (ticks + this.#typicalTicks > this.#options.partSeconds * lead.timescale)
      this.#settlePace(lead)
  }

  #settlePace(lead: Lane): void {
    const samples = this.#warmUp
    if (samples.length === 0) return
    this.#warmUp = []
    const ticks = samples.reduce((sum, { duration }) => sum + duration, 0)
    const frame = Math.max(0.001, ticks / samples.length / lead.timescale)
    const others = this.#follower ? [this.#follower.frameSeconds] : []
    const isVideo = this.#chosen.video !== undefined
    this.#typicalTicks = frame * lead.timescale
    const partTargetSeconds = choosePartTarget(this.#options.partSeconds, frame, others, isVideo)
    this.#window.apply({ kind: 'pace', partTargetSeconds })
    for (const sample of samples) lead.push(sample, this.#typicalTicks)
  }

  #afterPart(endDts: number): void {
    const lead = this.#lead
    if (!lead) return
    const rendition = this.#window.rendition(lead.id)
    // hls.js takes no playlist without a complete segment: the very first one of a window is its first part, so that
    // the picture is there after a fifth of a second and not after a group of pictures. The price is one segment
    // without a key frame behind it.
    if (rendition?.segments.length === 1 && rendition.segments[0]?.open) {
      this.#forceCut(endDts)
      return
    }
    const part = this.#window.partTargetSeconds ?? 1
    const longest = longestSegmentSeconds(this.#smallestTarget())
    const { segmentSeconds } = this.#options
    const full = !this.#chosen.video && lead.segmentSeconds + part / 2 >= segmentSeconds
    // rfc8216bis §4.4.3.1: no EXTINF above the target, whatever the key frames do; B.1 wants a key frame in each segment,
    // which a stream that broke what its first groups of pictures promised can't have.
    const tooLong = lead.segmentSeconds + part > longest
    if (full || tooLong || lead.segmentBytes > SEGMENT_BYTES_MAX) this.#forceCut(endDts)
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
    if (this.#discontinuity) this.#discontinuitySequence++
    const cut: Cut = {
      sequence: this.#sequence++,
      atMs,
      startedAt: this.#wall.at(atMs),
      discontinuity: this.#discontinuity,
      discontinuitySequence: this.#discontinuitySequence,
    }
    this.#discontinuity = false
    this.#wall.slew()
    lead.cutNow(cut)
    this.#follower?.lane.cutLater(cut)
  }

  #checkJump(rawMs: number): void {
    if (this.#lastRawMs === undefined || this.#waitingForKey) return
    const lead = this.#lead
    const typicalMs = lead ? (this.#typicalTicks * 1000) / lead.timescale : 0
    const bound = this.#typicalTicks > 0 ? Math.max(JUMP_MS, 3 * typicalMs) : FIRST_JUMP_MS
    const step = rawMs - this.#lastRawMs
    if (step > bound || step < -BACK_MS)
      this.#break(`time jumped by ${Math.round(step)} ms, from ${Math.round(this.#lastRawMs)} ms`)
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
    if (!lead) return
    const endDts = this.#held
      ? this.#held.dts + Math.max(1, Math.round(this.#typicalTicks))
      : undefined
    if (endDts !== undefined) this.#completeHeld(endDts)
    this.#settlePace(lead)
    const endMs =
      endDts === undefined
        ? (this.#lastRawMs ?? 0) + this.#offsetMs
        : (endDts * 1000) / lead.timescale
    this.#follower?.advance(endMs + this.#reorderMs)
    lead.finish(endMs + this.#reorderMs)
    this.#follower?.finish(endMs + this.#reorderMs)
  }

  /** Raw time `rawMs` is now; on the window's timeline never before what it holds already. */
  #anchor(rawMs: number): void {
    const { window, clock } = this.#options
    const ends = window.renditions.flatMap((rendition) => {
      const last = rendition.segments.at(-1)
      return last ? last.startedAt + last.durationSeconds * 1000 : []
    })
    const startMs = Math.max(
      0,
      clock.now() - window.bornAt,
      ...ends.map((end) => end - window.bornAt),
    )
    this.#offsetMs = Math.ceil(startMs) - rawMs
    this.#lastKeyMs = undefined
    this.#reorderMs = 0
    this.#wall.anchor()
    this.#follower?.anchor(this.#offsetMs)
  }
}

function sameTrack(a: VideoTrack | AudioTrack | undefined, b: VideoTrack | AudioTrack | undefined) {
  return (
    a?.id === b?.id &&
    a?.codec === b?.codec &&
    Buffer.compare(a?.config ?? EMPTY, b?.config ?? EMPTY) === 0
  )
}

const EMPTY = new Uint8Array()
