import type { Frame } from '../codecs/frame.ts'
import type { Track, VideoTrack } from '../codecs/track.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import type { EncoderChoice } from './choose-encoder.ts'
import type { Encoder } from './encoder.ts'
import { type FfmpegOptions, NICENESS } from './ffmpeg.ts'
import { hasRoom, type LadderLevel, ladderLevels, noRoom, threadsFor } from './ladder-levels.ts'
import { type LadderSource, type LadderWish, planRungs } from './ladder-plan.ts'
import { LadderPressure } from './ladder-pressure.ts'
import { LadderRun } from './ladder-run.ts'
import type { MachineRoom } from './machine-room.ts'
import { announcedRung, type LadderReport, type LadderSink } from './ladder-sink.ts'
import { pictureBits, SourceMeter } from './source-meter.ts'

export interface LiveLadderDeps {
  readonly clock: Clock
  readonly log: Log
  readonly ffmpeg: FfmpegOptions
  /** For sockets: nobody else's. */
  readonly folder: () => Promise<string>
  readonly nextName: () => string
  readonly wish: LadderWish
  readonly room: Pick<MachineRoom, 'cores' | 'idleCores'>
  readonly encoders: () => Promise<EncoderChoice>
  /** Of ffmpeg, as nice(1) has it: below whatever else the machine does unless given. */
  readonly niceness?: number | undefined
}

interface Plan {
  readonly track: VideoTrack
  readonly source: LadderSource
  readonly encoder: Encoder
  readonly levels: readonly LadderLevel[]
}

const LOOK_MS = 500
/** An encoder that is fed and gives nothing for so long hangs; its first picture may take longer. */
const HANGS_MS = 2000
const BEGINS_MS = 8000
/** Catching up with what came before it began is no lateness. */
const SETTLING_MS = 3000
const BACK_OFF_MS = 200
const BACK_OFF_MAX_MS = 30_000
const STEADY_MS = 30_000
/** So many ends in a row: the next encoder is tried, or players are told that there are no rungs. */
const FAILURES_GIVEN_UP = 3
/** FLV has 31 bits for times that are not taken for negative ones: then ffmpeg begins anew. */
const RUN_MAX_MS = 2 ** 30
const IDLE_WINDOW_MS = 3000

/**
 * The rungs of one publish. It starts when a few pictures have shown what the source is, does less when the machine can't
 * keep up, and more again later. Whatever becomes of it, the source's own rendition knows nothing of it.
 */
export class LiveLadder implements Disposable {
  readonly #stream: LiveStream
  readonly #sink: LadderSink
  readonly #deps: LiveLadderDeps
  readonly #reading: Disposable
  readonly #looking: Disposable
  readonly #meter = new SourceMeter()
  #track: VideoTrack | undefined
  #plan: Plan | undefined
  #failedEncoders = 0
  #at: number | undefined
  /** Why there is less than was planned. */
  #reason: string | undefined
  /** What ffmpeg said when it stopped again and again. */
  #trouble: string | undefined
  #pressure: LadderPressure
  #run: LadderRun | undefined
  #runReading: Disposable | undefined
  #waitingForKey = false
  #dropped = 0
  #failures = 0
  #restarts = 0
  #restarting: Disposable | undefined
  #announced = false
  #lastPtsMs: number | undefined
  #closed = false

  constructor(stream: LiveStream, sink: LadderSink, deps: LiveLadderDeps) {
    this.#stream = stream
    this.#sink = sink
    this.#deps = deps
    this.#pressure = new LadderPressure(deps.clock.monotonic())
    this.#looking = deps.clock.every(LOOK_MS, () => this.#look())
    this.#reading = stream.addReader({
      onTracks: (tracks) => this.#onTracks(tracks),
      onFrame: (frame) => this.#onFrame(frame),
      onEnd: () => this[Symbol.dispose](),
    })
  }

  get report(): LadderReport {
    const level = this.#level
    const planned = this.#plan?.levels[0]?.rungs.length ?? 0
    const reduced = level !== undefined && level.rungs.length < planned
    const starting = this.#plan === undefined && this.#reason === undefined
    const off = level === undefined || !this.#announced
    const reason = this.#trouble ?? this.#reason
    const state = starting ? 'starting' : off ? 'off' : reduced ? 'reduced' : 'on'
    return {
      state,
      ...(state !== 'on' && reason !== undefined && { reason }),
      ...(this.#plan && { encoder: this.#plan.encoder.name }),
      rungs: (off ? [] : level.rungs).map((rung) => {
        const delayMs = this.#run?.healthOf(rung).delayMs
        const { id, width, height, bitsPerSecond } = rung
        return {
          id,
          width,
          height,
          bitsPerSecond,
          ...(delayMs !== undefined && { delayMs: Math.round(delayMs) }),
        }
      }),
      restarts: this.#restarts,
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#looking[Symbol.dispose]()
    // Not there yet while it is called by its own constructor, for a stream that has ended.
    this.#reading?.[Symbol.dispose]()
    this.#stopRun()
  }

  get #level(): LadderLevel | undefined {
    return this.#at === undefined ? undefined : this.#plan?.levels[this.#at]
  }

  #onTracks(tracks: readonly Track[]): void {
    const track = tracks.find((one) => one.kind === 'video')
    if (track && this.#track && Buffer.compare(track.config, this.#track.config) === 0) return
    this.#track = track
    this.#plan = undefined
    this.#at = undefined
    this.#trouble = undefined
    this.#lastPtsMs = undefined
    this.#waitingForKey = false
    this.#stopRun()
    this.#meter.reset()
    this.#reason = track ? undefined : 'the stream has no picture'
    // Of other codecs in FLV ffmpeg knows nothing before version 6.1.
    if (track && track.codec !== 'avc')
      this.#reason = `the picture is ${track.codec}, and rungs are made of H.264 only`
    if (this.#reason !== undefined) this.#withdraw()
  }

  #onFrame(frame: Frame): void {
    const track = this.#track
    if (!track || frame.trackId !== track.id || (!this.#plan && this.#reason !== undefined)) return
    const seen = this.#meter.see((frame.dts * 1000) / track.timescale, frame.key)
    if (seen === 'jumped' && this.#level) {
      // What an encoder makes of two timelines fits neither.
      this.#lose()
      this.#waitingForKey = true
    }
    if (this.#waitingForKey && frame.key) {
      this.#waitingForKey = false
      this.#lastPtsMs = undefined
      this.#startRun()
    }
    if (seen === 'measured') void this.#settle(track)
  }

  /** The source is known: what can be made of it? */
  async #settle(track: VideoTrack): Promise<void> {
    const { encoders, failures } = await this.#deps.encoders()
    if (this.#closed || this.#track !== track || this.#plan) return
    const encoder = encoders[Math.min(this.#failedEncoders, encoders.length - 1)]
    const source = {
      ...track,
      ...this.#meter.facts,
      bitsPerSecond: pictureBits(this.#stream.metadata),
    }
    const rungs = planRungs(source, this.#deps.wish)
    if (rungs.length === 0)
      this.#reason = `the source has only ${Math.min(track.width, track.height)} lines`
    else if (!encoder) this.#reason = failures.join('; ')
    if (rungs.length === 0 || !encoder) {
      this.#withdraw()
      return
    }
    this.#plan = { track, source, encoder, levels: ladderLevels(source, rungs, encoder) }
    this.#begin(this.#firstLevel())
  }

  /** What is listed is tried; `auto` takes only what nobody else uses. */
  #firstLevel(): number | undefined {
    if (this.#deps.wish !== 'auto') return 0
    const { room } = this.#deps
    const idle = this.#idleCores()
    const at = this.#plan?.levels.findIndex((level) => hasRoom(level, idle, room.cores))
    return at === undefined || at < 0 ? undefined : at
  }

  #idleCores(): number {
    const { room } = this.#deps
    const lately = room.idleCores(IDLE_WINDOW_MS) ?? room.cores
    return Math.min(lately, room.idleCores(LOOK_MS) ?? lately)
  }

  #begin(at: number | undefined): void {
    const { log, clock, room } = this.#deps
    const stream = this.#stream.name
    const plan = this.#plan
    if (!plan) return
    this.#at = at
    this.#pressure.raised(clock.monotonic())
    if (at === undefined) {
      const reason = noRoom(plan.levels, this.#idleCores(), room.cores)
      if (this.#reason === undefined) log.info('no ladder for now', { stream, reason })
      this.#reason = reason
      this.#withdraw()
      return
    }
    if (at === 0) this.#reason = undefined
    else this.#reason ??= 'the machine has no room for more'
    const rungs = this.#level?.rungs.map(({ id }) => id)
    log.info('ladder', { stream, rungs, encoder: plan.encoder.name, effort: this.#level?.effort })
    this.#announce()
    this.#startRun()
  }

  #announce(): void {
    const plan = this.#plan
    const level = this.#level
    if (!plan || !level) return
    this.#announced = true
    this.#sink.announce(level.rungs.map((rung) => announcedRung(rung, plan.encoder)))
  }

  #withdraw(): void {
    if (this.#announced) this.#sink.announce([])
    this.#announced = false
  }

  #startRun(): void {
    const plan = this.#plan
    const level = this.#level
    if (!plan || !level || this.#closed) return
    const { clock, ffmpeg, nextName, room, folder } = this.#deps
    this.#dropped = 0
    const from = this.#lastPtsMs
    const run = new LadderRun(
      {
        ffmpeg,
        clock,
        folder,
        name: nextName(),
        ...plan,
        ...level,
        threads: threadsFor(level, room.cores),
        niceness: this.#deps.niceness ?? NICENESS,
        groupPictures: Math.round(plan.source.framesPerSecond) + 2,
        fromMs: from === undefined ? undefined : from + 1,
      },
      {
        onTrack: ({ id }, track) => {
          this.#trouble = undefined
          if (!this.#announced) this.#announce()
          this.#sink.onTrack(id, track)
        },
        onFrame: ({ id }, frame) => {
          this.#lastPtsMs = Math.max(this.#lastPtsMs ?? frame.pts, frame.pts)
          this.#sink.onFrame(id, frame)
        },
        onOver: (reason) => this.#runEnded(run, reason),
      },
    )
    this.#run = run
    this.#runReading = this.#stream.addReader({
      onTracks: () => {},
      onFrame: (frame) => {
        if (frame.trackId === plan.track.id) run.write(frame)
      },
      onEnd: () => {},
    })
  }

  #stopRun(): void {
    this.#restarting?.[Symbol.dispose]()
    this.#restarting = undefined
    this.#runReading?.[Symbol.dispose]()
    this.#runReading = undefined
    this.#run?.close()
    this.#run = undefined
  }

  /** The encoder stops, and nobody waits for its rungs. */
  #lose(): void {
    this.#stopRun()
    for (const { id } of this.#level?.rungs ?? []) this.#sink.onLost(id)
  }

  #runEnded(run: LadderRun, reason: string): void {
    if (this.#run !== run) return
    const { clock, log } = this.#deps
    if (clock.monotonic() - run.startedAt > STEADY_MS) this.#failures = 0
    const waitMs = Math.min(BACK_OFF_MS * 2 ** this.#failures, BACK_OFF_MAX_MS)
    this.#failures++
    this.#restarts++
    this.#lose()
    log.warn('the encoder of a ladder stopped, starting again', {
      stream: this.#stream.name,
      reason,
      waitMs,
    })
    if (this.#failures >= FAILURES_GIVEN_UP) this.#giveUp(`ffmpeg stops again and again: ${reason}`)
    this.#restarting = clock.after(waitMs, () => this.#startRun())
  }

  /** Players are told that there are no rungs; they come back with the next picture that is encoded. */
  #giveUp(reason: string): void {
    this.#trouble = reason
    this.#withdraw()
    const plan = this.#plan
    void this.#deps.encoders().then(({ encoders }) => {
      const other = encoders[this.#failedEncoders + 1]
      if (!other || this.#plan !== plan || !plan) return
      this.#failedEncoders++
      this.#plan = { ...plan, encoder: other }
    })
  }

  #look(): void {
    const { clock, room, wish } = this.#deps
    const now = clock.monotonic()
    const run = this.#run
    const level = this.#level
    if (!this.#plan) return
    if (!run || !level) {
      if (this.#at === undefined && this.#pressure.mayRaise(now)) this.#begin(this.#firstLevel())
      return
    }
    const hasBegun = level.rungs.some((rung) => run.healthOf(rung).delayMs !== undefined)
    const silence = `no picture came out for ${(run.silentMs / 1000).toFixed(1)} s`
    if (hasBegun && run.silentMs > HANGS_MS) {
      this.#runEnded(run, silence)
      return
    }
    if (!hasBegun && run.silentMs > BEGINS_MS) {
      this.#lower(silence)
      return
    }
    if (run.lengthMs > RUN_MAX_MS) {
      this.#lose()
      this.#startRun()
      return
    }
    if (now - run.startedAt < SETTLING_MS) return
    if (now - run.startedAt > STEADY_MS) this.#failures = 0
    const droppedGroups = run.droppedGroups - this.#dropped
    this.#dropped = run.droppedGroups
    const why = this.#pressure.look(now, {
      behindMs: Math.max(0, ...level.rungs.map((rung) => run.healthOf(rung).behindMs)),
      droppedGroups,
      idleShare: wish === 'auto' ? (room.idleCores(1000) ?? room.cores) / room.cores : undefined,
    })
    if (why !== undefined) this.#lower(why)
    else if (this.#pressure.mayRaise(now)) this.#raise()
  }

  #lower(reason: string): void {
    const { clock, log } = this.#deps
    const next = (this.#at ?? 0) + 1
    this.#lose()
    this.#pressure.lowered(clock.monotonic())
    this.#reason = reason
    this.#at = this.#plan?.levels[next] ? next : undefined
    const rungs = this.#level?.rungs.map(({ id }) => id) ?? []
    log.warn('a ladder does less', { stream: this.#stream.name, reason, rungs })
    if (this.#at === undefined) {
      this.#withdraw()
      return
    }
    this.#announce()
    this.#startRun()
  }

  /** The step above, if the machine has room for what it costs more. */
  #raise(): void {
    const { room, clock } = this.#deps
    const above = this.#at === undefined ? undefined : this.#plan?.levels[this.#at - 1]
    const own = this.#level?.cores ?? 0
    if (!above || !hasRoom(above, this.#idleCores() + own, room.cores)) return
    this.#lose()
    this.#pressure.raised(clock.monotonic())
    this.#begin((this.#at ?? 1) - 1)
  }
}
