import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { VideoTrack } from '../codecs/track.ts'
import { FlvFileReader } from '../formats/flv/flv-file-reader.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { type FfmpegOptions, newCommand, NICENESS, runCommand } from './ffmpeg.ts'
import { drawSlate } from './slate-drawing.ts'

export interface SlateMakerDeps {
  /** Where slates are kept; made when it is missing. */
  readonly folder: string
  readonly ffmpeg: FfmpegOptions
  readonly clock: Clock
  readonly log: Log
}

interface Wish {
  readonly codec: VideoTrack['codec']
  readonly codecString: string
  readonly width: number
  readonly height: number
  readonly framesPerSecond: number
}

interface Picture {
  readonly track: VideoTrack
  readonly frames: readonly { readonly key: boolean; readonly data: Uint8Array }[]
}

/** H.264 of 8 bits and 4:2:0, by profile_idc: what every encoder here can make and every player of the stream can show. */
const PROFILES: Readonly<Record<string, string>> = { '42': 'baseline', '4d': 'main', '64': 'high' }
const SIDE_MAX = 4096
const FILES_MAX = 64
const FILE_BYTES_MAX = 16 * 1024 * 1024
const MAKE_MS = 60_000

/**
 * Makes a second of "We'll be right back" with ffmpeg, one at a time and at low priority, and keeps it in `folder`. Undefined for
 * another codec than H.264, and where ffmpeg is missing or fails, which is logged once.
 */
export function createSlateMaker(
  deps: SlateMakerDeps,
): (wish: Wish, signal: AbortSignal) => Promise<Picture | undefined> {
  let last: Promise<unknown> = Promise.resolve()
  let failed = false
  return (wish, signal) => {
    const profile = profileOf(wish)
    if (profile === undefined || failed) return Promise.resolve(undefined)
    const making = last.then(async () => {
      signal.throwIfAborted()
      try {
        return await makeOne(wish, profile, deps, signal)
      } catch (error) {
        signal.throwIfAborted()
        failed = true
        const reason = describeError(error)
        deps.log.warn('no slate can be made: the last picture will be shown in its place', {
          reason,
        })
        return undefined
      }
    })
    last = making.catch(() => undefined)
    return making
  }
}

function profileOf({ codec, codecString, width, height, framesPerSecond }: Wish) {
  const even = width % 2 === 0 && height % 2 === 0
  const fits = width >= 16 && height >= 16 && width <= SIDE_MAX && height <= SIDE_MAX
  const whole = Number.isInteger(framesPerSecond) && framesPerSecond > 0 && framesPerSecond <= 120
  if (codec !== 'avc' || !even || !fits || !whole) return undefined
  return PROFILES[codecString.slice(5, 7).toLowerCase()]
}

async function makeOne(
  { width, height, framesPerSecond }: Wish,
  profile: string,
  deps: SlateMakerDeps,
  signal: AbortSignal,
): Promise<Picture> {
  const { folder } = deps
  const file = join(folder, `avc-${profile}-${width}x${height}-${framesPerSecond}.flv`)
  const kept = await readKept(file)
  if (kept) return kept
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const unfinished = `${file}.new`
  const command = newCommand(deps.ffmpeg, { niceness: NICENESS })
    .input(Readable.from([drawSlate(width, height)]))
    .inputOptions([
      '-f rawvideo',
      '-pix_fmt gray',
      `-s ${width}x${height}`,
      `-r ${framesPerSecond}`,
    ])
    .videoFilter([`loop=loop=${framesPerSecond - 1}:size=1:start=0`, 'format=yuv420p'])
    .outputOptions([
      '-c:v libx264',
      `-profile:v ${profile}`,
      '-preset veryfast',
      '-tune stillimage',
      '-threads 1',
      '-bf 0',
      '-crf 23',
      `-g ${framesPerSecond}`,
      `-keyint_min ${framesPerSecond}`,
      '-sc_threshold 0',
      `-frames:v ${framesPerSecond}`,
    ])
    .format('flv')
    .output(unfinished)
  try {
    await runCommand(command, { clock: deps.clock, ms: MAKE_MS, signal })
    const picture = await readSlate(unfinished)
    await rename(unfinished, file)
    await removeOldest(folder)
    return picture
  } catch (error) {
    await rm(unfinished, { force: true })
    throw error
  }
}

async function readKept(file: string): Promise<Picture | undefined> {
  try {
    return await readSlate(file)
  } catch {
    return undefined
  }
}

/** Throws when the file is none, or was cut short. */
async function readSlate(file: string): Promise<Picture> {
  if ((await stat(file)).size > FILE_BYTES_MAX) throw new RangeError(`${file} is too large`)
  return readSlateFile(await readFile(file))
}

/** Throws `media-broken` for what is no FLV with a picture, or is cut short. */
export function readSlateFile(bytes: Buffer): Picture {
  let track: VideoTrack | undefined
  const frames: { readonly key: boolean; readonly data: Uint8Array }[] = []
  const reader = new FlvFileReader({
    onTracks: (tracks) => {
      track = tracks.find((one) => one.kind === 'video')
    },
    onFrame: ({ key, data }) => frames.push({ key, data }),
  })
  reader.push(bytes)
  if (!reader.complete) throw broken('it is cut short')
  if (!track || !frames[0]?.key) throw broken('it holds no picture')
  return { track, frames }
}

function broken(reason: string): NearcastError {
  return new NearcastError('media-broken', `a slate cannot be read: ${reason}`)
}

/** Publishers of ever other sizes must not fill the disk. */
async function removeOldest(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.flv'))
  if (names.length <= FILES_MAX) return
  const aged = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })),
  )
  aged.sort((a, b) => a.at - b.at)
  for (const { name } of aged.slice(0, names.length - FILES_MAX))
    await rm(join(folder, name), { force: true })
}
