import { parseAudioSpecificConfig } from '../../codecs/aac.ts'
import { avcNalUnits, parseAvcConfig } from '../../codecs/avc.ts'
import type { Frame } from '../../codecs/frame.ts'
import type { AudioTrack, Track, VideoTrack } from '../../codecs/track.ts'
import { NearcastError } from '../../lib/errors.ts'
import { readAudioTag, readVideoTag } from './read-tags.ts'

export interface FlvSink {
  /** Whenever a decoder configuration comes or changes; unchanged tracks are the same objects. */
  onTracks(tracks: readonly Track[]): void
  onFrame(frame: Frame): void
}

/** FLV times are milliseconds, so that is all its tracks can promise. */
const TIMESCALE = 1000
const VIDEO_ID = 1
const AUDIO_ID = 2

/**
 * How long the first frames wait for the other track's header: OBS and ffmpeg send both headers before any frame,
 * others a few frames apart. Announcing one track and then two would cost every viewer a new init section.
 */
const HOLD_MS = 500
const HOLD_BYTES_MAX = 8 * 1024 * 1024
/** What a frame costs besides its bytes: a million frames of one byte are not one megabyte. */
const FRAME_OVERHEAD_BYTES = 256

/**
 * Makes tracks and frames of the audio and video tags of one publisher. Video is track 1, audio track 2.
 * Throws `media-unsupported` for another codec, `media-broken` for a header nobody can decode.
 */
export class FlvReader {
  readonly #sink: FlvSink
  #video: { readonly track: VideoTrack; readonly nalLengthSize: 1 | 2 | 4 } | undefined
  #audio: AudioTrack | undefined
  #expected: { readonly video: boolean; readonly audio: boolean } | undefined
  #held: Frame[] | undefined = []
  #heldBytes = 0
  #lastMs: number | undefined
  #dropped = 0

  constructor(sink: FlvSink) {
    this.#sink = sink
  }

  /** Frames that came before their header or had no readable NAL units. */
  get droppedFrames(): number {
    return this.#dropped
  }

  /** What the publisher's metadata announces: the first frames wait for no other track. */
  expect(kinds: { readonly video: boolean; readonly audio: boolean }): void {
    this.#expected = kinds
  }

  /** `timestamp` is the message's, 32 bits that wrap. */
  video(timestamp: number, body: Uint8Array): void {
    const tag = readVideoTag(body)
    if (tag.kind === 'ignored') return
    if (tag.kind === 'config') {
      this.#setVideo(tag.config)
      return
    }
    const dts = this.#unwrap(timestamp)
    if (!this.#video || !holdsNalUnits(tag.data, this.#video.nalLengthSize)) {
      this.#dropped += 1
      return
    }
    this.#frame({
      trackId: VIDEO_ID,
      dts,
      pts: dts + tag.compositionMs,
      key: tag.key,
      data: tag.data,
    })
  }

  /** `timestamp` is the message's, 32 bits that wrap. */
  audio(timestamp: number, body: Uint8Array): void {
    const tag = readAudioTag(body)
    if (tag.kind === 'ignored') return
    if (tag.kind === 'config') {
      this.#setAudio(tag.config)
      return
    }
    const dts = this.#unwrap(timestamp)
    if (!this.#audio) {
      this.#dropped += 1
      return
    }
    this.#frame({ trackId: AUDIO_ID, dts, pts: dts, key: true, data: tag.data })
  }

  #setVideo(bytes: Uint8Array): void {
    if (this.#video && sameBytes(this.#video.track.config, bytes)) return
    const config = parseAvcConfig(bytes)
    if (this.#video) this.#releaseHeld()
    const { width, height, pixelAspect } = config.picture
    this.#video = {
      nalLengthSize: config.nalLengthSize,
      track: {
        id: VIDEO_ID,
        kind: 'video',
        codec: 'avc',
        codecString: config.codecString,
        timescale: TIMESCALE,
        config: Uint8Array.from(bytes),
        language: 'und',
        width,
        height,
        pixelAspect,
        rotation: 0,
      },
    }
    this.#tracksChanged()
  }

  #setAudio(bytes: Uint8Array): void {
    if (this.#audio && sameBytes(this.#audio.config, bytes)) return
    const config = parseAudioSpecificConfig(bytes)
    if (this.#audio) this.#releaseHeld()
    this.#audio = {
      id: AUDIO_ID,
      kind: 'audio',
      codec: 'aac',
      codecString: config.codecString,
      timescale: TIMESCALE,
      config: Uint8Array.from(bytes),
      language: 'und',
      sampleRate: config.sampleRate,
      channels: config.channels,
    }
    this.#tracksChanged()
  }

  #tracksChanged(): void {
    if (this.#held === undefined) {
      this.#sink.onTracks(this.#tracks())
    } else if (this.#video && this.#audio) {
      this.#release()
    }
  }

  #tracks(): readonly Track[] {
    const tracks: Track[] = []
    if (this.#video) tracks.push(this.#video.track)
    if (this.#audio) tracks.push(this.#audio)
    return tracks
  }

  #frame(frame: Frame): void {
    if (this.#held === undefined) {
      this.#sink.onFrame(frame)
      return
    }
    this.#held.push(frame)
    this.#heldBytes += frame.data.length + FRAME_OVERHEAD_BYTES
    const span = Math.abs(frame.dts - (this.#held[0]?.dts ?? frame.dts))
    if (this.#isComplete() || span >= HOLD_MS || this.#heldBytes > HOLD_BYTES_MAX) this.#release()
  }

  #isComplete(): boolean {
    if (!this.#expected) return false
    const { video, audio } = this.#expected
    return (!video || this.#video !== undefined) && (!audio || this.#audio !== undefined)
  }

  /** Frames that wait belong to the decoder configuration they came with, not to the one that comes now. */
  #releaseHeld(): void {
    if (this.#held !== undefined && this.#held.length > 0) this.#release()
  }

  #release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    this.#sink.onTracks(this.#tracks())
    for (const frame of held) this.#sink.onFrame(frame)
  }

  /** The nearest time to the last one that has these 32 bits, so that day 49.7 is no jump. */
  #unwrap(timestamp: number): number {
    const last = this.#lastMs ?? timestamp
    this.#lastMs = last + ((timestamp - last) | 0)
    return this.#lastMs
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** A unit whose lengths lie would break every player's decoder, and readers that walk it. */
function holdsNalUnits(data: Uint8Array, nalLengthSize: 1 | 2 | 4): boolean {
  try {
    for (const _ of avcNalUnits(data, nalLengthSize));
    return true
  } catch (error) {
    if (error instanceof NearcastError) return false
    throw error
  }
}
