import { NearcastError } from '../lib/errors.ts'
import { MESSAGE, type RtmpMessage } from './messages.ts'

export interface ChunkLimits {
  /** Longest audio or video message. */
  mediaBytes: number
  /** Longest message of any other type. */
  commandBytes: number
  chunkStreams: number
  /** All unfinished messages together. */
  partialBytes: number
}

interface ChunkStream {
  timestamp: number
  /** What a header without times repeats (RTMP 1.0 §5.3.1.2.4); after a full header that is its time. */
  delta: number
  extended: boolean
  length: number
  type: number
  streamId: number
  /** Undefined between messages. */
  payload: Buffer | undefined
  filled: number
}

const DEFAULT_CHUNK_SIZE = 128
const CHUNK_SIZE_MAX = 0xff_ffff
/** Up to here a message gets its memory at once, past it as its bytes come: a header alone is not worth 16 MiB. */
const EAGER_BYTES = 64 * 1024
const EXTENDED = 0xff_ffff
const HEADER_BYTES = [11, 7, 3, 0] as const

/**
 * Puts messages together from chunks and applies Set Chunk Size and Abort (RTMP 1.0 §5.3, §5.4).
 * Throws `bad-request` or `limit-exceeded`; after that it must not be fed again.
 *
 * Written here and not taken from node-media-server 4.4.3: that one has no bounds, takes chunk ids of three bytes as
 * (64+a+b)<<8, ignores Abort, and hands out one payload buffer that the next message overwrites.
 */
export class ChunkReader {
  readonly #limits: ChunkLimits
  readonly #onMessage: (message: RtmpMessage) => void
  readonly #streams = new Map<number, ChunkStream>()
  #chunkSize = DEFAULT_CHUNK_SIZE
  #partialBytes = 0
  /** The start of a header whose end has not come. */
  #rest: Buffer = Buffer.alloc(0)
  #current: ChunkStream | undefined
  #leftInChunk = 0

  constructor(limits: ChunkLimits, onMessage: (message: RtmpMessage) => void) {
    this.#limits = limits
    this.#onMessage = onMessage
  }

  push(bytes: Buffer): void {
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    this.#rest = EMPTY
    let position = 0
    while (position < data.length) {
      if (this.#current === undefined) {
        const length = this.#readHeader(data, position)
        if (length === undefined) {
          this.#rest = Buffer.from(data.subarray(position))
          return
        }
        position += length
      }
      position += this.#readPayload(data, position)
    }
  }

  /** Starts a chunk at `at`; returns how long its header was, undefined when it has not come whole. */
  #readHeader(data: Buffer, at: number): number | undefined {
    const available = data.length - at
    const first = data[at] ?? 0
    const format = first >> 6
    const basic = (first & 63) === 0 ? 2 : (first & 63) === 1 ? 3 : 1
    const length = basic + (HEADER_BYTES[format] ?? 0)
    if (available < length) return undefined
    const id =
      basic === 1
        ? first & 63
        : 64 + (data[at + 1] ?? 0) + (basic === 3 ? (data[at + 2] ?? 0) * 256 : 0)
    const stream = this.#streams.get(id) ?? newChunkStream()
    const fields = at + basic
    const time = format < 3 ? data.readUIntBE(fields, 3) : undefined
    const extended = time === undefined ? stream.extended : time === EXTENDED
    const extendedTime =
      extended && available >= length + 4 ? data.readUInt32BE(at + length) : undefined
    if (extended && extendedTime === undefined) return undefined
    this.#checkSequence(id, format, stream)
    if (format < 2) {
      stream.length = data.readUIntBE(fields + 3, 3)
      stream.type = data[fields + 6] ?? 0
    }
    if (format === 0) stream.streamId = data.readUInt32LE(fields + 7)
    stream.extended = extended
    let headerLength = length
    // Without a time of its own (format 3) a chunk repeats the extended field, but some writers leave it out:
    // it is one only where it is the value told before.
    if (extendedTime !== undefined && (time !== undefined || extendedTime === stream.delta))
      headerLength += 4
    if (time !== undefined) stream.delta = extendedTime ?? time
    if (stream.payload === undefined) this.#startMessage(stream, format)
    this.#current = stream
    this.#leftInChunk = Math.min(this.#chunkSize, stream.length - stream.filled)
    return headerLength
  }

  #checkSequence(id: number, format: number, stream: ChunkStream): void {
    if (!this.#streams.has(id)) {
      // A first chunk without length and type means nothing. Without a stream id it does: librtmp sends pings so.
      if (format > 1)
        throw new NearcastError('bad-request', `chunk stream ${id} starts with format ${format}`)
      if (this.#streams.size >= this.#limits.chunkStreams) {
        throw new NearcastError(
          'limit-exceeded',
          `more than ${this.#limits.chunkStreams} chunk streams`,
        )
      }
      this.#streams.set(id, stream)
    }
    if (stream.payload !== undefined && format !== 3) {
      throw new NearcastError('bad-request', `chunk stream ${id} starts a message inside another`)
    }
  }

  #startMessage(stream: ChunkStream, format: number): void {
    stream.timestamp = format === 0 ? stream.delta : (stream.timestamp + stream.delta) >>> 0
    const media = stream.type === MESSAGE.audio || stream.type === MESSAGE.video
    const limit = media ? this.#limits.mediaBytes : this.#limits.commandBytes
    if (stream.length > limit) {
      throw new NearcastError(
        'limit-exceeded',
        `message of type ${stream.type} with ${stream.length} bytes, at most ${limit}`,
      )
    }
    stream.filled = 0
    stream.payload = Buffer.allocUnsafe(Math.min(stream.length, EAGER_BYTES))
    this.#count(stream.payload.length)
  }

  #readPayload(data: Buffer, position: number): number {
    const stream = this.#current
    if (stream?.payload === undefined) return 0
    const length = Math.min(this.#leftInChunk, data.length - position)
    if (stream.filled + length > stream.payload.length) this.#grow(stream, stream.filled + length)
    data.copy(stream.payload, stream.filled, position, position + length)
    stream.filled += length
    this.#leftInChunk -= length
    if (this.#leftInChunk === 0) {
      this.#current = undefined
      if (stream.filled === stream.length) this.#finish(stream, stream.payload)
    }
    return length
  }

  #grow(stream: ChunkStream, needed: number): void {
    const former = stream.payload ?? EMPTY
    const larger = Buffer.allocUnsafe(Math.min(stream.length, Math.max(needed, former.length * 2)))
    this.#count(larger.length - former.length)
    former.copy(larger, 0, 0, stream.filled)
    stream.payload = larger
  }

  #count(bytes: number): void {
    this.#partialBytes += bytes
    if (this.#partialBytes > this.#limits.partialBytes) {
      throw new NearcastError(
        'limit-exceeded',
        `unfinished messages of more than ${this.#limits.partialBytes} bytes`,
      )
    }
  }

  #forget(stream: ChunkStream): void {
    this.#partialBytes -= stream.payload?.length ?? 0
    stream.payload = undefined
    stream.filled = 0
  }

  #finish(stream: ChunkStream, payload: Buffer): void {
    this.#forget(stream)
    const { type, streamId, timestamp } = stream
    if (type === MESSAGE.setChunkSize) this.#setChunkSize(payload)
    else if (type === MESSAGE.abort) this.#abort(payload)
    else this.#onMessage({ type, streamId, timestamp, payload })
  }

  /** §5.4.1: at least 1, the top bit clear; no message is longer than 24 bits say. */
  #setChunkSize(payload: Buffer): void {
    const size = payload.length < 4 ? 0 : payload.readUInt32BE()
    if (size < 1 || size > 0x7fff_ffff) {
      throw new NearcastError('bad-request', `chunk size ${size}`)
    }
    this.#chunkSize = Math.min(size, CHUNK_SIZE_MAX)
  }

  #abort(payload: Buffer): void {
    if (payload.length < 4) throw new NearcastError('bad-request', 'abort without a chunk stream')
    const stream = this.#streams.get(payload.readUInt32BE())
    if (stream) this.#forget(stream)
  }
}

const EMPTY = Buffer.alloc(0)

function newChunkStream(): ChunkStream {
  return {
    timestamp: 0,
    delta: 0,
    extended: false,
    length: 0,
    type: 0,
    streamId: 0,
    payload: undefined,
    filled: 0,
  }
}
