import type { Frame } from '../codecs/frame.ts'
import type { StreamMetadata } from '../stream/live-stream.ts'
import type { Chosen } from './lane-tracks.ts'

/** How much media is waited for a track that the metadata names, or that no metadata excludes. */
const WAIT_MS = 1000
const FRAMES_MAX = 600
const BYTES_MAX = 32 * 1024 * 1024

/**
 * Holds a stream's first frames until it is known what it consists of: the headers of sound and picture come one after
 * the other, and a rendition that is not in the first multivariant playlist is never found by those who read it.
 */
export class StartGate {
  readonly #open: (frame: Frame) => void
  #tracks: Chosen = { video: undefined, audio: undefined }
  #metadata: StreamMetadata = {}
  #frames: Frame[] = []
  #bytes = 0
  #firstMs: number | undefined

  constructor(open: (frame: Frame) => void) {
    this.#open = open
  }

  setTracks(tracks: Chosen): void {
    this.#tracks = tracks
  }

  setMetadata(metadata: StreamMetadata): void {
    this.#metadata = metadata
  }

  hold(frame: Frame): void {
    const { video, audio } = this.#tracks
    const track =
      frame.trackId === video?.id ? video : frame.trackId === audio?.id ? audio : undefined
    if (!track) return
    const ms = (frame.dts * 1000) / track.timescale
    this.#firstMs ??= ms
    this.#frames.push(frame)
    this.#bytes += frame.data.length
    const full = this.#frames.length >= FRAMES_MAX || this.#bytes >= BYTES_MAX
    const waited = Math.abs(ms - this.#firstMs) >= WAIT_MS
    if (full || waited || (this.#isKnown('video') && this.#isKnown('audio'))) this.release()
  }

  /** Gives on what is held. */
  release(): void {
    const frames = this.#frames
    this.#frames = []
    this.#bytes = 0
    for (const frame of frames) this.#open(frame)
  }

  #isKnown(kind: 'video' | 'audio'): boolean {
    return this.#tracks[kind] !== undefined || this.#isExcluded(kind)
  }

  /** Metadata that names a codec of one kind and none of the other. */
  #isExcluded(kind: 'video' | 'audio'): boolean {
    const other = kind === 'video' ? 'audio' : 'video'
    const names = (k: string) =>
      this.#metadata[`${k}codecid`] !== undefined ||
      this.#metadata[k === 'video' ? 'hasVideo' : 'hasAudio'] === true
    return names(other) && !names(kind)
  }
}
