import ffmpeg from 'fluent-ffmpeg'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'

/** Where ffmpeg is found: a path of the operator's, else the PATH. */
export interface FfmpegOptions {
  readonly path: string | undefined
}

/** What the ffmpeg on this machine is; undefined when none answers. */
export function probeFfmpeg(
  options: FfmpegOptions,
): Promise<{ encoders: readonly string[] } | undefined> {
  return new Promise((resolve) => {
    newCommand(options).getAvailableEncoders((error, encoders) => {
      resolve(error ? undefined : { encoders: Object.keys(encoders) })
    })
  })
}

export interface DemoPublisher {
  /** Resolves once ffmpeg has gone. */
  close(): Promise<void>
}

const RESTART_MS = 2000

/** Publishes a moving test picture with a clock and a tone to `url`, again whenever ffmpeg ends, until closed. */
export function startDemoPublisher(
  url: string,
  options: FfmpegOptions,
  deps: { readonly clock: Clock; readonly log: Log },
): DemoPublisher {
  let closed = false
  let running: ffmpeg.FfmpegCommand | undefined
  let gone: Promise<void> = Promise.resolve()
  let restart: Disposable | undefined

  const start = () => {
    if (closed) return
    gone = new Promise((resolve) => {
      const over = (reason: string) => {
        running = undefined
        resolve()
        if (closed) return
        deps.log.warn('demo publisher stopped, starting again', { reason })
        restart = deps.clock.after(RESTART_MS, start)
      }
      const ffmpegRun = demoCommand(url, options)
        // It asks ffmpeg for its formats first; a kill during that finds no process.
        .on('start', () => closed && ffmpegRun.kill('SIGKILL'))
        .on('error', (error) => over(describeError(error).replaceAll(url, 'the demo stream')))
        .on('end', () => over('ffmpeg ended'))
      running = ffmpegRun
      ffmpegRun.run()
    })
  }
  start()
  return {
    close: () => {
      closed = true
      restart?.[Symbol.dispose]()
      running?.kill('SIGKILL')
      return gone
    },
  }
}

function demoCommand(url: string, options: FfmpegOptions): ffmpeg.FfmpegCommand {
  return newCommand(options)
    .input('testsrc2=size=1280x720:rate=30')
    .inputOptions(['-re', '-f lavfi'])
    .input('sine=frequency=330:beep_factor=4:sample_rate=48000')
    .inputOptions(['-re', '-f lavfi'])
    .outputOptions([
      '-c:v libx264',
      '-preset ultrafast',
      '-tune zerolatency',
      '-pix_fmt yuv420p',
      '-g 30',
      '-b:v 2500k',
      '-maxrate 2500k',
      '-bufsize 2500k',
      '-c:a aac',
      '-b:a 128k',
      '-af volume=0.1',
    ])
    .format('flv')
    .output(url)
}

/** Of encoders, as nice(1) has it, below whatever else the machine does: nobody's stream waits for one of ours. */
export const NICENESS = 15

/** A command of the ffmpeg that is configured; every one is made here. */
export function newCommand(
  { path }: FfmpegOptions,
  more: ffmpeg.FfmpegCommandOptions = {},
): ffmpeg.FfmpegCommand {
  // Under nice(1) a program that has gone since it was looked at is an exit code; without, fluent-ffmpeg throws past its events.
  const created = ffmpeg({ niceness: 1, ...more })
  // It remembers one path for the whole process: the last one said, so it is said each time.
  created.setFfmpegPath(path ?? 'ffmpeg')
  return created
}

/** Runs a command to its end. Rejects with what ffmpeg said, also when it is killed: after `ms`, or by the signal. */
export function runCommand(
  command: ffmpeg.FfmpegCommand,
  {
    clock,
    ms,
    signal,
  }: { readonly clock: Clock; readonly ms: number; readonly signal?: AbortSignal },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const kill = () => command.kill('SIGKILL')
    const late = clock.after(ms, kill)
    const over = () => {
      late[Symbol.dispose]()
      signal?.removeEventListener('abort', kill)
    }
    signal?.addEventListener('abort', kill, { once: true })
    command
      // It asks ffmpeg for its formats first; a kill during that finds no process.
      .on('start', () => signal?.aborted && kill())
      .on('error', (error) => {
        over()
        reject(error)
      })
      .on('end', () => {
        over()
        resolve()
      })
    command.run()
  })
}
