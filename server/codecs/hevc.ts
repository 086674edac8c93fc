import { NearcastError } from '../lib/errors.ts'
import type { Picture } from './colour.ts'
import { HEVC_SPS, parseHevcSps } from './hevc-sps.ts'

/** An HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1). */
export interface HevcConfig {
  /** RFC 6381 without the leading `hvc1` or `hev1`, for example `1.6.L93.B0`. */
  readonly profileString: string
  readonly bitDepth: number
  /** 1 4:2:0, 2 4:2:2, 3 4:4:4. */
  readonly chromaFormat: number
  readonly nalLengthSize: 1 | 2 | 4
  /** Of the first SPS in the record; undefined without one. */
  readonly picture: Picture | undefined
  /** VPS, SPS and PPS are all in the record, so that the samples need none. */
  readonly hasParameterSets: boolean
}

const FIXED_LENGTH = 23
const PARAMETER_SETS = [32, 33, 34] as const

/** Reads the payload of an hvcC box; throws `media-broken`. */
export function parseHevcConfig(bytes: Uint8Array): HevcConfig {
  if (bytes.length < FIXED_LENGTH) {
    throw new NearcastError('media-broken', `hvcC has ${bytes.length} bytes, needs ${FIXED_LENGTH}`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const nalLengthSize = (view.getUint8(21) & 3) + 1
  if (nalLengthSize === 3)
    throw new NearcastError('media-broken', 'hvcC has NAL lengths of 3 bytes')
  const units = parameterSets(bytes, view)
  const sps = units.find((unit) => unit.type === HEVC_SPS)
  return {
    nalLengthSize: nalLengthSize === 1 ? 1 : nalLengthSize === 2 ? 2 : 4,
    picture: sps && pictureOf(sps.bytes),
    profileString: profileString(view),
    chromaFormat: view.getUint8(16) & 3,
    bitDepth: (view.getUint8(17) & 7) + 8,
    hasParameterSets: PARAMETER_SETS.every((type) => units.some((unit) => unit.type === type)),
  }
}

/** ISO/IEC 14496-15 §E.3: profile, reversed compatibility flags, tier and level, constraint bytes without trailing zeros. */
function profileString(view: DataView): string {
  const first = view.getUint8(1)
  const space = ['', 'A', 'B', 'C'][first >> 6] ?? ''
  let compatibility = 0
  for (let bit = 0; bit < 32; bit += 1) {
    if ((view.getUint32(2) >>> bit) & 1) compatibility += 2 ** (31 - bit)
  }
  const constraints: string[] = []
  for (let i = 6; i < 12; i += 1) constraints.push(view.getUint8(i).toString(16).toUpperCase())
  while (constraints.at(-1) === '0') constraints.pop()
  const tier = first & 0x20 ? 'H' : 'L'
  const parts = [
    `${space}${first & 31}`,
    compatibility.toString(16).toUpperCase(),
    `${tier}${view.getUint8(12)}`,
    ...constraints,
  ]
  return parts.join('.')
}

interface ParameterSet {
  readonly type: number
  readonly bytes: Uint8Array
}

function parameterSets(bytes: Uint8Array, view: DataView): readonly ParameterSet[] {
  const units: ParameterSet[] = []
  const arrays = view.getUint8(FIXED_LENGTH - 1)
  let position = FIXED_LENGTH
  for (let i = 0; i < arrays && position + 3 <= view.byteLength; i += 1) {
    const type = view.getUint8(position) & 63
    const count = view.getUint16(position + 1)
    position += 3
    for (let unit = 0; unit < count && position + 2 <= view.byteLength; unit += 1) {
      const start = position + 2
      position = start + view.getUint16(position)
      if (position <= view.byteLength) units.push({ type, bytes: bytes.subarray(start, position) })
    }
  }
  return units
}

/** A record whose SPS nobody can read still names its codec: stored films take their size from the container. */
function pictureOf(sps: Uint8Array): Picture | undefined {
  try {
    return parseHevcSps(sps)
  } catch (error) {
    if (error instanceof NearcastError) return undefined
    throw error
  }
}
