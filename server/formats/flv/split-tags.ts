import { NearcastError } from '../../lib/errors.ts'

/** One tag of an FLV file. `body` is a copy of its own. */
export interface FlvFileTag {
  /** 8 audio, 9 video, 18 script. */
  readonly type: number
  /** Milliseconds, 32 bits that wrap. */
  readonly timestamp: number
  readonly body: Uint8Array
}

const FILE_HEADER_BYTES = 9
/** A header longer than this says nothing that anybody knows. */
const FILE_HEADER_BYTES_MAX = 1024
const TAG_HEADER_BYTES = 11
const TAG_SIZE_BYTES = 4

/**
 * Cuts an FLV file that comes in pieces into its tags (FLV 10.1 §E.2, E.3, E.4.1). What waits is at most one tag, and its
 * length has 24 bits. Throws `media-broken` for what is no FLV.
 */
export class FlvTagSplitter {
  #pieces: Uint8Array[] = []
  #length = 0
  #headerBytes: number | undefined

  push(piece: Uint8Array): readonly FlvFileTag[] {
    this.#pieces.push(piece)
    this.#length += piece.length
    const tags: FlvFileTag[] = []
    while (this.#length >= this.#wanted()) {
      const tag = this.#take(this.#wanted())
      if (tag) tags.push(tag)
    }
    return tags
  }

  /** Bytes until the next thing is whole, as far as is known. */
  #wanted(): number {
    if (this.#headerBytes !== undefined && this.#headerBytes > 0)
      return this.#headerBytes + TAG_SIZE_BYTES
    if (this.#headerBytes === undefined) return FILE_HEADER_BYTES
    if (this.#length < TAG_HEADER_BYTES) return TAG_HEADER_BYTES
    return TAG_HEADER_BYTES + this.#front(TAG_HEADER_BYTES).readUIntBE(1, 3) + TAG_SIZE_BYTES
  }

  #take(bytes: number): FlvFileTag | undefined {
    if (this.#headerBytes === undefined) {
      this.#headerBytes = headerLength(this.#front(FILE_HEADER_BYTES))
      return undefined
    }
    const taken = this.#front(bytes).subarray(0, bytes)
    this.#drop(bytes)
    if (this.#headerBytes > 0) {
      this.#headerBytes = 0
      return undefined
    }
    const body = Uint8Array.from(taken.subarray(TAG_HEADER_BYTES, bytes - TAG_SIZE_BYTES))
    const timestamp = (taken.readUIntBE(4, 3) | (taken.readUInt8(7) << 24)) >>> 0
    // The two upper bits are reserved, the third says that the tag is encrypted.
    return { type: taken.readUInt8(0) & 31, timestamp, body }
  }

  /** The first `bytes` in one piece: joined only when they are all there. */
  #front(bytes: number): Buffer {
    const [first] = this.#pieces
    if (first && first.length >= bytes)
      return Buffer.from(first.buffer, first.byteOffset, first.length)
    const joined = Buffer.concat(this.#pieces)
    this.#pieces = [joined]
    return joined
  }

  #drop(bytes: number): void {
    const [first] = this.#pieces
    if (!first) return
    this.#length -= bytes
    if (first.length === bytes) this.#pieces.shift()
    else this.#pieces[0] = first.subarray(bytes)
  }
}

function headerLength(header: Buffer): number {
  const length = header.readUInt32BE(5)
  if (header.toString('latin1', 0, 3) !== 'FLV' || length < FILE_HEADER_BYTES)
    throw new NearcastError('media-broken', 'what came is no FLV')
  if (length > FILE_HEADER_BYTES_MAX)
    throw new NearcastError('media-broken', `an FLV header of ${length} bytes`)
  return length
}
