import { parseAudioSpecificConfig } from '../codecs/aac.ts'
import { readEac3Frame } from '../codecs/ac3.ts'
import { videoRangeOf } from '../codecs/colour.ts'
import { flacSamples, parseFlacConfig } from '../codecs/flac.ts'
import { mp3Samples } from '../codecs/mp3.ts'
import { opusSamples } from '../codecs/opus.ts'
import type { AudioTrack, Track, VideoTrack } from '../codecs/track.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { RenditionFacts, RenditionId } from './window-event.ts'

/** Pictures on the usual grid of MPEG: milliseconds and every common frame rate are whole ticks of it. */
export const VIDEO_TIMESCALE = 90_000

/** How long the frames of a sound are, in samples at this rate. */
export interface AudioGrid {
  readonly rate: number
  /** Before a frame has come. */
  readonly frameSamples: number
  readonly samplesOf: (data: Uint8Array) => number
}

/** Throws `media-unsupported` for a configuration that does not tell. */
export function audioGrid(track: AudioTrack): AudioGrid {
  const rate = track.sampleRate
  switch (track.codec) {
    case 'aac':
      return aacGrid(track)
    case 'mp3':
      return gridOf(rate, rate < 32_000 ? 576 : 1152, mp3Samples)
    case 'ac3':
      return gridOf(rate, 1536, () => 1536)
    case 'eac3':
      return gridOf(rate, 1536, eac3Samples)
    case 'opus':
      // Encoders change the length of their packets as they go (RFC 6716 §3.2); 20 ms is what nearly all begin with.
      return gridOf(48_000, 960, opusSamples)
    case 'flac':
      return gridOf(rate, flacBlock(track), flacSamples)
  }
}

function gridOf(
  rate: number,
  frameSamples: number,
  read: (data: Uint8Array) => number | undefined,
): AudioGrid {
  return { rate, frameSamples, samplesOf: (data) => read(data) ?? frameSamples }
}

function eac3Samples(data: Uint8Array): number | undefined {
  return unlessBroken(() => readEac3Frame(data).samples)
}

/** A FLAC encoder that knows its block size uses it for all frames but the last. */
function flacBlock(track: AudioTrack): number {
  return unlessBroken(() => parseFlacConfig(track.config).blockSamplesMax) || 4096
}

function unlessBroken(read: () => number): number | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof NearcastError) return undefined
    throw error
  }
}

function aacGrid(track: AudioTrack): AudioGrid {
  try {
    const { sampleRate, samplesPerFrame } = parseAudioSpecificConfig(track.config)
    return gridOf(sampleRate, samplesPerFrame, () => samplesPerFrame)
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
        videoRange: videoRangeOf(track.colour),
      }
    : { kind: 'audio', codecString, width: 0, height: 0, channels: track.channels, language }
}

/** What a stream is packaged from; the first picture leads, without one the first sound. */
export interface Chosen {
  readonly videos: readonly VideoTrack[]
  readonly audios: readonly AudioTrack[]
}

/** Of each kind; a publisher of more is not refused, the others are left out. */
const TRACKS_MAX = 8

export function chooseTracks(tracks: readonly Track[]): Chosen {
  return {
    videos: tracks.filter((track) => track.kind === 'video').slice(0, TRACKS_MAX),
    audios: tracks.filter((track) => track.kind === 'audio').slice(0, TRACKS_MAX),
  }
}

/** `video`, `audio` for the first of their kind, `video2`, `audio2` for others: ids of tracks come in pairs. */
export function renditionIdOf(track: Track): RenditionId {
  const number = Math.ceil(track.id / 2)
  return number <= 1 ? track.kind : `${track.kind}${number}`
}

const EMPTY = new Uint8Array()

/** The same decoders, fed the same way. */
export function sameTracks(a: Chosen, b: Chosen): boolean {
  return sameList(a.videos, b.videos) && sameList(a.audios, b.audios)
}

function sameList(a: readonly Track[], b: readonly Track[]): boolean {
  return a.length === b.length && a.every((track, i) => sameTrack(track, b[i]))
}

function sameTrack(a: Track, b: Track | undefined): boolean {
  const sameBytes = Buffer.compare(a.config, b?.config ?? EMPTY) === 0
  const sameDecoder = a.id === b?.id && a.codec === b?.codec && a.timescale === b?.timescale
  return sameDecoder && sameBytes && coloursOf(a) === coloursOf(b)
}

function coloursOf(track: Track): string {
  if (track.kind === 'audio') return ''
  return JSON.stringify([track.colour, track.mastering, track.contentLight])
}

/** A smaller picture made of this one has its colours, where its encoder does not say others. */
export function coloursLike(track: VideoTrack, source: VideoTrack | undefined): VideoTrack {
  if (!source || track.colour) return track
  const { colour, mastering, contentLight } = source
  return { ...track, colour, mastering, contentLight }
}
