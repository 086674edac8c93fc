import type { Track } from '../codecs/track.ts'

/** Bytes and where in the object they lie. */
export interface PlacedBytes {
  readonly at: number
  readonly bytes: Uint8Array
}

/** How the pictures of one segment are made of NAL units (ISO/IEC 14496-15 §4.3.3.2), in the order of the file. */
export interface PictureFraming {
  readonly codec: 'avc' | 'hevc'
  readonly lengthSize: 1 | 2 | 4
  /** Byte places in the object; a picture never begins before the end of the last. */
  readonly starts: Float64Array
  readonly ends: Float64Array
}

/** A larger one is passed on as it is: no picture of a film for browsers is, and it would be held in memory. */
const PICTURE_BYTES_MAX = 4 * 1024 * 1024

/** The size of the length before each NAL unit; undefined for codecs without NAL units, and where descriptions disagree. */
export function nalLengthSize(tracks: readonly Track[]): 1 | 2 | 4 | undefined {
  const sizes = new Set(tracks.map(lengthSizeOf))
  const [size] = sizes
  return sizes.size === 1 && (size === 1 || size === 2 || size === 4) ? size : undefined
}

function lengthSizeOf({ codec, config }: Track): number | undefined {
  // lengthSizeMinusOne, ISO/IEC 14496-15 §5.3.3.1.2 and §8.3.3.1.2.
  const byte = codec === 'avc' ? config[4] : codec === 'hevc' ? config[21] : undefined
  return byte === undefined ? undefined : (byte & 3) + 1
}

/**
 * Passes the bytes on, with the NAL units of damaged pictures put right in place: MSE refuses a whole segment for one length that is
 * 0 or leaves its picture. An empty unit becomes trailing zeros of the one before it; what cannot be read becomes filler data. A
 * picture is held until all of it is there. `onMended` is called for each.
 */
export async function* mendPictures(
  source: AsyncIterable<PlacedBytes>,
  framing: PictureFraming,
  onMended: () => void,
): AsyncGenerator<Uint8Array> {
  const { starts, ends } = framing
  let next = 0
  let held: Uint8Array[] = []
  let heldBytes = 0
  let expected = 0
  for await (const { at, bytes } of source) {
    let from = 0
    if (held.length > 0 && at !== expected) {
      // Two samples claim one place of the file.
      yield* held
      held = []
    }
    expected = at + bytes.length
    if (held.length > 0) {
      const missing = (ends[next] ?? 0) - (starts[next] ?? 0) - heldBytes
      const part = bytes.subarray(0, missing)
      held.push(part)
      heldBytes += part.length
      if (part.length < missing) continue
      const picture = Buffer.concat(held)
      if (mendPicture(picture, framing)) onMended()
      yield picture
      held = []
      heldBytes = 0
      next += 1
      from = missing
    }
    const end = at + bytes.length
    // Behind these bytes already: their table names the same places twice.
    while (next < starts.length && (starts[next] ?? 0) < at + from) next += 1
    let whole = bytes
    let until = bytes.length
    for (; next < starts.length && (starts[next] ?? 0) < end; next += 1) {
      const start = (starts[next] ?? 0) - at
      const stop = (ends[next] ?? 0) - at
      if (stop - start > PICTURE_BYTES_MAX) continue
      if (stop > bytes.length) {
        until = start
        break
      }
      if (isWhole(whole.subarray(start, stop), framing)) continue
      // The source's bytes may be a cache's own.
      if (whole === bytes) whole = new Uint8Array(bytes)
      if (mendPicture(whole.subarray(start, stop), framing)) onMended()
    }
    if (until > from) yield whole.subarray(from, until)
    if (until < bytes.length) {
      held = [bytes.subarray(until)]
      heldBytes = bytes.length - until
    }
  }
  yield* held
}

function isWhole(picture: Uint8Array, { lengthSize }: PictureFraming): boolean {
  let at = 0
  while (at < picture.length) {
    const stop = unitEnd(picture, at, lengthSize)
    if (stop === undefined) return false
    at = stop
  }
  return true
}

/** Where the NAL unit at `at` ends; undefined when there is none. */
function unitEnd(picture: Uint8Array, at: number, lengthSize: number): number | undefined {
  const length = lengthAt(picture, at, lengthSize)
  const stop = at + lengthSize + length
  // forbidden_zero_bit (ITU-T H.264 §7.4.1, H.265 §7.4.2.2)
  const forbidden = (picture[at + lengthSize] ?? 0) >= 0x80
  return length === 0 || stop > picture.length || forbidden ? undefined : stop
}

/** Changes `picture`; false when nothing was to be changed, or nothing could be. */
function mendPicture(picture: Uint8Array, { lengthSize, codec }: PictureFraming): boolean {
  const filler = codec === 'avc' ? AVC_FILLER : HEVC_FILLER
  const most = 2 ** (8 * lengthSize) - 1
  let mended = false
  let last: number | undefined
  let at = 0
  while (at < picture.length) {
    const stop = unitEnd(picture, at, lengthSize)
    if (stop !== undefined) {
      last = at
      at = stop
      continue
    }
    const left = picture.length - at
    const empty = left >= lengthSize && lengthAt(picture, at, lengthSize) === 0
    const zeros = Math.min(left, lengthSize)
    const grown = last === undefined ? most + 1 : at - last - lengthSize + zeros
    if (last !== undefined && (empty || left <= lengthSize + filler.length) && grown <= most) {
      picture.fill(0, at, at + zeros)
      writeLength(picture, last, lengthSize, grown)
      at += zeros
    } else if (left > lengthSize + filler.length) {
      const length = Math.min(left - lengthSize, most)
      const end = at + lengthSize + length
      writeLength(picture, at, lengthSize, length)
      picture.fill(0xff, at + lengthSize, end)
      picture.set(filler, at + lengthSize)
      // rbsp_trailing_bits behind the ff_bytes (ITU-T H.264 §7.3.2.7)
      picture[end - 1] = 0x80
      last = at
      at = end
    } else return mended
    mended = true
  }
  return mended
}

/** NAL unit headers of filler data: type 12 (ITU-T H.264 table 7-1), type 38 (H.265 table 7-1). */
const AVC_FILLER = Uint8Array.of(0x0c)
const HEVC_FILLER = Uint8Array.of(0x4c, 0x01)

function lengthAt(bytes: Uint8Array, at: number, size: number): number {
  let length = 0
  for (let i = 0; i < size; i += 1) length = length * 256 + (bytes[at + i] ?? 0)
  return length
}

function writeLength(bytes: Uint8Array, at: number, size: number, length: number): void {
  for (let i = size - 1, rest = length; i >= 0; i -= 1, rest = Math.floor(rest / 256))
    bytes[at + i] = rest % 256
}
