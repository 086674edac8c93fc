import { NearcastError } from '../lib/errors.ts'

/** What a FLAC STREAMINFO block says (RFC 9639 §8.2). */
export interface FlacConfig {
  readonly sampleRate: number
  readonly channels: number
  readonly bitDepth: number
  /** Samples of the longest frame; 0 when the encoder did not know. */
  readonly blockSamplesMax: number
}

/** Reads the payload of a dfLa box behind its version and flags: metadata blocks, STREAMINFO first; throws `media-broken`. */
export function parseFlacConfig(bytes: Uint8Array): FlacConfig {
  const type = (bytes[0] ?? 0xff) & 0x7f
  if (type !== 0 || bytes.length < 4 + 34) {
    throw new NearcastError(
      'media-broken',
      `dfLa begins with block ${type} of ${bytes.length} bytes`,
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const packed = view.getUint32(4 + 10)
  const sampleRate = packed >>> 12
  if (sampleRate === 0) throw new NearcastError('media-broken', 'dfLa has sample rate 0')
  return {
    sampleRate,
    channels: ((packed >>> 9) & 7) + 1,
    bitDepth: ((packed >>> 4) & 31) + 1,
    blockSamplesMax: view.getUint16(4 + 2),
  }
}

const SIGNATURE = 0x664c6143 // fLaC
const STREAMINFO_LENGTH = 34

/**
 * The dfLa blocks of what publishers send as a sequence header: a stream's beginning (signature, then blocks), the blocks
 * alone, or a bare STREAMINFO. Only STREAMINFO is kept: pictures and tags would go to every viewer. Throws `media-broken`.
 */
export function flacConfigOf(header: Uint8Array): Uint8Array {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  const signed = header.length >= 4 && view.getUint32(0) === SIGNATURE
  const blocks = signed ? header.subarray(4) : header
  const bare = !signed && header.length === STREAMINFO_LENGTH
  const info = bare ? header : blocks.subarray(4, 4 + STREAMINFO_LENGTH)
  const out = new Uint8Array(4 + info.length)
  // RFC 9639 §8.1: the last block, of this type and length.
  out.set([0x80 | (bare ? 0 : (blocks[0] ?? 0x7f) & 0x7f), 0, 0, STREAMINFO_LENGTH])
  out.set(info, 4)
  parseFlacConfig(out)
  return out
}

/** How many samples a frame holds; undefined for what is no frame (RFC 9639 §9.1). */
export function flacSamples(frame: Uint8Array): number | undefined {
  const [first, second, sizes] = frame
  if (first !== 0xff || second === undefined || sizes === undefined || second >> 2 !== 0x3e) {
    return undefined
  }
  const code = sizes >> 4
  if (code === 1) return 192
  if (code >= 2 && code <= 5) return 576 << (code - 2)
  if (code >= 8) return 256 << (code - 8)
  if (code === 0) return undefined
  const at = 4 + codedNumberLength(frame[4] ?? 0xff)
  const high = frame[at]
  const low = frame[at + 1]
  if (high === undefined || (code === 7 && low === undefined)) return undefined
  return code === 6 ? high + 1 : high * 256 + (low ?? 0) + 1
}

/** §9.1.5: coded as UTF-8 is, up to seven bytes. */
function codedNumberLength(first: number): number {
  let ones = 0
  while (ones < 8 && (first & (0x80 >> ones)) !== 0) ones += 1
  return Math.max(1, ones)
}
