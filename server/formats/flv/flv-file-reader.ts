import { NearcastError } from '../../lib/errors.ts'
import { FlvReader, type FlvSink } from './flv-reader.ts'
import { FLV_TAG } from './write-tags.ts'

const HEADER_BYTES = 9
const TAG_BYTES = 11
const SIZE_BYTES = 4
/** FLV 10.1 §E.4.1: a tag says its length in 24 bits. Nothing longer is ever kept. */
const HEADER_MAX = 4096

/**
 * Tracks and frames of an FLV file that comes in pieces (FLV 10.1 §E.2 to E.4). `push` throws `media-broken` for what is no FLV, and what
 * `FlvReader` throws; after that it must not be fed again.
 */
export class FlvFileReader {
  readonly #tags: FlvReader
  #pieces: Buffer[] = []
  #bytes = 0
  /** What must be there before anything can be read on. */
  #needed = HEADER_BYTES
  #state: 'header' | 'tag' | 'body' = 'header'

  constructor(sink: FlvSink) {
    this.#tags = new FlvReader(sink)
  }

  /** What came ends with a whole tag. */
  get complete(): boolean {
    return this.#state === 'tag' && this.#bytes === 0
  }

  push(bytes: Buffer): void {
    this.#pieces.push(bytes)
    this.#bytes += bytes.length
    if (this.#bytes < this.#needed) return
    let rest = this.#pieces.length === 1 ? bytes : Buffer.concat(this.#pieces)
    while (rest.length >= this.#needed) rest = this.#step(rest)
    this.#pieces = rest.length > 0 ? [rest] : []
    this.#bytes = rest.length
  }

  /** Takes what is whole from the front; gives the rest. */
  #step(data: Buffer): Buffer {
    switch (this.#state) {
      case 'header':
        return this.#header(data)
      case 'tag':
        this.#needed = TAG_BYTES + data.readUIntBE(1, 3) + SIZE_BYTES
        this.#state = 'body'
        return data
      case 'body':
        return this.#body(data)
    }
  }

  #header(data: Buffer): Buffer {
    if (data.toString('latin1', 0, 3) !== 'FLV')
      throw new NearcastError('media-broken', 'it does not begin as FLV does')
    const length = data.readUInt32BE(5)
    if (length < HEADER_BYTES || length > HEADER_MAX)
      throw new NearcastError('media-broken', `an FLV header of ${length} bytes`)
    if (data.length < length + SIZE_BYTES) {
      this.#needed = length + SIZE_BYTES
      return data
    }
    const kinds = data.readUInt8(4)
    this.#tags.expect({ video: (kinds & 1) !== 0, audio: (kinds & 4) !== 0 })
    this.#state = 'tag'
    this.#needed = TAG_BYTES
    return data.subarray(length + SIZE_BYTES)
  }

  #body(data: Buffer): Buffer {
    const end = this.#needed - SIZE_BYTES
    if (data.readUInt32BE(end) !== end)
      throw new NearcastError('media-broken', 'an FLV tag is not as long as it says')
    const timestamp = data.readUIntBE(4, 3) + data.readUInt8(7) * 2 ** 24
    // Readers keep what they are given; the pieces of a pipe are ours alone, so nothing is copied.
    const body = data.subarray(TAG_BYTES, end)
    if (body.length > 0 && data[0] === FLV_TAG.video) this.#tags.video(timestamp, body)
    if (body.length > 0 && data[0] === FLV_TAG.audio) this.#tags.audio(timestamp, body)
    this.#state = 'tag'
    const next = this.#needed
    this.#needed = TAG_BYTES
    return data.subarray(next)
  }
}
