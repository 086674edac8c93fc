import { readFile } from 'node:fs/promises'
import type { Frame } from '../../server/codecs/frame.ts'
import type { Track } from '../../server/codecs/track.ts'
import { FlvReader } from '../../server/formats/flv/flv-reader.ts'
import { convertFilm } from './media.ts'

/** What a publisher would send, in order: tracks and frames with times of whole milliseconds. */
export interface LiveMedia {
  readonly tracks: readonly Track[]
  readonly frames: readonly Frame[]
}

export interface LiveMediaOptions {
  readonly seconds: number
  readonly fps?: number
  /** Frames between key frames. */
  readonly gop?: number
  readonly bframes?: number
  readonly size?: string
  readonly sampleRate?: number
  readonly video?: boolean
  readonly audio?: boolean
}

/** Encodes a test picture and a tone with ffmpeg into FLV, once for each set of options, and reads it as RTMP would bring it. */
export async function makeLiveMedia(options: LiveMediaOptions): Promise<LiveMedia> {
  return readFlvFile(await readFile(await makeFlv(options)))
}

function makeFlv(options: LiveMediaOptions): Promise<string> {
  const { seconds, fps = 30, gop = fps, bframes = 0, size = '320x180' } = options
  const { sampleRate = 48_000, video = true, audio = true } = options
  const picture = `testsrc2=size=${size}:rate=${fps}:duration=${seconds}`
  const tone = `sine=frequency=440:sample_rate=${sampleRate}:duration=${seconds}`
  return convertFilm(
    [
      ...(video ? ['-f', 'lavfi', '-i', picture] : []),
      ...(audio ? ['-f', 'lavfi', '-i', tone] : []),
    ],
    [
      ...(video ? ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p'] : []),
      ...(video ? ['-g', `${gop}`, '-keyint_min', `${gop}`, '-sc_threshold', '0'] : []),
      ...(video ? ['-bf', `${bframes}`, '-b:v', '400k', '-threads', '1'] : []),
      ...(audio ? ['-c:a', 'aac', '-b:a', '96k', '-ac', '2'] : []),
    ],
    'flv',
  )
}

function readFlvFile(bytes: Buffer): LiveMedia {
  let tracks: readonly Track[] = []
  const frames: Frame[] = []
  const reader = new FlvReader({
    onTracks: (known) => {
      tracks = known
    },
    onFrame: (frame) => frames.push(frame),
  })
  const kinds = bytes.readUInt8(4)
  reader.expect({ video: (kinds & 1) !== 0, audio: (kinds & 4) !== 0 })
  // FLV 10.1 §E.3: a header of nine bytes, then tags of 11 bytes and a body, each behind the size of the one before.
  for (let at = 9 + 4; at + 11 <= bytes.length; ) {
    const size = bytes.readUIntBE(at + 1, 3)
    const timestamp = bytes.readUIntBE(at + 4, 3) + bytes.readUInt8(at + 7) * 2 ** 24
    const body = bytes.subarray(at + 11, at + 11 + size)
    if (bytes[at] === 9) reader.video(timestamp, body)
    if (bytes[at] === 8) reader.audio(timestamp, body)
    at += 11 + size + 4
  }
  return { tracks, frames }
}
