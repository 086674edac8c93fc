import type { Frame } from '../codecs/frame.ts'
import type { Track } from '../codecs/track.ts'

/** `ended`: the publisher said so; `lost`: its connection broke; `replaced`: another publisher took over; `stopped`: the operator or the server ended it. */
export type StreamEnd = 'ended' | 'lost' | 'replaced' | 'stopped'

/** Called synchronously by the publisher's session: must not block and must bound what it keeps. */
export interface StreamReader {
  /** It only passes frames on: it has each of them before those that make something of it. */
  readonly passesOn?: boolean | undefined
  /** At the start, and again whenever a decoder configuration changes. Ids of unchanged tracks stay. */
  onTracks(tracks: readonly Track[]): void
  onFrame(frame: Frame): void
  /** The publisher's own description of the stream (onMetaData), plain values only. */
  onMetadata?(metadata: StreamMetadata): void
  onData?(data: TimedData): void
  onEnd(reason: StreamEnd): void
}

/** Something that a publisher says of a moment of its stream. */
export interface TimedData {
  readonly name: string
  readonly values: readonly (readonly [path: string, value: string | number | boolean])[]
  /** Where frames of that moment have their dts, in milliseconds. */
  readonly atMs: number
}

export type StreamMetadata = Readonly<Record<string, string | number | boolean>>

/** How much of the last group of pictures is kept for readers that join; past it they wait for the next key frame. */
const GROUP_BYTES_MAX = 32 * 1024 * 1024
/** What a frame costs besides its bytes: a publisher of frames of one byte must not fill the memory with objects. */
const FRAME_OVERHEAD_BYTES = 256

/**
 * One publisher's frames on their way to all readers. A new publisher of the same name is a new LiveStream.
 * The publisher never waits: a reader that cannot keep up loses frames on its own side.
 */
export class LiveStream {
  /** The stream's public name, never its key. */
  readonly name: string
  /** Unique for each publish: media URLs carry it, so a restart never meets old bytes. */
  readonly epoch: string
  /** Milliseconds since 1970. */
  readonly startedAt: number
  #tracks: readonly Track[] = []
  #metadata: StreamMetadata = {}
  #group: Frame[] = []
  #groupBytes = 0
  #ended: StreamEnd | undefined
  readonly #passing = new Set<StreamReader>()
  readonly #readers = new Set<StreamReader>()
  /** Came while a frame is given out, and have it already. */
  readonly #joining = new Set<StreamReader>()
  #giving = false

  constructor(name: string, epoch: string, startedAt: number) {
    this.name = name
    this.epoch = epoch
    this.startedAt = startedAt
  }

  get tracks(): readonly Track[] {
    return this.#tracks
  }
  get metadata(): StreamMetadata {
    return this.#metadata
  }
  get readerCount(): number {
    return this.#passing.size + this.#readers.size
  }
  /** Milliseconds of media that a reader gets at once when it joins. */
  get heldMs(): number {
    const [first] = this.#group
    const last = this.#group.findLast(({ trackId }) => trackId === first?.trackId)
    const timescale = this.#tracks.find(({ id }) => id === first?.trackId)?.timescale
    if (!first || !last || timescale === undefined) return 0
    return Math.max(0, ((last.dts - first.dts) * 1000) / timescale)
  }
  get ended(): StreamEnd | undefined {
    return this.#ended
  }

  /** A player can begin with this frame. */
  beginsWith({ trackId, key }: Frame): boolean {
    const lead = this.#tracks.find((track) => track.kind === 'video') ?? this.#tracks[0]
    return key && lead?.id === trackId
  }

  setTracks(tracks: readonly Track[]): void {
    if (this.#ended) return
    this.#tracks = tracks
    this.#group = []
    this.#groupBytes = 0
    for (const reader of this.#all()) reader.onTracks(tracks)
  }

  setMetadata(metadata: StreamMetadata): void {
    if (this.#ended) return
    this.#metadata = metadata
    for (const reader of this.#all()) reader.onMetadata?.(metadata)
  }

  /** For those who read now; it is not kept. */
  writeData(data: TimedData): void {
    if (this.#ended) return
    for (const reader of this.#all()) reader.onData?.(data)
  }

  write(frame: Frame): void {
    if (this.#ended) return
    this.#remember(frame)
    this.#giving = true
    try {
      for (const reader of this.#passing) reader.onFrame(frame)
      for (const reader of this.#readers) reader.onFrame(frame)
    } finally {
      this.#giving = false
    }
    if (this.#joining.size === 0) return
    for (const reader of this.#joining) this.#add(reader)
    this.#joining.clear()
  }

  /** The reader gets the tracks, the frames since the last key frame, then all that comes; `from: 'now'` skips the past. */
  addReader(reader: StreamReader, from: 'key' | 'now' = 'key'): Disposable {
    if (this.#tracks.length > 0) reader.onTracks(this.#tracks)
    reader.onMetadata?.(this.#metadata)
    if (from === 'key') for (const frame of this.#group) reader.onFrame(frame)
    if (this.#ended) reader.onEnd(this.#ended)
    else if (this.#giving) this.#joining.add(reader)
    else this.#add(reader)
    return { [Symbol.dispose]: () => this.#remove(reader) }
  }

  #all(): readonly StreamReader[] {
    return [...this.#passing, ...this.#readers]
  }

  #add(reader: StreamReader): void {
    const set = reader.passesOn ? this.#passing : this.#readers
    set.add(reader)
  }

  #remove(reader: StreamReader): void {
    this.#passing.delete(reader)
    this.#readers.delete(reader)
    this.#joining.delete(reader)
  }

  end(reason: StreamEnd): void {
    if (this.#ended) return
    this.#ended = reason
    this.#group = []
    const readers = [...this.#all(), ...this.#joining]
    this.#passing.clear()
    this.#readers.clear()
    this.#joining.clear()
    for (const reader of readers) reader.onEnd(reason)
  }

  #remember(frame: Frame): void {
    const video = this.#tracks.find((track) => track.kind === 'video')
    const startsGroup = video === undefined || (frame.trackId === video.id && frame.key)
    if (startsGroup) {
      this.#group = []
      this.#groupBytes = 0
    } else if (this.#group.length === 0) {
      return
    }
    this.#group.push(frame)
    this.#groupBytes += frame.data.length + FRAME_OVERHEAD_BYTES
    if (this.#groupBytes > GROUP_BYTES_MAX) this.#group = []
  }
}
