import { Readable, Writable } from 'node:stream'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { type FfmpegOptions, newCommand, NICENESS, runCommand } from './ffmpeg.ts'

export interface PictureMakerDeps {
  readonly ffmpeg: FfmpegOptions
  readonly clock: Clock
  readonly log: Log
}

const MAKE_MS = 10_000
const JPEG_BYTES_MAX = 8 * 1024 * 1024

/**
 * Makes a JPEG of the first picture of some fragmented MP4 (init section first), one at a time and at low priority; `width` in pixels,
 * never above the picture's own. undefined where ffmpeg is missing or fails, which is logged until it works again.
 */
export function createPictureMaker(
  deps: PictureMakerDeps,
): (media: readonly Uint8Array[], width: number) => Promise<Buffer | undefined> {
  let last: Promise<unknown> = Promise.resolve()
  let failed = false
  return (media, width) => {
    const making = last.then(async () => {
      try {
        const jpeg = await makeOne(media, width, deps)
        failed = false
        return jpeg
      } catch (error) {
        if (!failed) {
          const reason = describeError(error)
          deps.log.warn('no poster can be made', { reason })
        }
        failed = true
        return undefined
      }
    })
    last = making
    return making
  }
}

async function makeOne(
  media: readonly Uint8Array[],
  width: number,
  { ffmpeg, clock }: PictureMakerDeps,
): Promise<Buffer> {
  const pieces: Buffer[] = []
  let bytes = 0
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      if (bytes <= JPEG_BYTES_MAX) pieces.push(chunk)
      done()
    },
  })
  const command = newCommand(ffmpeg, { niceness: NICENESS })
    .input(Readable.from(media.map((one) => Buffer.from(one.buffer, one.byteOffset, one.length))))
    .inputOptions(['-threads 1', '-skip_frame nokey', '-f mp4'])
    .noAudio()
    .videoFilter(`scale=w='min(${width},iw)':h=-2`)
    .outputOptions(['-frames:v 1', '-c:v mjpeg', '-q:v 4', '-pix_fmt yuvj420p', '-threads 1'])
    .format('mjpeg')
    .output(output)
  await runCommand(command, { clock, ms: MAKE_MS })
  if (bytes === 0) throw new Error('ffmpeg made no picture')
  if (bytes > JPEG_BYTES_MAX) throw new Error(`the picture has ${bytes} bytes`)
  return Buffer.concat(pieces)
}
