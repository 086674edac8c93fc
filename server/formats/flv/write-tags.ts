import type { Frame } from '../../codecs/frame.ts'
import type { Track } from '../../codecs/track.ts'

export const FLV_TAG = { audio: 8, video: 9, script: 18 } as const

/** AAC is always told as 44 kHz stereo 16 bit; the AudioSpecificConfig has the truth (FLV 10.1 §E.4.2.1). */
const AAC_HEAD = 0xaf
const AVC_KEY = 0x17
const AVC_INTER = 0x27
const BODY_BYTES_MAX = 0xff_ffff

/** CodecID and SoundFormat for onMetaData; undefined for what classic FLV has no number for. */
export function flvCodecId(track: Track): number | undefined {
  if (track.codec === 'avc') return 7
  return track.codec === 'aac' ? 10 : undefined
}

/** The body of the tag that carries the decoder configuration; undefined when classic FLV can't carry the codec. */
export function flvConfigBody(track: Track): Buffer | undefined {
  if (track.codec === 'avc')
    return Buffer.concat([Buffer.from([AVC_KEY, 0, 0, 0, 0]), track.config])
  if (track.codec === 'aac') return Buffer.concat([Buffer.from([AAC_HEAD, 0]), track.config])
  return undefined
}

/** The body of one frame's tag; undefined when classic FLV can't carry it. */
export function flvFrameBody(track: Track, frame: Frame): Buffer | undefined {
  if (frame.data.length + 5 > BODY_BYTES_MAX) return undefined
  if (track.codec === 'avc') {
    const body = Buffer.allocUnsafe(5 + frame.data.length)
    body[0] = frame.key ? AVC_KEY : AVC_INTER
    body[1] = 1
    const composition = flvTime(track, frame.pts) - flvTime(track, frame.dts)
    body.writeIntBE(Math.max(-0x80_0000, Math.min(composition, 0x7f_ffff)), 2, 3)
    body.set(frame.data, 5)
    return body
  }
  if (track.codec === 'aac') {
    const body = Buffer.allocUnsafe(2 + frame.data.length)
    body[0] = AAC_HEAD
    body[1] = 1
    body.set(frame.data, 2)
    return body
  }
  return undefined
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
