import { NearcastError } from '../lib/errors.ts'

/** What a FLAC STREAMINFO block says (RFC 9639 §8.2). */
export interface FlacConfig {
  readonly sampleRate: number
  readonly channels: number
  readonly bitDepth: number
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
  }
}
