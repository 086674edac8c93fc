import { NearcastError } from '../../lib/errors.ts'

/**
 * The body of one FLV audio or video tag, which is also the payload of an RTMP audio or video message.
 * `config` and `data` are views into the body. `ignored`: nothing to play (empty, commands, end of sequence).
 */
export type FlvVideo =
  | { readonly kind: 'config'; readonly codec: 'avc'; readonly config: Uint8Array }
  | {
      readonly kind: 'frame'
      readonly codec: 'avc'
      readonly key: boolean
      /** pts - dts in milliseconds; may be negative. */
      readonly compositionMs: number
      readonly data: Uint8Array
    }
  | { readonly kind: 'ignored' }

export type FlvAudio =
  | { readonly kind: 'config'; readonly codec: 'aac'; readonly config: Uint8Array }
  | { readonly kind: 'frame'; readonly codec: 'aac'; readonly data: Uint8Array }
  | { readonly kind: 'ignored' }

const IGNORED = { kind: 'ignored' } as const
const EX_HEADER = 0x80
const FRAME_TYPE = { key: 1, generatedKey: 4, command: 5 } as const

/** FLV 10.1 §E.4.3, and the FourCC form of Enhanced RTMP; throws `media-unsupported` for another codec. */
export function readVideoTag(body: Uint8Array): FlvVideo {
  const head = body[0]
  if (head === undefined) return IGNORED
  if ((head & EX_HEADER) !== 0) return readExtendedVideo(body)
  if (head >> 4 === FRAME_TYPE.command) return IGNORED
  const codec = head & 15
  if (codec !== VIDEO_CODEC_AVC) {
    throw unsupported('video', LEGACY_VIDEO[codec] ?? `codec ${codec}`)
  }
  if (body.length < 5) return IGNORED
  const packet = body[1]
  if (packet === 0) return config('avc', body.subarray(5))
  return packet === 1 ? avcFrame(head >> 4, signed24(body, 2), body.subarray(5)) : IGNORED
}

/** FLV 10.1 §E.4.2, and the FourCC form of Enhanced RTMP; throws `media-unsupported` for another codec. */
export function readAudioTag(body: Uint8Array): FlvAudio {
  const head = body[0]
  if (head === undefined) return IGNORED
  const format = head >> 4
  if (format === AUDIO_EX_HEADER) return readExtendedAudio(body)
  if (format !== AUDIO_FORMAT_AAC) {
    throw unsupported('audio', LEGACY_AUDIO[format] ?? `format ${format}`)
  }
  if (body.length < 3) return IGNORED
  if (body[1] === 0) return config('aac', body.subarray(2))
  return body[1] === 1 ? { kind: 'frame', codec: 'aac', data: body.subarray(2) } : IGNORED
}

const VIDEO_CODEC_AVC = 7
const LEGACY_VIDEO: Readonly<Record<number, string>> = {
  2: 'Sorenson H.263',
  3: 'Screen video',
  4: 'VP6',
  5: 'VP6 with alpha',
  6: 'Screen video 2',
  12: 'HEVC as codec 12',
}
const AUDIO_FORMAT_AAC = 10
const AUDIO_EX_HEADER = 9
const LEGACY_AUDIO: Readonly<Record<number, string>> = {
  0: 'PCM',
  1: 'ADPCM',
  2: 'MP3',
  3: 'PCM',
  4: 'Nellymoser',
  5: 'Nellymoser',
  6: 'Nellymoser',
  7: 'G.711',
  8: 'G.711',
  11: 'Speex',
  14: 'MP3',
}

/** Enhanced RTMP v2, VideoPacketType and AudioPacketType where they agree. */
const EX_PACKET = { start: 0, frames: 1, end: 2, framesX: 3, modEx: 7 } as const
const VIDEO_MULTITRACK = 6
const AUDIO_MULTITRACK = 5

function readExtendedVideo(body: Uint8Array): FlvVideo {
  const frameType = ((body[0] ?? 0) >> 4) & 7
  const header = readExtendedHeader(body)
  if (!header) return IGNORED
  if (header.packet === VIDEO_MULTITRACK) throw unsupported('video', 'several tracks')
  // A command frame carries one byte of command in place of the FourCC.
  if (frameType === FRAME_TYPE.command) return IGNORED
  if (header.fourCc !== 'avc1') throw unsupported('video', header.fourCc)
  switch (header.packet) {
    case EX_PACKET.start:
      return config('avc', header.rest)
    case EX_PACKET.frames:
      if (header.rest.length < 3) return IGNORED
      return avcFrame(frameType, signed24(header.rest, 0), header.rest.subarray(3))
    case EX_PACKET.framesX:
      return avcFrame(frameType, 0, header.rest)
    default:
      return IGNORED
  }
}

function readExtendedAudio(body: Uint8Array): FlvAudio {
  const header = readExtendedHeader(body)
  if (!header) return IGNORED
  if (header.packet === AUDIO_MULTITRACK) throw unsupported('audio', 'several tracks')
  if (header.fourCc !== 'mp4a') throw unsupported('audio', header.fourCc)
  if (header.packet === EX_PACKET.start) return config('aac', header.rest)
  if (header.packet === EX_PACKET.frames && header.rest.length > 0) {
    return { kind: 'frame', codec: 'aac', data: header.rest }
  }
  return IGNORED
}

/** Goes over ModEx blocks to packet type and FourCC; undefined where the body ends before them. */
function readExtendedHeader(
  body: Uint8Array,
): { readonly packet: number; readonly fourCc: string; readonly rest: Uint8Array } | undefined {
  let packet = (body[0] ?? 0) & 15
  let position = 1
  while (packet === EX_PACKET.modEx) {
    let size = (body[position] ?? 0) + 1
    position += 1
    if (size === 256) {
      size = (body[position] ?? 0) * 256 + (body[position + 1] ?? 0) + 1
      position += 2
    }
    position += size
    const next = body[position]
    if (next === undefined) return undefined
    packet = next & 15
    position += 1
  }
  if (body.length < position + 4) return undefined
  const fourCc = String.fromCharCode(...body.subarray(position, position + 4))
  return {
    packet,
    // It goes into messages and logs.
    fourCc: /^[\x20-\x7e]{4}$/.test(fourCc) ? fourCc : 'an unknown codec',
    rest: body.subarray(position + 4),
  }
}

function config<C extends 'avc' | 'aac'>(
  codec: C,
  bytes: Uint8Array,
): { readonly kind: 'config'; readonly codec: C; readonly config: Uint8Array } {
  return { kind: 'config', codec, config: bytes }
}

function avcFrame(frameType: number, compositionMs: number, data: Uint8Array): FlvVideo {
  if (data.length === 0) return IGNORED
  const key = frameType === FRAME_TYPE.key || frameType === FRAME_TYPE.generatedKey
  return { kind: 'frame', codec: 'avc', key, compositionMs, data }
}

/** CompositionTime is SI24: negative where an encoder shifts its decoding times. */
function signed24(bytes: Uint8Array, at: number): number {
  const value = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
  return (value << 8) >> 8
}

function unsupported(kind: 'video' | 'audio', what: string): NearcastError {
  const wanted = kind === 'video' ? 'H.264' : 'AAC'
  return new NearcastError('media-unsupported', `${kind} is ${what}; this server takes ${wanted}`)
}
