import { NearcastError } from '../lib/errors.ts'

/** An HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1). */
export interface HevcConfig {
  /** RFC 6381 without the leading `hvc1` or `hev1`, for example `1.6.L93.B0`. */
  readonly profileString: string
  readonly bitDepth: number
  /** 1 4:2:0, 2 4:2:2, 3 4:4:4. */
  readonly chromaFormat: number
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
  return {
    profileString: profileString(view),
    chromaFormat: view.getUint8(16) & 3,
    bitDepth: (view.getUint8(17) & 7) + 8,
    hasParameterSets: hasParameterSets(view),
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

function hasParameterSets(view: DataView): boolean {
  const found = new Set<number>()
  const arrays = view.getUint8(FIXED_LENGTH - 1)
  let position = FIXED_LENGTH
  for (let i = 0; i < arrays && position + 3 <= view.byteLength; i += 1) {
    const type = view.getUint8(position) & 63
    const count = view.getUint16(position + 1)
    position += 3
    for (let unit = 0; unit < count && position + 2 <= view.byteLength; unit += 1) {
      position += 2 + view.getUint16(position)
      if (position <= view.byteLength) found.add(type)
    }
  }
  return PARAMETER_SETS.every((type) => found.has(type))
}
