import { parseAudioSpecificConfig } from '../../codecs/aac.ts'
import { parseAc3Config, parseEac3Config } from '../../codecs/ac3.ts'
import { parseAv1Config } from '../../codecs/av1.ts'
import { avcCodecString, parseAvcConfig } from '../../codecs/avc.ts'
import { parseFlacConfig } from '../../codecs/flac.ts'
import { parseHevcConfig } from '../../codecs/hevc.ts'
import { parseOpusConfig } from '../../codecs/opus.ts'
import type { AudioCodec, VideoCodec } from '../../codecs/track.ts'
import { parseVp9Config } from '../../codecs/vp9.ts'
import { type ErrorCode, NearcastError } from '../../lib/errors.ts'
import { type Box, broken, FieldReader, readBoxes } from './read-boxes.ts'
import { videoSampleEntry } from './copy-sample-entry.ts'
import { readEsds } from './read-esds.ts'

interface Described {
  readonly codecString: string
  /** As `Track.config`. */
  readonly config: Uint8Array
}

export interface VideoDescription extends Described {
  readonly kind: 'video'
  readonly codec: VideoCodec
  readonly width: number
  readonly height: number
  readonly pixelAspect: readonly [number, number]
  /** The whole sample entry box for an init section, with the colours, cleaned of what browsers stumble over. */
  readonly entry: Uint8Array
}

export interface AudioDescription extends Described {
  readonly kind: 'audio'
  readonly codec: AudioCodec
  readonly sampleRate: number
  readonly channels: number
}

/** Why a track can't be played; `name` is the codec in people's words. */
export interface RefusedDescription {
  readonly kind: 'refused'
  readonly code: Extract<ErrorCode, 'media-unsupported' | 'media-encrypted' | 'media-broken'>
  readonly name: string
  readonly reason: string
}

export type SampleDescription = VideoDescription | AudioDescription | RefusedDescription

/**
 * Reads one entry of an `stsd` box, of version `stsdVersion`, of a `vide` or `soun` track. What is wrong with it comes back as
 * `refused`, never thrown.
 */
export function readSampleEntry(
  bytes: Uint8Array,
  entry: Box,
  handler: string,
  stsdVersion: number,
): SampleDescription {
  try {
    return handler === 'vide' ? readVideo(bytes, entry) : readAudio(bytes, entry, stsdVersion)
  } catch (error) {
    if (!(error instanceof NearcastError)) throw error
    const code = error.code === 'media-unsupported' ? error.code : 'media-broken'
    const reason = error.sentence
    return { kind: 'refused', code, name: nameOf(entry.type), reason }
  }
}

/** ISO/IEC 14496-12 §12.1.3: 78 bytes behind the box header, then boxes. */
const VISUAL_FIELDS = 78

function readVideo(bytes: Uint8Array, entry: Box): SampleDescription {
  if (entry.type === 'encv') return encrypted('video')
  const fields = new FieldReader(bytes, entry)
  fields.skip(24)
  const width = fields.uint16()
  const height = fields.uint16()
  fields.skip(VISUAL_FIELDS - 28)
  const children = readBoxes(bytes, fields.position, entry.end)
  const child = (type: string) => children.find((box) => box.type === type)
  const pixelAspect = readPixelAspect(bytes, child('pasp'))
  const base = { kind: 'video', width, height, pixelAspect: pixelAspect ?? [1, 1] } as const
  const copy = (type = entry.type) => videoSampleEntry(bytes, entry, children, type)
  switch (entry.type) {
    case 'avc1':
    case 'avc3': {
      const config = contents(bytes, child('avcC'), 'avcC')
      return { ...base, ...readAvc(config, entry.type, base, pixelAspect), config, entry: copy() }
    }
    case 'hvc1':
    case 'hev1': {
      const config = contents(bytes, child('hvcC'), 'hvcC')
      const hevc = parseHevcConfig(config)
      // Apple plays hvc1 only; the two differ in where parameter sets may be, and here they all are in the record.
      const type = hevc.hasParameterSets ? 'hvc1' : entry.type
      const codecString = `${type}.${hevc.profileString}`
      return { ...base, codec: 'hevc', codecString, config, entry: copy(type) }
    }
    case 'av01': {
      const config = contents(bytes, child('av1C'), 'av1C')
      const { codecString } = parseAv1Config(config)
      return { ...base, codec: 'av1', codecString, config, entry: copy() }
    }
    case 'vp09': {
      const config = contents(bytes, child('vpcC'), 'vpcC').subarray(4)
      const { codecString } = parseVp9Config(config)
      return { ...base, codec: 'vp9', codecString, config, entry: copy() }
    }
    default:
      return unsupported(videoName(bytes, entry, child('esds')))
  }
}

/** H.264 of any profile: Chromium decodes 4:4:4 and 10 bits too, and the codec string says it to those that don't. */
function readAvc(
  config: Uint8Array,
  type: 'avc1' | 'avc3',
  size: { readonly width: number; readonly height: number },
  pixelAspect: readonly [number, number] | undefined,
): Omit<VideoDescription, 'kind' | 'config' | 'entry'> {
  if (type === 'avc3' && ((config[5] ?? 0) & 31) === 0) {
    const [, profile = 0, compatibility = 0, level = 0] = config
    const codecString = avcCodecString(profile, compatibility, level).replace('avc1', type)
    return { codec: 'avc', codecString, ...size, pixelAspect: pixelAspect ?? [1, 1] }
  }
  const { picture, codecString } = parseAvcConfig(config)
  return {
    codec: 'avc',
    codecString: codecString.replace('avc1', type),
    width: picture.width,
    height: picture.height,
    pixelAspect: pixelAspect ?? picture.pixelAspect,
  }
}

function readPixelAspect(
  bytes: Uint8Array,
  pasp: Box | undefined,
): readonly [number, number] | undefined {
  if (pasp === undefined) return undefined
  const fields = new FieldReader(bytes, pasp)
  const horizontal = fields.uint32()
  const vertical = fields.uint32()
  return horizontal === 0 || vertical === 0 ? undefined : [horizontal, vertical]
}

function readAudio(bytes: Uint8Array, entry: Box, stsdVersion: number): SampleDescription {
  if (entry.type === 'enca') return encrypted('audio')
  const { channels, sampleRate, childrenAt } = readAudioFields(bytes, entry, stsdVersion)
  const inner = readBoxes(bytes, childrenAt, entry.end)
  const wave = inner.find((box) => box.type === 'wave')
  const children = wave ? [...inner, ...readBoxes(bytes, wave.body, wave.end)] : inner
  const child = (type: string) => children.find((box) => box.type === type)
  const config = (type: string) => contents(bytes, child(type), type)
  switch (entry.type) {
    case 'mp4a':
      return readMp4a(bytes, child('esds'), channels, sampleRate)
    case '.mp3':
      return mp3(channels, sampleRate)
    case 'Opus': {
      const dops = config('dOps')
      const { channels } = parseOpusConfig(dops)
      return audio('opus', 'opus', { sampleRate: 48_000, channels }, dops)
    }
    case 'fLaC': {
      const blocks = config('dfLa').subarray(4)
      return audio('flac', 'fLaC', parseFlacConfig(blocks), blocks)
    }
    case 'ac-3': {
      const dac3 = config('dac3')
      return audio('ac3', 'ac-3', parseAc3Config(dac3), dac3)
    }
    case 'ec-3': {
      const dec3 = config('dec3')
      return audio('eac3', 'ec-3', parseEac3Config(dec3), dec3)
    }
    default:
      return unsupported(nameOf(entry.type))
  }
}

function audio(
  codec: AudioCodec,
  codecString: string,
  { sampleRate, channels }: { readonly sampleRate: number; readonly channels: number },
  config: Uint8Array,
): AudioDescription {
  return { kind: 'audio', codec, codecString, sampleRate, channels, config }
}

function readMp4a(
  bytes: Uint8Array,
  esds: Box | undefined,
  channels: number,
  sampleRate: number,
): SampleDescription {
  if (esds === undefined) throw broken('mp4a has no esds')
  const { objectType, config } = readEsds(bytes, esds)
  if (objectType === 0x6b || objectType === 0x69) return mp3(channels, sampleRate)
  if (objectType !== 0x40 && objectType !== 0x67) {
    return unsupported(
      OBJECT_TYPES[objectType] ?? `MPEG-4 object type 0x${objectType.toString(16)}`,
    )
  }
  const aac = parseAudioSpecificConfig(config)
  return audio('aac', aac.codecString, aac, config)
}

/** MPEG-1 audio layer 3, and its half rates of MPEG-2: both are told to browsers as 0x6B. */
function mp3(channels: number, sampleRate: number): AudioDescription {
  return audio('mp3', 'mp4a.6B', { channels, sampleRate }, new Uint8Array(0))
}

/**
 * ISO/IEC 14496-12 §12.2.3, and QuickTime's versions 1 and 2 of the sound description, whose `stsd` has version 0. In one of
 * version 1 an entry of version 1 is ISO's, which has no more fields than version 0.
 */
function readAudioFields(
  bytes: Uint8Array,
  entry: Box,
  stsdVersion: number,
): { readonly channels: number; readonly sampleRate: number; readonly childrenAt: number } {
  const fields = new FieldReader(bytes, entry)
  fields.skip(8)
  const version = fields.uint16()
  fields.skip(6)
  const channels = fields.uint16()
  fields.skip(6)
  const sampleRate = fields.uint32() / 65_536
  const isQuickTime = stsdVersion === 0
  if (isQuickTime && version === 1 && fields.left >= 16) fields.skip(16)
  if (isQuickTime && version === 2 && fields.left >= 36) fields.skip(36)
  return { channels, sampleRate, childrenAt: fields.position }
}

function contents(bytes: Uint8Array, box: Box | undefined, type: string): Uint8Array {
  if (box === undefined) throw broken(`a sample description has no ${type}`)
  // A copy: a Buffer's slice would keep the whole moov in memory for it.
  return new Uint8Array(bytes.subarray(box.body, box.end))
}

function encrypted(what: string): RefusedDescription {
  return {
    kind: 'refused',
    code: 'media-encrypted',
    name: `encrypted ${what}`,
    reason: `the ${what} is encrypted and no key is configured`,
  }
}

function unsupported(name: string): RefusedDescription {
  const reason = `${name} is not for browsers and this server does not transcode it`
  return { kind: 'refused', code: 'media-unsupported', name, reason }
}

function videoName(bytes: Uint8Array, entry: Box, esds: Box | undefined): string {
  if (entry.type !== 'mp4v' || esds === undefined) return nameOf(entry.type)
  return OBJECT_TYPES[readEsds(bytes, esds).objectType] ?? nameOf('mp4v')
}

/** objectTypeIndication, ISO/IEC 14496-1 table 5 and the registration authority's list. */
const OBJECT_TYPES: Readonly<Record<number, string>> = {
  0x20: 'MPEG-4 Part 2 video',
  0x60: 'MPEG-2 video',
  0x61: 'MPEG-2 video',
  0x65: 'MPEG-2 video',
  0x6a: 'MPEG-1 video',
  0x6c: 'JPEG video',
  0xa5: 'AC-3 audio in mp4a',
  0xa9: 'DTS audio',
  0xdd: 'Vorbis audio',
  0xe1: 'QCELP audio',
}

const CODEC_NAMES: Readonly<Record<string, string>> = {
  mp4v: 'MPEG-4 Part 2 video',
  s263: 'H.263 video',
  h263: 'H.263 video',
  jpeg: 'Motion JPEG video',
  mjpa: 'Motion JPEG video',
  mjpb: 'Motion JPEG video',
  apch: 'ProRes video',
  apcn: 'ProRes video',
  apcs: 'ProRes video',
  apco: 'ProRes video',
  ap4h: 'ProRes video',
  ap4x: 'ProRes video',
  AVdn: 'DNxHD video',
  vvc1: 'VVC (H.266) video',
  vvi1: 'VVC (H.266) video',
  vp08: 'VP8 video in MP4',
  dvh1: 'Dolby Vision video',
  dvhe: 'Dolby Vision video',
  sowt: 'PCM audio',
  twos: 'PCM audio',
  lpcm: 'PCM audio',
  ipcm: 'PCM audio',
  fpcm: 'PCM audio',
  in24: 'PCM audio',
  in32: 'PCM audio',
  fl32: 'PCM audio',
  'raw ': 'uncompressed media',
  alac: 'Apple Lossless audio',
  ulaw: 'G.711 audio',
  alaw: 'G.711 audio',
  samr: 'AMR audio',
  sawb: 'AMR-WB audio',
  dtsc: 'DTS audio',
  dtse: 'DTS audio',
  dtsh: 'DTS-HD audio',
  dtsl: 'DTS-HD audio',
  'ac-4': 'AC-4 audio',
  mlpa: 'TrueHD audio',
  mhm1: 'MPEG-H audio',
}

function nameOf(type: string): string {
  return CODEC_NAMES[type] ?? `codec ${JSON.stringify(type)}`
}
