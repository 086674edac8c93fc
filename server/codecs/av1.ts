import { NearcastError } from '../lib/errors.ts'

/** An AV1CodecConfigurationRecord (AV1 in ISOBMFF §2.3.3). */
export interface Av1Config {
  /** RFC 6381 form of AV1 in ISOBMFF §5, for example `av01.0.04M.08`. */
  readonly codecString: string
  readonly profile: number
  readonly bitDepth: 8 | 10 | 12
}

/** Reads the payload of an av1C box; throws `media-broken`. */
export function parseAv1Config(bytes: Uint8Array): Av1Config {
  const [marker, levels, flags] = bytes
  if (marker === undefined || levels === undefined || flags === undefined || bytes.length < 4) {
    throw new NearcastError('media-broken', `av1C has ${bytes.length} bytes, needs 4`)
  }
  if (marker !== 0x81) throw new NearcastError('media-broken', `av1C begins with ${marker}`)
  const profile = levels >> 5
  const high = (flags & 0x40) !== 0
  const bitDepth = high ? (profile === 2 && flags & 0x20 ? 12 : 10) : 8
  const level = String(levels & 31).padStart(2, '0')
  const tier = flags & 0x80 ? 'H' : 'M'
  const depth = String(bitDepth).padStart(2, '0')
  return { codecString: `av01.${profile}.${level}${tier}.${depth}`, profile, bitDepth }
}
