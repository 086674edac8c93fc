import type { Frame } from '../codecs/frame.ts'
import type { Track } from '../codecs/track.ts'
import {
  FLV_TAG,
  flvConfigBody,
  flvFileHeader,
  flvFileTag,
  flvFrameBody,
  flvTime,
} from '../formats/flv/write-tags.ts'
import type { OriginMessage, OriginRequest } from '../http/message.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import { failure } from './answer.ts'

/** What may wait for one viewer beyond what he joined with; past it he goes on at the next key frame. */
export interface FlvLimits {
  readonly bytes: number
  readonly mediaMs: number
}

const LIMITS: FlvLimits = { bytes: 16 * 1024 * 1024, mediaMs: 5000 }
/** Small frames cost more than their bytes. */
const FRAMES_MAX = 20_000

/** The stream's name in `/live/NAME.flv` (percent-encoded, with or without `/live`); undefined for another path. */
export function readFlvAddress(path: string): string | undefined {
  const [, encoded] = /^(?:\/live)?\/([^/]{1,600})\.flv$/.exec(path) ?? []
  if (encoded === undefined) return undefined
  try {
    const name = decodeURIComponent(encoded)
    return name.length > 200 ? undefined : name
  } catch {
    return undefined
  }
}

/** Answers `/live/NAME.flv`: the body goes on until the stream ends, or nobody wants it any more. */
export function answerFlv(
  stream: LiveStream | undefined,
  name: string,
  { method, signal }: OriginRequest,
): OriginMessage {
  if (method !== 'GET' && method !== 'HEAD')
    return failure('method-not-allowed', `${method} is not for live media`, { allow: 'GET, HEAD' })
  if (!stream) return failure('stream-not-live', `nobody is sending ${name}`)
  return {
    kind: 'message',
    status: 200,
    headers: { 'content-type': 'video/x-flv', 'cache-control': 'no-store' },
    body: method === 'HEAD' ? null : flvOf(stream, signal),
  }
}

/**
 * A stream as an FLV file without an end (HTTP-FLV): header, decoder configurations, the frames since the last key frame, then
 * all that comes, until the stream ends or the signal is aborted. A reader that is slower loses frames up to a key frame.
 */
export async function* flvOf(
  stream: LiveStream,
  signal: AbortSignal,
  limits: FlvLimits = LIMITS,
): AsyncGenerator<Uint8Array, void, undefined> {
  const viewer = new FlvViewer(limits)
  const wake = () => viewer.wake()
  signal.addEventListener('abort', wake, { once: true })
  using _reading = stream.addReader(viewer)
  viewer.joined()
  try {
    while (!signal.aborted) {
      const waiting = viewer.take()
      if (waiting) yield waiting
      else if (viewer.ended) return
      else await viewer.more()
    }
  } finally {
    signal.removeEventListener('abort', wake)
  }
}

interface Waiting {
  readonly bytes: Buffer
  readonly timeMs: number
}

/** What waits for one viewer: references to tags that all viewers share. */
class FlvViewer {
  readonly passesOn = true
  ended = false
  readonly #limits: FlvLimits
  #tracks = new Map<number, Track>()
  #queue: Waiting[] = []
  #bytes = 0
  #joinBytes = 0
  #joinMs = 0
  #joining = true
  #hasHeader = false
  /** Nobody can decode what follows until the next key frame, and the configurations go before it. */
  #waitsForKey = true
  #resolve = () => {}

  constructor(limits: FlvLimits) {
    this.#limits = limits
  }

  onTracks(tracks: readonly Track[]): void {
    const first = (kind: Track['kind']) => tracks.find((track) => track.kind === kind) ?? []
    // Players know one picture and one sound.
    this.#tracks = new Map(
      [first('video'), first('audio')].flat().map((track) => [track.id, track]),
    )
    this.#waitsForKey = true
  }

  onFrame(frame: Frame): void {
    const track = this.#tracks.get(frame.trackId)
    if (!track) return
    if (this.#waitsForKey) {
      if (!frame.key || (track.kind === 'audio' && hasVideo(this.#tracks))) return
      this.#waitsForKey = false
      this.#configure(flvTime(track, frame.dts))
    }
    const bytes = tagOf(track, frame)
    if (bytes) this.#add(bytes, flvTime(track, frame.dts))
  }

  onEnd(): void {
    this.ended = true
    this.wake()
  }

  /** What came until now is the past of the stream, all at once: that much may wait beyond the limits. */
  joined(): void {
    this.#joining = false
    this.#joinBytes = this.#bytes
    this.#joinMs = this.#mediaMs()
  }

  /** All that waits, as one piece; undefined for nothing. */
  take(): Buffer | undefined {
    if (this.#queue.length === 0) return undefined
    const [only] = this.#queue
    const bytes =
      only && this.#queue.length === 1
        ? only.bytes
        : Buffer.concat(this.#queue.map((one) => one.bytes))
    this.#queue = []
    this.#bytes = 0
    this.#joinBytes = 0
    this.#joinMs = 0
    return bytes
  }

  more(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  wake(): void {
    this.#resolve()
  }

  #configure(timeMs: number): void {
    const tracks = [...this.#tracks.values()]
    if (!this.#hasHeader) this.#add(flvFileHeader(tracks), timeMs)
    this.#hasHeader = true
    for (const track of tracks) {
      const body = flvConfigBody(track)
      if (body) this.#add(flvFileTag(tagType(track), timeMs, body), timeMs)
    }
  }

  #add(bytes: Buffer, timeMs: number): void {
    this.#queue.push({ bytes, timeMs })
    this.#bytes += bytes.length
    if (!this.#joining && this.#isFull()) this.#drop()
    this.wake()
  }

  /** The header of the file is never lost: without it nothing behind it can be read. */
  #drop(): void {
    const header = this.#queue.find((one) => isFileHeader(one.bytes))
    this.#queue = header ? [header] : []
    this.#bytes = header?.bytes.length ?? 0
    this.#waitsForKey = true
  }

  #isFull(): boolean {
    return (
      this.#bytes > this.#limits.bytes + this.#joinBytes ||
      this.#queue.length > FRAMES_MAX ||
      this.#mediaMs() > this.#limits.mediaMs + this.#joinMs
    )
  }

  /** Wild timestamps of a publisher count as full at most. */
  #mediaMs(): number {
    const first = this.#queue[0]
    const last = this.#queue.at(-1)
    return first && last ? Math.abs(last.timeMs - first.timeMs) : 0
  }
}

/** One encoding of each frame for all viewers, kept as long as the frame itself. */
const encoded = new WeakMap<Frame, Buffer>()

function tagOf(track: Track, frame: Frame): Buffer | undefined {
  const known = encoded.get(frame)
  if (known) return known
  const body = flvFrameBody(track, frame)
  if (!body) return undefined
  const bytes = flvFileTag(tagType(track), flvTime(track, frame.dts), body)
  encoded.set(frame, bytes)
  return bytes
}

function tagType(track: Track): number {
  return track.kind === 'video' ? FLV_TAG.video : FLV_TAG.audio
}

function hasVideo(tracks: ReadonlyMap<number, Track>): boolean {
  for (const track of tracks.values()) if (track.kind === 'video') return true
  return false
}

/** A tag begins with its type, which is no F. */
function isFileHeader(bytes: Buffer): boolean {
  return bytes[0] === 0x46
}
