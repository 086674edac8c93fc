import type { Frame } from '../../codecs/frame.ts'
import type { Track } from '../../codecs/track.ts'
import { NearcastError } from '../../lib/errors.ts'
import { AudioSource } from './audio-source.ts'
import { readColourInfo } from './read-colour-info.ts'
import { type FlvAudio, type FlvVideo, readAudioTag, readVideoTag } from './read-tags.ts'
import { VideoSource } from './video-source.ts'

export interface FlvSink {
  /** Whenever a decoder configuration comes or changes; unchanged tracks are the same objects. */
  onTracks(tracks: readonly Track[]): void
  onFrame(frame: Frame): void
  /** What is left out of the stream and why, each once. */
  onTrouble?(reason: string): void
}

/**
 * How long the first frames wait for the other track's header: OBS and ffmpeg send both headers before any frame,
 * others a few frames apart. Announcing one track and then two would cost every viewer a new init section.
 */
const HOLD_MS = 500
const HOLD_BYTES_MAX = 8 * 1024 * 1024
/** What a frame costs besides its bytes: a million frames of one byte are not one megabyte. */
const FRAME_OVERHEAD_BYTES = 256
/** Of each kind: trackId has 256 values, and each track is a rendition. */
const TRACKS_MAX = 8
const TROUBLES_MAX = 16
/** Real ones are under 1 KiB; each becomes an init section, which is kept, sent and written as a whole. */
const CONFIG_BYTES_MAX = 32 * 1024
/** A track whose sequence ended is gone when the others go on for so long; encoders end all their tracks when they stop. */
const ENDED_MS = 500

type Kind = Track['kind']
const TAKEN = { video: 'H.264, HEVC, AV1 and VP9', audio: 'AAC, MP3, Opus, FLAC and AC-3' } as const

/**
 * Makes tracks and frames of the audio and video tags of one publisher. Its video track k is track 1 + 2k, its audio track
 * k is 2 + 2k. Throws `media-unsupported` for a first track in another codec, `media-broken` for a header nobody can decode.
 */
export class FlvReader {
  readonly #sink: FlvSink
  readonly #videos = new Map<number, VideoSource>()
  readonly #audios = new Map<number, AudioSource>()
  readonly #endedAt = new Map<number, number>()
  readonly #troubles = new Set<string>()
  #announced: readonly Track[] = []
  #expected: { readonly video: boolean; readonly audio: boolean } | undefined
  #held: Frame[] | undefined = []
  #heldBytes = 0
  #lastMs: number | undefined
  #dropped = 0

  constructor(sink: FlvSink) {
    this.#sink = sink
  }

  /** Frames that came before their header or that no decoder could read. */
  get droppedFrames(): number {
    return this.#dropped
  }

  /** What the publisher's metadata announces: the first frames wait for no other track. */
  expect(kinds: { readonly video: boolean; readonly audio: boolean }): void {
    this.#expected = kinds
  }

  /** Milliseconds of a message that is neither sound nor picture, on the timeline of the frames. */
  timeOf(timestamp: number): number {
    const last = this.#lastMs ?? timestamp
    return last + ((timestamp - last) | 0)
  }

  /** `timestamp` is the message's, 32 bits that wrap. */
  video(timestamp: number, body: Uint8Array): void {
    for (const packet of readVideoTag(body)) this.#takeVideo(timestamp, packet)
  }

  /** `timestamp` is the message's, 32 bits that wrap. */
  audio(timestamp: number, body: Uint8Array): void {
    for (const packet of readAudioTag(body)) this.#takeAudio(timestamp, packet)
  }

  #takeVideo(timestamp: number, packet: FlvVideo): void {
    switch (packet.kind) {
      case 'config':
      case 'frame': {
        const source = this.#sourceOf(this.#videos, packet.index, 'video', newVideo)
        if (!source) return
        if (packet.kind === 'config') {
          this.#configure(packet, 'video', () => source.configure(packet.codec, packet.config))
          return
        }
        const dts = this.#unwrap(timestamp)
        const data = source.take(packet.codec, packet.key, packet.data)
        if (!data) {
          this.#dropped += 1
          return
        }
        const pts = dts + packet.compositionMs
        const trackId = idOf('video', packet.index)
        this.#frame({ trackId, dts, pts, key: packet.key, data })
        return
      }
      case 'metadata':
        this.#takeMetadata(packet)
        return
      case 'end':
      case 'unsupported':
      case 'broken':
        this.#other(packet, 'video')
    }
  }

  #takeAudio(timestamp: number, packet: FlvAudio): void {
    switch (packet.kind) {
      case 'config':
      case 'frame': {
        const source = this.#sourceOf(this.#audios, packet.index, 'audio', newAudio)
        if (!source) return
        if (packet.kind === 'config') {
          this.#configure(packet, 'audio', () => source.configure(packet.codec, packet.config))
          return
        }
        const dts = this.#unwrap(timestamp)
        if (!source.take(packet.codec, packet.data)) {
          this.#dropped += 1
          return
        }
        const trackId = idOf('audio', packet.index)
        this.#frame({ trackId, dts, pts: dts, key: true, data: packet.data })
        return
      }
      case 'end':
      case 'unsupported':
      case 'broken':
        this.#other(packet, 'audio')
    }
  }

  #other(
    packet: Exclude<FlvVideo, { readonly kind: 'config' | 'frame' | 'metadata' }>,
    kind: Kind,
  ): void {
    switch (packet.kind) {
      case 'end':
        if (this.#lastMs !== undefined) this.#endedAt.set(idOf(kind, packet.index), this.#lastMs)
        return
      case 'unsupported': {
        const reason = `${kind} is ${packet.what}; this server takes ${TAKEN[kind]}`
        if (packet.index === 0) throw new NearcastError('media-unsupported', reason)
        this.#trouble(`track ${packet.index}: ${reason}`)
        return
      }
      case 'broken':
        this.#dropped += 1
        this.#trouble(`${kind}: ${packet.reason}`)
        return
    }
  }

  #takeMetadata({ index, data }: Extract<FlvVideo, { readonly kind: 'metadata' }>): void {
    try {
      const info = readColourInfo(data)
      const source = info && this.#sourceOf(this.#videos, index, 'video', newVideo)
      if (source) this.#change(index, 'video', () => source.describeColour(info))
    } catch (error) {
      if (!(error instanceof NearcastError)) throw error
      this.#dropped += 1
      this.#trouble(`video metadata: ${error.message}`)
    }
  }

  #configure(
    { index, config }: { readonly index: number; readonly config: Uint8Array },
    kind: Kind,
    configure: () => boolean,
  ): void {
    if (config.length > CONFIG_BYTES_MAX)
      throw new NearcastError(
        'media-broken',
        `a decoder configuration of ${config.length} bytes; ${CONFIG_BYTES_MAX} are the most`,
      )
    this.#endedAt.delete(idOf(kind, index))
    this.#change(index, kind, configure)
  }

  #change(index: number, kind: Kind, change: () => boolean): void {
    // Frames that wait belong to the decoder configuration they came with, not to the one that may come now.
    const waiting = this.#held !== undefined && this.#held.length > 0
    const had = waiting ? this.#tracks() : []
    if (!change()) return
    if (waiting && had.some((track) => track.id === idOf(kind, index))) this.#release(had)
    this.#tracksChanged()
  }

  #tracksChanged(): void {
    if (this.#held === undefined) this.#announce(this.#tracks())
    else if (this.#has('video') && this.#has('audio')) this.#release(this.#tracks())
  }

  #announce(tracks: readonly Track[]): void {
    const same =
      tracks.length === this.#announced.length &&
      tracks.every((track, i) => track === this.#announced[i])
    if (same || tracks.length === 0) return
    this.#announced = tracks
    this.#sink.onTracks(tracks)
  }

  #tracks(): readonly Track[] {
    const found = [...this.#videos.values(), ...this.#audios.values()].flatMap(
      ({ track }) => track ?? [],
    )
    // The first of each kind leads, whatever the order in which they came.
    return found.sort(
      (a, b) => Number(a.kind === 'audio') - Number(b.kind === 'audio') || a.id - b.id,
    )
  }

  #has(kind: Kind): boolean {
    return this.#tracks().some((track) => track.kind === kind)
  }

  #frame(frame: Frame): void {
    this.#endedAt.delete(frame.trackId)
    this.#dropEnded(frame.dts)
    if (this.#held === undefined) {
      // A key frame, or a frame of a codec without headers, may have told of another track.
      this.#announce(this.#tracks())
      this.#sink.onFrame(frame)
      return
    }
    this.#held.push(frame)
    this.#heldBytes += frame.data.length + FRAME_OVERHEAD_BYTES
    const span = Math.abs(frame.dts - (this.#held[0]?.dts ?? frame.dts))
    if (this.#isComplete() || span >= HOLD_MS || this.#heldBytes > HOLD_BYTES_MAX)
      this.#release(this.#tracks())
  }

  #isComplete(): boolean {
    if (this.#has('video') && this.#has('audio')) return true
    if (!this.#expected) return false
    const { video, audio } = this.#expected
    return (!video || this.#has('video')) && (!audio || this.#has('audio'))
  }

  #dropEnded(nowMs: number): void {
    for (const [id, endedAt] of this.#endedAt) {
      if (Math.abs(nowMs - endedAt) < ENDED_MS) continue
      this.#endedAt.delete(id)
      const sources = id % 2 === 1 ? this.#videos : this.#audios
      sources.delete(Math.floor((id - 1) / 2))
    }
  }

  #release(tracks: readonly Track[]): void {
    const held = this.#held ?? []
    this.#held = undefined
    this.#announce(tracks)
    for (const frame of held) this.#sink.onFrame(frame)
  }

  #sourceOf<T>(
    sources: Map<number, T>,
    index: number,
    kind: Kind,
    make: (id: number) => T,
  ): T | undefined {
    const known = sources.get(index)
    if (known) return known
    if (sources.size >= TRACKS_MAX) {
      this.#trouble(`${kind} track ${index} is left out: ${TRACKS_MAX} are the most of a kind`)
      return undefined
    }
    const source = make(idOf(kind, index))
    sources.set(index, source)
    return source
  }

  #trouble(reason: string): void {
    if (this.#troubles.has(reason) || this.#troubles.size >= TROUBLES_MAX) return
    this.#troubles.add(reason)
    this.#sink.onTrouble?.(reason)
  }

  /** The nearest time to the last one that has these 32 bits, so that day 49.7 is no jump. */
  #unwrap(timestamp: number): number {
    this.#lastMs = this.timeOf(timestamp)
    return this.#lastMs
  }
}

const newVideo = (id: number) => new VideoSource(id)
const newAudio = (id: number) => new AudioSource(id)

function idOf(kind: Kind, index: number): number {
  return (kind === 'video' ? 1 : 2) + 2 * index
}
