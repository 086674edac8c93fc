import { NearcastError } from '../lib/errors.ts'

/** An OpusSpecificBox (Opus in ISOBMFF §4.3.2). Opus always decodes at 48 kHz. */
export interface OpusConfig {
  readonly channels: number
  /** Samples at 48 kHz that a decoder throws away at the start. */
  readonly preSkip: number
}

/** Reads the payload of a dOps box; throws `media-broken`. */
export function parseOpusConfig(bytes: Uint8Array): OpusConfig {
  const [version, channels, skipHigh, skipLow] = bytes
  if (
    version === undefined ||
    channels === undefined ||
    skipHigh === undefined ||
    skipLow === undefined ||
    bytes.length < 11
  ) {
    throw new NearcastError('media-broken', `dOps has ${bytes.length} bytes, needs 11`)
  }
  if (version !== 0 || channels === 0) {
    throw new NearcastError('media-broken', `dOps has version ${version} and ${channels} channels`)
  }
  return { channels, preSkip: skipHigh * 256 + skipLow }
}
