import { NearcastError } from '../lib/errors.ts'

/** A VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding §vpcC). */
export interface Vp9Config {
  /** For example `vp09.00.10.08`. */
  readonly codecString: string
  readonly profile: number
  readonly bitDepth: number
}

/** Reads the payload of a vpcC box behind its version and flags; throws `media-broken`. */
export function parseVp9Config(bytes: Uint8Array): Vp9Config {
  const [profile, level, depthByte] = bytes
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
  return { codecString: `vp09.${two(profile)}.${two(known)}.${two(bitDepth)}`, profile, bitDepth }
}
