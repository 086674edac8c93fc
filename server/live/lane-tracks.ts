import { parseAudioSpecificConfig } from '../codecs/aac.ts'
import type { AudioTrack, Track, VideoTrack } from '../codecs/track.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { RenditionFacts } from './window-event.ts'

/** Pictures on the usual grid of MPEG: milliseconds and every common frame rate are whole ticks of it. */
export const VIDEO_TIMESCALE = 90_000

/** Audio frames of one length, in samples at this rate. */
export interface AudioGrid {
  readonly rate: number
  readonly frameSamples: number
}

/** Throws `media-unsupported` for a codec whose frames differ in length. */
export function audioGrid(track: AudioTrack): AudioGrid {
  switch (track.codec) {
    case 'aac':
      return aacGrid(track)
    case 'mp3':
      return { rate: track.sampleRate, frameSamples: track.sampleRate < 32_000 ? 576 : 1152 }
    case 'ac3':
    case 'eac3':
      return { rate: track.sampleRate, frameSamples: 1536 }
    case 'opus':
    case 'flac':
      throw new NearcastError('media-unsupported', `live audio in ${track.codec}`)
  }
}

function aacGrid(track: AudioTrack): AudioGrid {
  try {
    const { sampleRate, samplesPerFrame } = parseAudioSpecificConfig(track.config)
    return { rate: sampleRate, frameSamples: samplesPerFrame }
  } catch (error) {
    throw new NearcastError('media-unsupported', `live audio: ${describeError(error)}`)
  }
}

export function factsOf(track: Track): RenditionFacts {
  const { codecString, language } = track
  return track.kind === 'video'
    ? {
        kind: 'video',
        codecString,
        width: track.width,
        height: track.height,
        channels: 0,
        language,
      }
    : { kind: 'audio', codecString, width: 0, height: 0, channels: track.channels, language }
}

/** The first track of each kind: what a stream is packaged from. */
export interface Chosen {
  readonly video: VideoTrack | undefined
  readonly audio: AudioTrack | undefined
}

export function chooseTracks(tracks: readonly Track[]): Chosen {
  return {
    video: tracks.find((track) => track.kind === 'video'),
    audio: tracks.find((track) => track.kind === 'audio'),
  }
}

const EMPTY = new Uint8Array()

/** The same decoder, fed the same way. */
export function sameTrack(
  a: VideoTrack | AudioTrack | undefined,
  b: VideoTrack | AudioTrack | undefined,
): boolean {
  const sameBytes = Buffer.compare(a?.config ?? EMPTY, b?.config ?? EMPTY) === 0
  return a?.id === b?.id && a?.codec === b?.codec && a?.timescale === b?.timescale && sameBytes
}
