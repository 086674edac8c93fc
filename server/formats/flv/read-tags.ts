import type { AudioCodec, VideoCodec } from '../../codecs/track.ts'
import { audioCodecOf, videoCodecOf } from './four-cc.ts'
import { type EnhancedPacket, readEnhanced } from './read-enhanced.ts'

/**
 * What the body of one FLV audio or video tag, which is also the payload of an RTMP audio or video message, says of each
 * track in it. `index` is the track's number among those of its kind. `config` and `data` are views into the body.
 */
export type FlvVideo =
  | {
      readonly kind: 'config'
      readonly index: number
      readonly codec: VideoCodec
      readonly config: Uint8Array
    }
  | {
      readonly kind: 'frame'
      readonly index: number
      readonly codec: VideoCodec
      readonly key: boolean
      /** pts - dts in milliseconds; may be negative. */
      readonly compositionMs: number
      readonly data: Uint8Array
    }
  /** AMF0: names and values (Enhanced RTMP, Metadata Frame). */
  | { readonly kind: 'metadata'; readonly index: number; readonly data: Uint8Array }
  | FlvOther

export type FlvAudio =
  | {
      readonly kind: 'config'
      readonly index: number
      readonly codec: AudioCodec
      readonly config: Uint8Array
    }
  | {
      readonly kind: 'frame'
      readonly index: number
      readonly codec: AudioCodec
      readonly data: Uint8Array
    }
  | FlvOther

type FlvOther =
  | { readonly kind: 'end'; readonly index: number }
  /** `what`: the codec in people's words. */
  | { readonly kind: 'unsupported'; readonly index: number; readonly what: string }
  /** The rest of the message is lost. */
  | { readonly kind: 'broken'; readonly reason: string }

const EX_HEADER = 0x80
const FRAME_TYPE = { key: 1, generatedKey: 4, command: 5 } as const
const VIDEO_CODEC_AVC = 7
const AUDIO_FORMAT = { mp3: 2, exHeader: 9, aac: 10, mp3At8k: 14 } as const

/** FLV 10.1 §E.4.3, and Enhanced RTMP v1 and v2. Empty for what holds nothing to play (commands, cut short). */
export function readVideoTag(body: Uint8Array): readonly FlvVideo[] {
  const head = body[0]
  if (head === undefined) return []
  const frameType = (head >> 4) & 7
  const key = frameType === FRAME_TYPE.key || frameType === FRAME_TYPE.generatedKey
  if ((head & EX_HEADER) !== 0) return readExtendedVideo(body, frameType, key)
  if (frameType === FRAME_TYPE.command) return []
  const codec = head & 15
  if (codec !== VIDEO_CODEC_AVC) {
    return [{ kind: 'unsupported', index: 0, what: LEGACY_VIDEO[codec] ?? `codec ${codec}` }]
  }
  if (body.length < 5) return []
  const packet = body[1]
  const data = body.subarray(5)
  if (packet === 0) return [{ kind: 'config', index: 0, codec: 'avc', config: data }]
  if (packet !== 1 || data.length === 0) return []
  const compositionMs = signed24(body, 2)
  return [{ kind: 'frame', index: 0, codec: 'avc', key, compositionMs, data }]
}

/** FLV 10.1 §E.4.2, and Enhanced RTMP v1 and v2. */
export function readAudioTag(body: Uint8Array): readonly FlvAudio[] {
  const head = body[0]
  if (head === undefined) return []
  const format = head >> 4
  switch (format) {
    case AUDIO_FORMAT.exHeader:
      return readExtendedAudio(body)
    case AUDIO_FORMAT.mp3:
    case AUDIO_FORMAT.mp3At8k:
      if (body.length < 2) return []
      return [{ kind: 'frame', index: 0, codec: 'mp3', data: body.subarray(1) }]
    case AUDIO_FORMAT.aac: {
      if (body.length < 3) return []
      const data = body.subarray(2)
      if (body[1] === 0) return [{ kind: 'config', index: 0, codec: 'aac', config: data }]
      return body[1] === 1 ? [{ kind: 'frame', index: 0, codec: 'aac', data }] : []
    }
    default:
      return [{ kind: 'unsupported', index: 0, what: LEGACY_AUDIO[format] ?? `format ${format}` }]
  }
}

const LEGACY_VIDEO: Readonly<Record<number, string>> = {
  2: 'Sorenson H.263',
  3: 'Screen video',
  4: 'VP6',
  5: 'VP6 with alpha',
  6: 'Screen video 2',
  12: 'HEVC as codec 12',
}
const LEGACY_AUDIO: Readonly<Record<number, string>> = {
  0: 'PCM',
  1: 'ADPCM',
  3: 'PCM',
  4: 'Nellymoser',
  5: 'Nellymoser',
  6: 'Nellymoser',
  7: 'G.711',
  8: 'G.711',
  11: 'Speex',
}

/** Enhanced RTMP v2, VideoPacketType. 5 begins MPEG-2 TS, which nobody sends; what is reserved is passed over. */
const VIDEO_PACKET = {
  start: 0,
  frames: 1,
  end: 2,
  framesX: 3,
  metadata: 4,
  multitrack: 6,
} as const
/** AudioPacketType; 4 (MultichannelConfig) says nothing that these codecs do not say themselves. */
const AUDIO_PACKET = { start: 0, frames: 1, end: 2, multitrack: 5 } as const

function readExtendedVideo(body: Uint8Array, frameType: number, key: boolean): readonly FlvVideo[] {
  // A command has one byte of command and no body; metadata does not look at the frame type.
  const hasBody = (packet: number) =>
    packet === VIDEO_PACKET.metadata || frameType !== FRAME_TYPE.command
  const { packets, broken } = readEnhanced(body, VIDEO_PACKET.multitrack, hasBody)
  const found = packets.flatMap((packet) => videoOf(packet, key))
  return broken === undefined ? found : [...found, { kind: 'broken', reason: broken }]
}

function videoOf({ packet, index, fourCc, data }: EnhancedPacket, key: boolean): FlvVideo[] {
  const codec = videoCodecOf(fourCc)
  if (!codec) return [{ kind: 'unsupported', index, what: fourCc }]
  switch (packet) {
    case VIDEO_PACKET.start:
      return [{ kind: 'config', index, codec, config: data }]
    case VIDEO_PACKET.frames: {
      // Only these two have pictures that are shown in another order than they are decoded.
      const timed = codec === 'avc' || codec === 'hevc'
      if (data.length <= (timed ? 3 : 0)) return []
      const compositionMs = timed ? signed24(data, 0) : 0
      const unit = timed ? data.subarray(3) : data
      return [{ kind: 'frame', index, codec, key, compositionMs, data: unit }]
    }
    case VIDEO_PACKET.framesX:
      return data.length > 0 ? [{ kind: 'frame', index, codec, key, compositionMs: 0, data }] : []
    case VIDEO_PACKET.end:
      return [{ kind: 'end', index }]
    case VIDEO_PACKET.metadata:
      return [{ kind: 'metadata', index, data }]
    default:
      return []
  }
}

function readExtendedAudio(body: Uint8Array): readonly FlvAudio[] {
  const { packets, broken } = readEnhanced(body, AUDIO_PACKET.multitrack)
  const found = packets.flatMap(audioOf)
  return broken === undefined ? found : [...found, { kind: 'broken', reason: broken }]
}

function audioOf({ packet, index, fourCc, data }: EnhancedPacket): FlvAudio[] {
  const codec = audioCodecOf(fourCc)
  if (!codec) return [{ kind: 'unsupported', index, what: fourCc }]
  switch (packet) {
    case AUDIO_PACKET.start:
      return [{ kind: 'config', index, codec, config: data }]
    case AUDIO_PACKET.frames:
      return data.length > 0 ? [{ kind: 'frame', index, codec, data }] : []
    case AUDIO_PACKET.end:
      return [{ kind: 'end', index }]
    default:
      return []
  }
}

/** CompositionTime is SI24: negative where an encoder shifts its decoding times. */
function signed24(bytes: Uint8Array, at: number): number {
  const value = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
  return (value << 8) >> 8
}
