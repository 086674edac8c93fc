import { NearcastError } from '../lib/errors.ts'
import { BitReader } from './bit-reader.ts'
import type { Colour } from './colour.ts'

/** A VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding §vpcC). */
export interface Vp9Config {
  /** For example `vp09.00.10.08`. */
  readonly codecString: string
  readonly profile: number
  readonly bitDepth: number
  readonly colour: Colour | undefined
}

/** Reads the payload of a vpcC box behind its version and flags; throws `media-broken`. */
export function parseVp9Config(bytes: Uint8Array): Vp9Config {
  const [profile, level, depthByte, primaries, transfer, matrix] = bytes
  if (profile === undefined || level === undefined || depthByte === undefined) {
    throw new NearcastError('media-broken', `vpcC has ${bytes.length} bytes, needs 8`)
  }
  const bitDepth = depthByte >> 4
  if (profile > 3 || bitDepth < 8 || bitDepth > 12) {
    throw new NearcastError('media-broken', `vpcC has profile ${profile} and ${bitDepth} bits`)
  }
  const two = (value: number) => String(value).padStart(2, '0')
  // Level 0 stands for unknown; browsers want a real one and do not hold the stream to it.
  const known = level === 0 ? 10 : level
  const colour =
    primaries === undefined || transfer === undefined || matrix === undefined
      ? undefined
      : { primaries, transfer, matrix, fullRange: (depthByte & 1) === 1 }
  const codecString = `vp09.${two(profile)}.${two(known)}.${two(bitDepth)}`
  return { codecString, profile, bitDepth, colour }
}

const SYNC_CODE = 0x498342
const SRGB = 7

/** The size in the header of a key frame (VP9 bitstream §6.2, uncompressed_header); undefined for any other frame; throws `media-broken`. */
export function readVp9KeyFrame(
  frame: Uint8Array,
): { readonly width: number; readonly height: number } | undefined {
  const reader = new BitReader(frame, 'VP9 frame')
  if (reader.bits(2) !== 2) throw new NearcastError('media-broken', 'no VP9 frame marker')
  const profile = reader.bits(1) + 2 * reader.bits(1)
  if (profile === 3) reader.flag()
  if (reader.flag()) return undefined // show_existing_frame
  if (reader.flag()) return undefined // not a key frame
  reader.skip(2) // show_frame, error_resilient_mode
  if (reader.bits(24) !== SYNC_CODE) throw new NearcastError('media-broken', 'no VP9 sync code')
  if (profile >= 2) reader.flag() // ten_or_twelve_bit
  const odd = profile === 1 || profile === 3
  if (reader.bits(3) !== SRGB) reader.skip(odd ? 4 : 1)
  else if (odd) reader.flag()
  return { width: reader.bits(16) + 1, height: reader.bits(16) + 1 }
}
