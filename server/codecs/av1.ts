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

export const AV1_OBU = { sequenceHeader: 1, temporalDelimiter: 2 } as const

export interface Av1Obu {
  readonly type: number
  /** With its header. */
  readonly whole: Uint8Array
  readonly payload: Uint8Array
}

const OBUS_MAX = 1024

/** The open bitstream units of a temporal unit or of a record behind its four bytes, as views (AV1 §5.3); throws `media-broken`. */
export function* av1Obus(data: Uint8Array): Generator<Av1Obu> {
  let position = 0
  for (let count = 0; count < OBUS_MAX && position < data.length; count += 1) {
    const head = data[position] ?? 0
    if ((head & 0x80) !== 0)
      throw new NearcastError('media-broken', `no AV1 unit at ${position} of ${data.length}`)
    let at = position + ((head & 4) === 0 ? 1 : 2)
    let size = data.length - at
    if ((head & 2) !== 0) {
      const told = readLeb128(data, at)
      at += told.length
      size = told.value
    }
    if (size < 0 || at + size > data.length) {
      throw new NearcastError(
        'media-broken',
        `AV1 unit of ${size} bytes at ${position} of ${data.length}`,
      )
    }
    const end = at + size
    yield {
      type: (head >> 3) & 15,
      whole: data.subarray(position, end),
      payload: data.subarray(at, end),
    }
    position = end
  }
}

/** §4.10.5 */
function readLeb128(
  data: Uint8Array,
  at: number,
): { readonly value: number; readonly length: number } {
  let value = 0
  for (let i = 0; i < 8; i += 1) {
    const byte = data[at + i]
    if (byte === undefined) break
    value += (byte & 0x7f) * 2 ** (7 * i)
    if ((byte & 0x80) === 0) return { value, length: i + 1 }
  }
  throw new NearcastError('media-broken', 'an AV1 unit has no end of its size')
}
