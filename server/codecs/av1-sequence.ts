import { NearcastError } from '../lib/errors.ts'
import { BitReader } from './bit-reader.ts'
import type { Colour, Picture } from './colour.ts'

/** Reads the payload of a sequence header OBU (AV1 §5.5); throws `media-broken`. */
export function parseAv1Sequence(payload: Uint8Array): Picture {
  const reader = new BitReader(payload, 'AV1 sequence header')
  const profile = reader.bits(3)
  if (profile > 2) throw new NearcastError('media-broken', `AV1 has profile ${profile}`)
  reader.flag() // still_picture
  const reduced = reader.flag()
  if (reduced) reader.skip(5)
  else skipOperatingPoints(reader)
  const widthBits = reader.bits(4) + 1
  const heightBits = reader.bits(4) + 1
  const width = reader.bits(widthBits) + 1
  const height = reader.bits(heightBits) + 1
  skipTools(reader, reduced)
  return { width, height, pixelAspect: [1, 1], colour: readColour(reader, profile) }
}

/** §5.5.1: timing, decoder model and operating points. */
function skipOperatingPoints(reader: BitReader): void {
  let delayBits = 0
  if (reader.flag()) {
    reader.skip(64) // num_units_in_display_tick, time_scale
    if (reader.flag()) skipUvlc(reader)
    if (reader.flag()) {
      delayBits = reader.bits(5) + 1
      reader.skip(32 + 5 + 5)
    }
  }
  const hasDisplayDelay = reader.flag()
  const points = reader.bits(5) + 1
  for (let i = 0; i < points; i += 1) {
    reader.skip(12) // operating_point_idc
    if (reader.bits(5) > 7) reader.flag() // seq_tier
    if (delayBits > 0 && reader.flag()) reader.skip(2 * delayBits + 1)
    if (hasDisplayDelay && reader.flag()) reader.skip(4)
  }
}

/** §4.10.3 */
function skipUvlc(reader: BitReader): void {
  let zeros = 0
  while (!reader.flag()) {
    zeros += 1
    if (zeros >= 32) return
  }
  reader.skip(zeros)
}

function skipTools(reader: BitReader, reduced: boolean): void {
  if (!reduced && reader.flag()) reader.skip(4 + 3) // frame ids
  reader.skip(3) // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
  if (!reduced) {
    reader.skip(4) // interintra, masked, warped, dual filter
    const orderHint = reader.flag()
    if (orderHint) reader.skip(2) // enable_jnt_comp, enable_ref_frame_mvs
    const screenContent = reader.flag() || reader.flag()
    if (screenContent && !reader.flag()) reader.flag() // seq_force_integer_mv
    if (orderHint) reader.skip(3)
  }
  reader.skip(3) // enable_superres, enable_cdef, enable_restoration
}

/** §5.5.2 */
function readColour(reader: BitReader, profile: number): Colour | undefined {
  const highDepth = reader.flag()
  if (profile === 2 && highDepth) reader.flag() // twelve_bit
  const mono = profile !== 1 && reader.flag()
  const described = reader.flag()
  if (!described) return undefined
  const [primaries, transfer, matrix] = [reader.bits(8), reader.bits(8), reader.bits(8)]
  const isSrgb = !mono && primaries === 1 && transfer === 13 && matrix === 0
  return { primaries, transfer, matrix, fullRange: isSrgb || reader.flag() }
}
