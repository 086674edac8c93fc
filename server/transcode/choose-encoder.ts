import { existsSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import ffmpeg from 'fluent-ffmpeg'
import type { VideoTrack } from '../codecs/track.ts'
import { FlvFileReader } from '../formats/flv/flv-file-reader.ts'
import { describeError } from '../lib/errors.ts'
import { deviceOptions, type Encoder, encoderOptions, RENDER_NODE, scaleFilter } from './encoder.ts'
import { type FfmpegOptions, newCommand, NICENESS, probeFfmpeg } from './ffmpeg.ts'

export interface EncoderChoice {
  /** The one to take, and those to fall back on; empty when there is none. */
  readonly encoders: readonly Encoder[]
  /** What was tried and did not work, one sentence each. */
  readonly failures: readonly string[]
}

const SOFTWARE = 'libx264'
/** Encoders of hardware, the best first, with the device that they cannot do without on Linux. */
const HARDWARE: readonly (readonly [name: string, devices: readonly string[]])[] = [
  ['h264_nvenc', ['/dev/nvidiactl', '/dev/dxg']],
  ['h264_videotoolbox', []],
  ['h264_qsv', [RENDER_NODE]],
  ['h264_vaapi', [RENDER_NODE]],
]
const OTHERS = ['libopenh264', 'h264_amf', 'h264_mf', 'h264_v4l2m2m']

const TRIAL = { width: 640, height: 360, bitsPerSecond: 1_000_000, level: 30, pictures: 30 }
/** Ends what hangs. A niced second of pictures took longer than 10 s where others had the cores, and no ladder was made from then on. */
const TRIAL_SECONDS = 60

/** Which encoders work here: being listed says little, so each encodes a second of pictures. */
export async function chooseEncoder(options: FfmpegOptions): Promise<EncoderChoice> {
  const listed = (await probeFfmpeg(options))?.encoders
  if (!listed) return { encoders: [], failures: ['ffmpeg was not found'] }
  const isThere = (devices: readonly string[]) =>
    devices.length === 0 || process.platform !== 'linux' || devices.some((one) => existsSync(one))
  const hardware = HARDWARE.filter(([, devices]) => isThere(devices)).map(([name]) => name)
  const encoders: Encoder[] = []
  const failures: string[] = []
  const tryFirst = async (names: readonly string[]) => {
    for (const name of names.filter((one) => listed.includes(one))) {
      try {
        encoders.push(await tryEncoder(name, hardware.includes(name), options))
        return
      } catch (error) {
        failures.push(`${name}: ${describeError(error)}`)
      }
    }
  }
  await tryFirst(hardware)
  await tryFirst([SOFTWARE, ...OTHERS])
  if (encoders.length === 0 && failures.length === 0)
    failures.push('this ffmpeg has no encoder of H.264')
  return { encoders, failures }
}

async function tryEncoder(
  name: string,
  hardware: boolean,
  options: FfmpegOptions,
): Promise<Encoder> {
  const { track, cpuSeconds } = await encodeTrial(name, options)
  const megapixels = (TRIAL.width * TRIAL.height * TRIAL.pictures) / 1e6
  return {
    name,
    hardware,
    codecPrefix: track.codecString.slice(0, -2),
    secondsPerMegapixel: cpuSeconds / megapixels,
  }
}

function encodeTrial(
  name: string,
  options: FfmpegOptions,
): Promise<{ readonly track: VideoTrack; readonly cpuSeconds: number }> {
  return new Promise((resolve, reject) => {
    let track: VideoTrack | undefined
    let cpuSeconds = 0
    const reader = new FlvFileReader({
      onTracks: (tracks) => {
        track = tracks.find((one) => one.kind === 'video')
      },
      onFrame: () => {},
    })
    const output = new PassThrough()
    output.on('data', (piece: Buffer) => {
      try {
        reader.push(piece)
      } catch (error) {
        output.destroy(error instanceof Error ? error : new Error(describeError(error)))
      }
    })
    // ffmpeg's `-benchmark`; 0 where it says nothing, and then nothing is known of its cost.
    const readCost = (line: string) => {
      const said = /bench: utime=([\d.]+)s stime=([\d.]+)s/.exec(line)
      if (said) cpuSeconds = Number(said[1]) + Number(said[2])
    }
    const task = { rung: TRIAL, effort: 'usual', threads: 1, groupPictures: 30 } as const
    const run = newCommand(options, { niceness: NICENESS, timeout: TRIAL_SECONDS })
      .input(`testsrc2=size=${TRIAL.width}x${TRIAL.height}:rate=30`)
      .inputOptions([...deviceOptions(name), '-benchmark', '-nostats', '-f', 'lavfi'])
      .outputOptions(['-vf', scaleFilter({ name }, TRIAL), ...encoderOptions({ name }, task)])
      .outputOptions(['-frames:v', String(TRIAL.pictures)])
      .format('flv')
      .on('stderr', readCost)
      .on('error', (error: Error) => reject(new Error(lastLine(error.message))))
      .on('end', () => {
        if (track) resolve({ track, cpuSeconds })
        else reject(new Error('it encoded nothing'))
      })
    ffmpegOutput(run, output)
  })
}

function ffmpegOutput(run: ffmpeg.FfmpegCommand, output: PassThrough): void {
  run.output(output, { end: true }).run()
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 300) ?? ''
}
