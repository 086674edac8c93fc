import { NearcastError } from '../../lib/errors.ts'

/** Where one box lies in the bytes it was read from (ISO/IEC 14496-12 §4.2). */
export interface Box {
  readonly type: string
  /** Of its size field. */
  readonly start: number
  /** First byte behind size, type and large size. */
  readonly body: number
  /** First byte behind it. */
  readonly end: number
}

export interface BoxHeader {
  readonly type: string
  readonly headerSize: number
  /** Header included; undefined: it goes on to the end of what contains it. */
  readonly size: number | undefined
}

/** The header at `at`, which may lie anywhere; undefined when fewer bytes are there than it needs, or its size is impossible. */
export function readBoxHeader(bytes: Uint8Array, at: number): BoxHeader | undefined {
  return headerAt(viewOf(bytes), at)
}

function headerAt(view: DataView, at: number): BoxHeader | undefined {
  if (at + 8 > view.byteLength) return undefined
  const type = String.fromCharCode(
    view.getUint8(at + 4),
    view.getUint8(at + 5),
    view.getUint8(at + 6),
    view.getUint8(at + 7),
  )
  const size = view.getUint32(at)
  if (size === 0) return { type, headerSize: 8, size: undefined }
  if (size !== 1) return size < 8 ? undefined : { type, headerSize: 8, size }
  if (at + 16 > view.byteLength) return undefined
  const large = uint64At(view, at + 8)
  if (large < 16 || !Number.isSafeInteger(large)) return undefined
  return { type, headerSize: 16, size: large }
}

/**
 * An object a box: without a bound, eight bytes of a file could cost a hundred of memory. What is in a `moov` is looked through many
 * times, and a box of it has dozens of others.
 */
const BOXES_MAX = 4096

/**
 * The boxes between `start` and `end`, `most` at most. It stops at one that is cut off or leaves its parent: QuickTime pads with
 * zeros.
 */
export function readBoxes(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
  most = BOXES_MAX,
): readonly Box[] {
  const boxes: Box[] = []
  const view = viewOf(bytes)
  const limit = Math.min(end, bytes.length)
  let at = start
  while (at + 8 <= limit) {
    const header = headerAt(view, at)
    if (header === undefined) break
    const boxEnd = header.size === undefined ? limit : at + header.size
    if (boxEnd > limit) break
    if (boxes.length === most) throw broken(`more than ${most} boxes in one`)
    boxes.push({ type: header.type, start: at, body: at + header.headerSize, end: boxEnd })
    at = boxEnd
  }
  return boxes
}

/** The first box of this type inside `parent`, or on a path of types inside it. */
export function findBox(
  bytes: Uint8Array,
  parent: Box,
  ...path: readonly string[]
): Box | undefined {
  let found: Box | undefined = parent
  for (const type of path) {
    if (found === undefined) return undefined
    found = readBoxes(bytes, found.body, found.end).find((box) => box.type === type)
  }
  return found
}

/** Reads the fields of one box in order; past its end it throws `media-broken`. */
export class FieldReader {
  readonly #view: DataView
  readonly #what: string
  readonly end: number
  position: number

  constructor(bytes: Uint8Array, box: Pick<Box, 'type' | 'body' | 'end'>) {
    this.#view = viewOf(bytes)
    this.#what = box.type
    this.position = box.body
    this.end = Math.min(box.end, bytes.length)
  }

  get left(): number {
    return this.end - this.position
  }
  skip(length: number): void {
    this.#take(length)
  }
  uint8(): number {
    return this.#view.getUint8(this.#take(1))
  }
  uint16(): number {
    return this.#view.getUint16(this.#take(2))
  }
  uint32(): number {
    return this.#view.getUint32(this.#take(4))
  }
  int32(): number {
    return this.#view.getInt32(this.#take(4))
  }
  /** Above 2^53 it throws: no file is that long. */
  uint64(): number {
    const value = uint64At(this.#view, this.#take(8))
    if (!Number.isSafeInteger(value)) throw broken(`${this.#what} has the number ${value}`)
    return value
  }
  int64(): number {
    const at = this.#take(8)
    const value = this.#view.getBigInt64(at)
    const number = Number(value)
    if (!Number.isSafeInteger(number)) throw broken(`${this.#what} has the number ${value}`)
    return number
  }
  fourcc(): string {
    let text = ''
    for (let i = 0; i < 4; i += 1) text += String.fromCharCode(this.uint8())
    return text
  }
  bytes(length: number): Uint8Array {
    const at = this.#take(length)
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, length)
  }
  /** Version and flags of a full box. */
  fullBox(): { readonly version: number; readonly flags: number } {
    const word = this.uint32()
    return { version: word >>> 24, flags: word & 0xffffff }
  }
  /** A count of entries of `entrySize` bytes that really are there. */
  entryCount(entrySize: number): number {
    const count = this.uint32()
    if (count * entrySize > this.left) {
      throw broken(
        `${this.#what} claims ${count} entries of ${entrySize} bytes and has ${this.left}`,
      )
    }
    return count
  }

  #take(length: number): number {
    if (length < 0 || length > this.left) {
      throw broken(`${this.#what} ends ${length - this.left} bytes too early`)
    }
    const at = this.position
    this.position += length
    return at
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Not exact above 2^53. */
function uint64At(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4)
}

export function broken(message: string): NearcastError {
  return new NearcastError('media-broken', message)
}
