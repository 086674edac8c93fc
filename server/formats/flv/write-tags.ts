import type { Frame } from '../../codecs/frame.ts'
import { opusHeadOf } from '../../codecs/opus.ts'
import type { AudioTrack, Track } from '../../codecs/track.ts'
import { assertNever } from '../../lib/errors.ts'
import { fourCcOf } from './four-cc.ts'

export const FLV_TAG = { audio: 8, video: 9, script: 18 } as const

/** AAC is always told as 44 kHz stereo 16 bit; the AudioSpecificConfig has the truth (FLV 10.1 §E.4.2.1). */
const AAC_HEAD = 0xaf
const AVC_KEY = 0x17
const AVC_INTER = 0x27
const BODY_BYTES_MAX = 0xff_ffff
const EX_PACKET = { start: 0, frames: 1, framesX: 3 } as const
const FLAC_SIGNATURE = Buffer.from('fLaC', 'latin1')

/** CodecID and SoundFormat for onMetaData: FLV's own number, else the FourCC as one (Enhanced RTMP, onMetaData). */
export function flvCodecId(track: Track): number {
  if (track.codec === 'avc') return 7
  if (track.codec === 'aac') return 10
  return track.codec === 'mp3' ? 2 : Buffer.from(fourCcOf(track), 'latin1').readUInt32BE()
}

/** The body of the tag that carries the decoder configuration; undefined for codecs whose frames need none. */
export function flvConfigBody(track: Track): Buffer | undefined {
  switch (track.codec) {
    case 'avc':
      return Buffer.concat([Buffer.from([AVC_KEY, 0, 0, 0, 0]), track.config])
    case 'aac':
      return Buffer.concat([Buffer.from([AAC_HEAD, 0]), track.config])
    case 'opus':
      return Buffer.concat([enhancedHead(track, true, EX_PACKET.start), opusHeadOf(track.config)])
    case 'flac':
      return Buffer.concat([
        enhancedHead(track, true, EX_PACKET.start),
        FLAC_SIGNATURE,
        track.config,
      ])
    case 'hevc':
    case 'av1':
    case 'vp9':
      return Buffer.concat([enhancedHead(track, true, EX_PACKET.start), track.config])
    case 'mp3':
    case 'ac3':
    case 'eac3':
      return undefined
    default:
      return assertNever(track)
  }
}

/** The body of one frame's tag; undefined for what is longer than a tag can be. */
export function flvFrameBody(track: Track, frame: Frame): Buffer | undefined {
  if (frame.data.length + 8 > BODY_BYTES_MAX) return undefined
  return Buffer.concat([frameHead(track, frame), frame.data])
}

function frameHead(track: Track, frame: Frame): Buffer {
  switch (track.codec) {
    case 'avc': {
      const head = Buffer.from([frame.key ? AVC_KEY : AVC_INTER, 1, 0, 0, 0])
      head.writeIntBE(compositionOf(track, frame), 2, 3)
      return head
    }
    case 'hevc': {
      const composition = compositionOf(track, frame)
      if (composition === 0) return enhancedHead(track, frame.key, EX_PACKET.framesX)
      const time = Buffer.alloc(3)
      time.writeIntBE(composition, 0, 3)
      return Buffer.concat([enhancedHead(track, frame.key, EX_PACKET.frames), time])
    }
    case 'aac':
      return Buffer.from([AAC_HEAD, 1])
    case 'mp3':
      return Buffer.from([mp3Head(track)])
    case 'av1':
    case 'vp9':
    case 'opus':
    case 'flac':
    case 'ac3':
    case 'eac3':
      return enhancedHead(track, frame.key, EX_PACKET.frames)
    default:
      return assertNever(track)
  }
}

/** Packet type and FourCC (Enhanced RTMP v2, ExVideoTagHeader and ExAudioTagHeader). */
function enhancedHead(track: Track, key: boolean, packet: number): Buffer {
  const first = track.kind === 'video' ? 0x80 | (key ? 0x10 : 0x20) | packet : 0x90 | packet
  return Buffer.concat([Buffer.from([first]), Buffer.from(fourCcOf(track), 'latin1')])
}

/** FLV 10.1 §E.4.2.1: format 2, the nearest of four rates, 16 bits; the frames have the truth. */
function mp3Head(track: AudioTrack): number {
  const rate = track.sampleRate >= 32_000 ? 3 : track.sampleRate >= 16_000 ? 2 : 1
  return 0x22 | (rate << 2) | (track.channels > 1 ? 1 : 0)
}

function compositionOf(track: Track, frame: Frame): number {
  const composition = flvTime(track, frame.pts) - flvTime(track, frame.dts)
  return Math.max(-0x80_0000, Math.min(composition, 0x7f_ffff))
}

/** A time of this track in whole milliseconds. */
export function flvTime(track: Track, ticks: number): number {
  return Math.round((ticks * 1000) / track.timescale)
}

/** The start of an FLV file, with the first PreviousTagSize (FLV 10.1 §E.2, E.3). */
export function flvFileHeader(tracks: readonly Track[]): Buffer {
  const has = (kind: Track['kind']) => tracks.some((track) => track.kind === kind)
  const flags = (has('audio') ? 4 : 0) | (has('video') ? 1 : 0)
  return Buffer.from([0x46, 0x4c, 0x56, 1, flags, 0, 0, 0, 9, 0, 0, 0, 0])
}

/** One tag of an FLV file with the PreviousTagSize behind it (FLV 10.1 §E.4.1). `timestampMs` wraps at 32 bits. */
export function flvFileTag(type: number, timestampMs: number, body: Uint8Array): Buffer {
  const tag = Buffer.allocUnsafe(11 + body.length + 4)
  const time = timestampMs >>> 0
  tag[0] = type
  tag.writeUIntBE(body.length, 1, 3)
  tag.writeUIntBE(time & 0xff_ffff, 4, 3)
  tag[7] = time >>> 24
  tag.writeUIntBE(0, 8, 3)
  tag.set(body, 11)
  tag.writeUInt32BE(11 + body.length, 11 + body.length)
  return tag
}
