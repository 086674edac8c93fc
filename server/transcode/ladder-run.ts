import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type ffmpeg from 'fluent-ffmpeg'
import type { Frame } from '../codecs/frame.ts'
import type { VideoTrack } from '../codecs/track.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import { deviceOptions, type Effort, type Encoder, encoderOptions, scaleFilter } from './encoder.ts'
import { type FfmpegOptions, newCommand } from './ffmpeg.ts'
import { FrameFeed } from './frame-feed.ts'
import type { PlannedRung } from './ladder-plan.ts'
import { RungOutput } from './rung-output.ts'

export interface LadderRunOptions {
  readonly ffmpeg: FfmpegOptions
  readonly clock: Clock
  /** Where the sockets are made, named after `name`. */
  readonly folder: () => Promise<string>
  readonly name: string
  readonly track: VideoTrack
  readonly encoder: Encoder
  readonly rungs: readonly PlannedRung[]
  readonly effort: Effort
  readonly threads: number
  readonly groupPictures: number
  readonly niceness: number
  /** Earlier pictures are decoded only, in milliseconds of the source's timeline. */
  readonly fromMs: number | undefined
}

export interface LadderRunSink {
  onTrack(rung: PlannedRung, track: VideoTrack): void
  /** Its times are milliseconds of the source's timeline. */
  onFrame(rung: PlannedRung, frame: Frame): void
  /** It has ended, not by `close`. */
  onOver(reason: string): void
}

/** How one rung is doing; milliseconds. */
export interface RungHealth {
  /** From a picture's coming to its leaving, of the last one that left. */
  readonly delayMs: number | undefined
  /** How far what left is behind what came. */
  readonly behindMs: number
}

interface RungState {
  readonly rung: PlannedRung
  delayMs: number | undefined
  /** When the last picture that left had come, and when it left. */
  lastCameAt: number | undefined
  lastLeftAt: number | undefined
}

/** Pictures whose coming is remembered: more are in no encoder that keeps up. */
const REMEMBERED = 1024
const STDERR_LINES = 20
const LINE_MAX = 300

/** One ffmpeg that makes all rungs of a stream, from its start to its end. */
export class LadderRun {
  readonly #options: LadderRunOptions
  readonly #sink: LadderRunSink
  readonly #input = new PassThrough()
  readonly #feed: FrameFeed
  readonly #states: readonly RungState[]
  readonly #cameAt = new Map<number, number>()
  readonly startedAt: number
  #outputs: readonly RungOutput[] = []
  #command: ffmpeg.FfmpegCommand | undefined
  #lastCameAt: number | undefined
  #lastWords = ''
  #over = false

  constructor(options: LadderRunOptions, sink: LadderRunSink) {
    this.#options = options
    this.#sink = sink
    this.startedAt = options.clock.monotonic()
    this.#input.on('error', () => {})
    this.#feed = new FrameFeed(options.track, this.#input, options.clock)
    this.#states = options.rungs.map((rung) => ({
      rung,
      delayMs: undefined,
      lastCameAt: undefined,
      lastLeftAt: undefined,
    }))
    this.#start().catch((error: unknown) => this.#end(describeError(error)))
  }

  get droppedGroups(): number {
    return this.#feed.droppedGroups
  }
  get lengthMs(): number {
    return this.#feed.lengthMs
  }

  write(frame: Frame): void {
    if (this.#over) return
    const shownMs = this.#feed.write(frame)
    if (shownMs === undefined) return
    const now = this.#options.clock.monotonic()
    this.#lastCameAt = now
    this.#cameAt.set(shownMs, now)
    for (const oldest of this.#cameAt.keys()) {
      if (this.#cameAt.size <= REMEMBERED) break
      this.#cameAt.delete(oldest)
    }
  }

  healthOf({ id }: PlannedRung): RungHealth {
    const state = this.#states.find(({ rung }) => rung.id === id)
    const since = state?.lastCameAt ?? this.startedAt
    return {
      delayMs: state?.delayMs,
      behindMs: Math.max(0, (this.#lastCameAt ?? since) - since),
    }
  }

  /** How long a rung has given nothing although there was something to give. */
  get silentMs(): number {
    const now = this.#options.clock.monotonic()
    const silences = this.#states.map(({ lastLeftAt, lastCameAt }) => {
      const waits = this.#lastCameAt !== undefined && this.#lastCameAt > (lastCameAt ?? 0)
      return waits ? now - (lastLeftAt ?? this.startedAt) : 0
    })
    return Math.max(0, ...silences)
  }

  /** Ends it at once; nothing is told any more. */
  close(): void {
    this.#over = true
    this.#cleanUp()
  }

  async #start(): Promise<void> {
    const { name, rungs } = this.#options
    const folder = await this.#options.folder()
    const opened = await Promise.allSettled(
      rungs.map((rung) => RungOutput.open(join(folder, socketName(name, rung)), this.#into(rung))),
    )
    this.#outputs = opened.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
    const failed = opened.find((one) => one.status === 'rejected')
    if (failed) throw failed.reason
    if (this.#over) this.#cleanUp()
    else this.#run(folder)
  }

  #run(folder: string): void {
    const { ffmpeg: program, encoder, rungs, name } = this.#options
    const command = newCommand(program, {
      niceness: this.#options.niceness,
      stdoutLines: STDERR_LINES,
      // So that a long path of the folder is none of ffmpeg's names.
      cwd: folder,
    })
      .input(this.#input)
      // Nothing is held back to look at it first: -probesize, -analyzeduration; a decoder of more threads holds pictures back.
      .inputOptions(['-hide_banner', '-loglevel', 'error', '-nostats', '-copyts'])
      .inputOptions([...deviceOptions(encoder.name), '-probesize', '32', '-analyzeduration', '0'])
      .inputOptions(['-threads', '1', '-f', 'flv'])
      .on('stderr', (line: string) => {
        if (line.trim() !== '') this.#lastWords = line.trim().slice(0, LINE_MAX)
      })
      .on('start', () => this.#over && command.kill('SIGKILL'))
      .on('error', (error: Error) => this.#end(this.#lastWords || firstLine(error.message)))
      .on('end', () => this.#end(this.#lastWords || 'ffmpeg ended'))
    this.#command = command
    for (const rung of rungs)
      command
        .output(`unix:${socketName(name, rung)}`)
        .outputOptions(this.#outputOptions(rung))
        .outputOptions(['-f', 'flv', '-flvflags', 'no_duration_filesize'])
    command.run()
  }

  #outputOptions(rung: PlannedRung): string[] {
    const { encoder, effort, threads, groupPictures, fromMs } = this.#options
    const { baseMs } = this.#feed
    const skip =
      fromMs !== undefined && baseMs !== undefined && fromMs > baseMs
        ? [`trim=start=${((fromMs - baseMs) / 1000).toFixed(3)}`]
        : []
    return [
      '-an',
      '-fps_mode',
      'passthrough',
      '-enc_time_base',
      '1:1000',
      '-vf',
      [...skip, scaleFilter(encoder, rung)].join(','),
      ...encoderOptions(encoder, { rung, effort, threads, groupPictures }),
    ]
  }

  #into(rung: PlannedRung) {
    return {
      onTrack: (track: VideoTrack) => {
        if (!this.#over) this.#sink.onTrack(rung, track)
      },
      onFrame: (frame: Frame) => this.#take(rung, frame),
      onBroken: (reason: string) => this.#end(reason),
    }
  }

  #take(rung: PlannedRung, frame: Frame): void {
    const { baseMs } = this.#feed
    const state = this.#states.find((one) => one.rung === rung)
    if (this.#over || baseMs === undefined || !state) return
    const now = this.#options.clock.monotonic()
    const pts = frame.pts + baseMs
    const cameAt = this.#cameAt.get(pts)
    state.lastLeftAt = now
    state.lastCameAt = cameAt ?? now
    if (cameAt !== undefined) state.delayMs = now - cameAt
    this.#sink.onFrame(rung, { ...frame, dts: frame.dts + baseMs, pts })
  }

  #end(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.#cleanUp()
    this.#sink.onOver(reason)
  }

  #cleanUp(): void {
    this.#feed.end()
    this.#command?.kill('SIGKILL')
    for (const output of this.#outputs) output.close()
  }
}

function socketName(name: string, { id }: PlannedRung): string {
  return `${name}-${id}`
}

function firstLine(text: string): string {
  return text.split('\n')[0]?.slice(0, LINE_MAX) ?? ''
}
