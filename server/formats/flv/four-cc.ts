import type { AudioCodec, Track, VideoCodec } from '../../codecs/track.ts'

/** Enhanced RTMP v2, VideoFourCc and AudioFourCc: what this server takes and gives. */
export const VIDEO_FOUR_CC: Readonly<Record<VideoCodec, string>> = {
  avc: 'avc1',
  hevc: 'hvc1',
  av1: 'av01',
  vp9: 'vp09',
}
export const AUDIO_FOUR_CC: Readonly<Record<AudioCodec, string>> = {
  aac: 'mp4a',
  mp3: '.mp3',
  opus: 'Opus',
  flac: 'fLaC',
  ac3: 'ac-3',
  eac3: 'ec-3',
}

export function videoCodecOf(fourCc: string): VideoCodec | undefined {
  switch (fourCc) {
    case 'avc1':
      return 'avc'
    case 'hvc1':
      return 'hevc'
    case 'av01':
      return 'av1'
    case 'vp09':
      return 'vp9'
    default:
      return undefined
  }
}

export function audioCodecOf(fourCc: string): AudioCodec | undefined {
  switch (fourCc) {
    case 'mp4a':
      return 'aac'
    case '.mp3':
      return 'mp3'
    case 'Opus':
      return 'opus'
    case 'fLaC':
      return 'flac'
    case 'ac-3':
      return 'ac3'
    case 'ec-3':
      return 'eac3'
    default:
      return undefined
  }
}

export function fourCcOf(track: Track): string {
  return track.kind === 'video' ? VIDEO_FOUR_CC[track.codec] : AUDIO_FOUR_CC[track.codec]
}
