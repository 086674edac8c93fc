import { readFile } from 'node:fs/promises'
import { ALL_FORMATS, BufferSource, EncodedPacketSink, Input } from 'mediabunny'
import type { AudioCodec, VideoCodec } from '../../server/codecs/track.ts'
import { convertFilm } from './media.ts'

/** An RTMP message of a publisher. */
export interface Tag {
  readonly type: 8 | 9
  readonly timestamp: number
  readonly body: Buffer
}

/** One elementary stream as a file holds it. Milliseconds. */
export interface Elementary {
  /** Payload of the codec's box, behind version and flags where it has them. */
  readonly config: Buffer
  readonly frames: readonly {
    readonly dts: number
    readonly pts: number
    readonly key: boolean
    readonly data: Buffer
  }[]
}

const words = (line: string) => line.split(' ').filter((word) => word !== '')

const ENCODER: Readonly<Record<VideoCodec | AudioCodec, string>> = {
  avc: '-c:v libx264 -preset veryfast -bf 2 -threads 1',
  hevc: '-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params bframes=2:log-level=none:pools=1',
  av1: '-c:v libaom-av1 -cpu-used 8 -lag-in-frames 0 -usage realtime',
  vp9: '-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -lag-in-frames 0',
  aac: '-c:a aac',
  mp3: '-c:a libmp3lame',
  opus: '-c:a libopus',
  flac: '-c:a flac -strict -2',
  ac3: '-c:a ac3',
  eac3: '-c:a eac3',
}
const BOX: Readonly<Record<VideoCodec | AudioCodec, readonly [string, number]>> = {
  avc: ['avcC', 0],
  hevc: ['hvcC', 0],
  av1: ['av1C', 0],
  vp9: ['vpcC', 4],
  aac: ['esds', 0],
  mp3: ['esds', 0],
  opus: ['dOps', 0],
  flac: ['dfLa', 4],
  ac3: ['dac3', 0],
  eac3: ['dec3', 0],
}

export interface ElementaryOptions {
  readonly seconds?: number
  readonly size?: string
  /** Encoder arguments that go last. */
  readonly extra?: string
}

/** Two seconds of a test picture at 25 frames a second, a key frame each second. */
export async function makeVideo(
  codec: VideoCodec,
  options: ElementaryOptions = {},
): Promise<Elementary> {
  const { seconds = 2, size = '320x180', extra = '' } = options
  const path = await convertFilm(
    words(`-f lavfi -i testsrc2=size=${size}:rate=25:duration=${seconds}`),
    words(
      `${ENCODER[codec]} -b:v 300k -g 25 -keyint_min 25 -sc_threshold 0 -pix_fmt yuv420p ${extra}`,
    ),
    'mp4',
  )
  return readElementary(path, codec)
}

/** A tone of two seconds. */
export async function makeAudio(
  codec: AudioCodec,
  options: ElementaryOptions = {},
): Promise<Elementary> {
  const { seconds = 2, extra = '' } = options
  const path = await convertFilm(
    words(`-f lavfi -i sine=frequency=440:sample_rate=48000:duration=${seconds}`),
    words(`${ENCODER[codec]} -ac 2 -b:a 96k ${extra}`),
    'mp4',
  )
  return readElementary(path, codec)
}

async function readElementary(path: string, codec: VideoCodec | AudioCodec): Promise<Elementary> {
  const bytes = await readFile(path)
  const input = new Input({ formats: ALL_FORMATS, source: new BufferSource(bytes) })
  const [track] = await input.getTracks()
  if (!track) throw new Error(`${path} has no track`)
  const packets: { pts: number; key: boolean; data: Buffer }[] = []
  for await (const packet of new EncodedPacketSink(track).packets())
    packets.push({
      pts: Math.round(packet.timestamp * 1000),
      key: packet.type === 'key',
      data: Buffer.from(packet.data),
    })
  const ordered = packets.map(({ pts }) => pts).sort((a, b) => a - b)
  // Decoding times go evenly, early enough that no picture is shown before it is decoded.
  const early = Math.max(...packets.map(({ pts }, i) => (ordered[i] ?? 0) - pts))
  const frames = packets.map((packet, i) => ({
    ...packet,
    pts: packet.pts + early,
    dts: ordered[i] ?? 0,
  }))
  return { config: boxPayload(bytes, ...BOX[codec]), frames }
}

function boxPayload(bytes: Buffer, type: string, skip: number): Buffer {
  const at = bytes.lastIndexOf(type)
  const size = bytes.readUInt32BE(at - 4)
  return bytes.subarray(at + 4 + skip, at - 4 + size)
}

const FOUR_CC: Readonly<Record<VideoCodec | AudioCodec, string>> = {
  avc: 'avc1',
  hevc: 'hvc1',
  av1: 'av01',
  vp9: 'vp09',
  aac: 'mp4a',
  mp3: '.mp3',
  opus: 'Opus',
  flac: 'fLaC',
  ac3: 'ac-3',
  eac3: 'ec-3',
}

const fourCc = (codec: VideoCodec | AudioCodec) => Buffer.from(FOUR_CC[codec], 'latin1')

/** Enhanced RTMP v2, "Enhanced Video": the tags a publisher sends for this stream; of track k > 0 as Multitrack, OneTrack. */
export function videoTags(codec: VideoCodec, stream: Elementary, track = 0): Tag[] {
  const head = (key: boolean, packet: number) => {
    const first = 0x80 | ((key ? 1 : 2) << 4)
    return track === 0
      ? Buffer.concat([Buffer.from([first | packet]), fourCc(codec)])
      : Buffer.concat([Buffer.from([first | 6, packet]), fourCc(codec), Buffer.from([track])])
  }
  const config: Tag = {
    type: 9,
    timestamp: 0,
    body: Buffer.concat([head(true, 0), stream.config]),
  }
  const frames = stream.frames.map(({ dts, pts, key, data }): Tag => {
    const time = Buffer.alloc(3)
    time.writeIntBE(pts - dts, 0, 3)
    const timed = codec === 'avc' || codec === 'hevc'
    const parts = timed && pts !== dts ? [head(key, 1), time] : [head(key, timed ? 3 : 1)]
    return { type: 9, timestamp: dts, body: Buffer.concat([...parts, data]) }
  })
  return [config, ...frames]
}

/** Enhanced RTMP v2, "Enhanced Audio". */
export function audioTags(codec: AudioCodec, stream: Elementary, track = 0): Tag[] {
  const head = (packet: number) =>
    track === 0
      ? Buffer.concat([Buffer.from([0x90 | packet]), fourCc(codec)])
      : Buffer.concat([Buffer.from([0x95, packet]), fourCc(codec), Buffer.from([track])])
  const header = sequenceHeader(codec, stream.config)
  const config: Tag[] = header
    ? [{ type: 8, timestamp: 0, body: Buffer.concat([head(0), header]) }]
    : []
  const frames = stream.frames.map(
    ({ pts, data }): Tag => ({
      type: 8,
      timestamp: Math.max(0, pts),
      body: Buffer.concat([head(1), data]),
    }),
  )
  return [...config, ...frames]
}

function sequenceHeader(codec: AudioCodec, config: Buffer): Buffer | undefined {
  switch (codec) {
    case 'aac':
      return Buffer.from([0x11, 0x90])
    case 'opus':
      return opusHead(config)
    case 'flac':
      return Buffer.concat([Buffer.from('fLaC', 'latin1'), config])
    case 'mp3':
    case 'ac3':
    case 'eac3':
      return undefined
  }
}

/** RFC 7845 §5.1 from the fields of dOps: the same ones, little-endian. */
export function opusHead(dops: Buffer): Buffer {
  const head = Buffer.alloc(19)
  head.write('OpusHead\x01', 'latin1')
  head.writeUInt8(dops.readUInt8(1), 9)
  head.writeUInt16LE(dops.readUInt16BE(2), 10)
  head.writeUInt32LE(dops.readUInt32BE(4), 12)
  head.writeInt16LE(dops.readInt16BE(8), 16)
  return head
}

/** In the order of their times, headers first. */
export function interleave(...streams: readonly (readonly Tag[])[]): Tag[] {
  const isHeader = ({ type, body }: Tag) => {
    const [first = 0, second = 0] = body
    const packet = first & 15
    const multitrack = type === 9 ? packet === 6 : packet === 5
    return (multitrack ? second & 15 : packet) === 0
  }
  return streams
    .flat()
    .map((tag, order) => ({ tag, order, rank: isHeader(tag) ? -1 : tag.timestamp }))
    .sort((a, b) => a.rank - b.rank || a.order - b.order)
    .map(({ tag }) => tag)
}
