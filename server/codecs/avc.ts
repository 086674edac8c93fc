import { NearcastError } from '../lib/errors.ts'
import { type AvcPicture, parseAvcSps } from './avc-sps.ts'

/** An AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1). */
export interface AvcConfig {
  readonly nalLengthSize: 1 | 2 | 4
  readonly sps: readonly Uint8Array[]
  readonly pps: readonly Uint8Array[]
  /** Of the first SPS. */
  readonly picture: AvcPicture
  /** RFC 6381, for example `avc1.64001f`. */
  readonly codecString: string
}

/** Reads the payload of an avcC box or an FLV AVC sequence header; throws `media-broken` or `media-unsupported`. */
export function parseAvcConfig(bytes: Uint8Array): AvcConfig {
  const [version, profile, compatibility, level, lengthByte, spsByte] = bytes
  if (
    version === undefined ||
    profile === undefined ||
    compatibility === undefined ||
    level === undefined ||
    lengthByte === undefined ||
    spsByte === undefined
  )
    throw new NearcastError('media-broken', `avcC has ${bytes.length} bytes, needs 7`)
  if (version !== 1) throw new NearcastError('media-broken', `avcC has version ${version}, not 1`)
  const nalLengthSize = (lengthByte & 3) + 1
  if (nalLengthSize === 3)
    throw new NearcastError('media-broken', 'avcC has NAL lengths of 3 bytes')
  const sps = readParameterSets(bytes, 6, spsByte & 31, 7)
  const ppsCount = bytes[sps.end]
  if (ppsCount === undefined) throw new NearcastError('media-broken', 'avcC ends before its PPS')
  const pps = readParameterSets(bytes, sps.end + 1, ppsCount, 8)
  const first = sps.units[0]
  if (first === undefined) throw new NearcastError('media-unsupported', 'avcC has no SPS')
  return {
    nalLengthSize: nalLengthSize === 1 ? 1 : nalLengthSize === 2 ? 2 : 4,
    sps: sps.units,
    pps: pps.units,
    picture: parseAvcSps(first),
    codecString: avcCodecString(profile, compatibility, level),
  }
}

/** `avc1.PPCCLL` (RFC 6381 §3.3). */
export function avcCodecString(profile: number, compatibility: number, level: number): string {
  const hex = (byte: number) => byte.toString(16).padStart(2, '0')
  return `avc1.${hex(profile)}${hex(compatibility)}${hex(level)}`
}

/** The NAL units of a length-prefixed access unit, as views; throws `media-broken` where a length leaves the unit. */
export function* avcNalUnits(data: Uint8Array, nalLengthSize: 1 | 2 | 4): Generator<Uint8Array> {
  let position = 0
  while (position < data.length) {
    let length = 0
    for (let i = 0; i < nalLengthSize; i += 1) length = length * 256 + (data[position + i] ?? 0)
    const start = position + nalLengthSize
    if (start + length > data.length) {
      throw new NearcastError(
        'media-broken',
        `NAL unit of ${length} bytes at ${position} of ${data.length}`,
      )
    }
    yield data.subarray(start, start + length)
    position = start + length
  }
}

function readParameterSets(
  bytes: Uint8Array,
  start: number,
  count: number,
  type: number,
): { readonly units: readonly Uint8Array[]; readonly end: number } {
  const units: Uint8Array[] = []
  let position = start
  for (let i = 0; i < count; i += 1) {
    const length = (bytes[position] ?? 0) * 256 + (bytes[position + 1] ?? 0)
    const end = position + 2 + length
    if (end > bytes.length || length === 0) {
      throw new NearcastError(
        'media-broken',
        `avcC has a parameter set of ${length} bytes at ${position} of ${bytes.length}`,
      )
    }
    const unit = bytes.subarray(position + 2, end)
    if (((unit[0] ?? 0) & 31) !== type) {
      throw new NearcastError(
        'media-broken',
        `avcC has NAL type ${(unit[0] ?? 0) & 31}, not ${type}`,
      )
    }
    units.push(unit)
    position = end
  }
  return { units, end: position }
}
