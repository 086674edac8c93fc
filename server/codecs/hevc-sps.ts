import { NearcastError } from '../lib/errors.ts'
import { PICTURE_SIDE_MAX, readPixelAspect, readSignalType, withoutEmulation } from './avc-sps.ts'
import { BitReader } from './bit-reader.ts'
import type { Picture } from './colour.ts'

export const HEVC_SPS = 33

/** Reads one SPS NAL unit of two header bytes and more (ITU-T H.265 §7.3.2.2); throws `media-broken`. */
export function parseHevcSps(nal: Uint8Array): Picture {
  const reader = new BitReader(withoutEmulation(nal), 'HEVC SPS')
  const type = (reader.bits(16) >> 9) & 63
  if (type !== HEVC_SPS) {
    throw new NearcastError('media-broken', `NAL unit of type ${type} where an HEVC SPS belongs`)
  }
  reader.skip(4) // sps_video_parameter_set_id
  const subLayers = reader.bits(3)
  reader.flag() // sps_temporal_id_nesting_flag
  skipProfileTierLevel(reader, subLayers)
  reader.unsignedGolomb() // sps_seq_parameter_set_id
  const chroma = reader.unsignedGolomb()
  if (chroma > 3) throw new NearcastError('media-broken', `HEVC SPS has chroma format ${chroma}`)
  const separatePlanes = chroma === 3 && reader.flag()
  const codedWidth = reader.unsignedGolomb()
  const codedHeight = reader.unsignedGolomb()
  const crop = reader.flag() ? readWindow(reader, separatePlanes ? 0 : chroma) : NO_CROP
  const width = codedWidth - crop.horizontal
  const height = codedHeight - crop.vertical
  if (width < 1 || height < 1 || width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX) {
    throw new NearcastError('media-broken', `HEVC SPS describes a picture of ${width}x${height}`)
  }
  return { width, height, ...readVuiFacts(reader, subLayers) }
}

const NO_CROP = { horizontal: 0, vertical: 0 } as const
type VuiFacts = Pick<Picture, 'pixelAspect' | 'colour'>
const NO_VUI: VuiFacts = { pixelAspect: [1, 1], colour: undefined }

/** §7.3.3: 88 bits of profile and 8 of level, for the whole and for each sub-layer that has its own. */
function skipProfileTierLevel(reader: BitReader, subLayers: number): void {
  reader.skip(88 + 8)
  const present: (readonly [boolean, boolean])[] = []
  for (let i = 0; i < subLayers; i += 1) present.push([reader.flag(), reader.flag()])
  if (subLayers > 0) reader.skip(2 * (8 - subLayers))
  for (const [profile, level] of present) reader.skip((profile ? 88 : 0) + (level ? 8 : 0))
}

/** §7.4.3.2.1: the offsets count chroma samples. */
function readWindow(
  reader: BitReader,
  chroma: number,
): { readonly horizontal: number; readonly vertical: number } {
  const across = chroma === 1 || chroma === 2 ? 2 : 1
  const down = chroma === 1 ? 2 : 1
  const horizontal = across * (reader.unsignedGolomb() + reader.unsignedGolomb())
  const vertical = down * (reader.unsignedGolomb() + reader.unsignedGolomb())
  return { horizontal, vertical }
}

/** What lies between the size and the VUI is only gone over; cut short, it costs what the VUI would have said. */
function readVuiFacts(reader: BitReader, subLayers: number): VuiFacts {
  try {
    skipToVui(reader, subLayers)
    return reader.flag() ? readVui(reader) : NO_VUI
  } catch (error) {
    if (!(error instanceof NearcastError)) throw error
    return NO_VUI
  }
}

function skipToVui(reader: BitReader, subLayers: number): void {
  reader.unsignedGolomb() // bit_depth_luma_minus8
  reader.unsignedGolomb() // bit_depth_chroma_minus8
  const orderBits = reader.unsignedGolomb() + 4
  const layers = reader.flag() ? subLayers + 1 : 1
  for (let i = 0; i < layers * 3; i += 1) reader.unsignedGolomb()
  for (let i = 0; i < 6; i += 1) reader.unsignedGolomb() // sizes of coding and transform blocks
  if (reader.flag() && reader.flag()) skipScalingLists(reader)
  reader.skip(2) // amp_enabled_flag, sample_adaptive_offset_enabled_flag
  if (reader.flag()) {
    reader.skip(8) // bit depths of PCM
    reader.unsignedGolomb()
    reader.unsignedGolomb()
    reader.flag()
  }
  skipReferenceSets(reader)
  if (reader.flag()) {
    const count = atMost(reader.unsignedGolomb(), 32, 'long-term pictures')
    for (let i = 0; i < count; i += 1) reader.skip(orderBits + 1)
  }
  reader.skip(2) // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
}

/** §7.3.4 */
function skipScalingLists(reader: BitReader): void {
  for (let size = 0; size < 4; size += 1) {
    const count = Math.min(64, 1 << (4 + 2 * size))
    for (let matrix = 0; matrix < 6; matrix += size === 3 ? 3 : 1) {
      if (!reader.flag()) {
        reader.unsignedGolomb()
        continue
      }
      if (size > 1) reader.signedGolomb()
      for (let i = 0; i < count; i += 1) reader.signedGolomb()
    }
  }
}

/** §7.3.7: a set that is predicted from the one before has a flag or two for each picture of it. */
function skipReferenceSets(reader: BitReader): void {
  const count = atMost(reader.unsignedGolomb(), 64, 'reference picture sets')
  let pictures = 0
  for (let set = 0; set < count; set += 1) {
    if (set > 0 && reader.flag()) {
      reader.flag() // delta_rps_sign
      reader.unsignedGolomb()
      let kept = 0
      for (let i = 0; i <= pictures; i += 1) if (reader.flag() || reader.flag()) kept += 1
      pictures = atMost(kept, 16, 'reference pictures')
      continue
    }
    pictures = atMost(reader.unsignedGolomb() + reader.unsignedGolomb(), 16, 'reference pictures')
    for (let i = 0; i < pictures; i += 1) {
      reader.unsignedGolomb()
      reader.flag()
    }
  }
}

function atMost(count: number, most: number, what: string): number {
  if (count > most) throw new NearcastError('media-broken', `HEVC SPS has ${count} ${what}`)
  return count
}

/** §E.2.1, as far as the colours. */
function readVui(reader: BitReader): VuiFacts {
  const pixelAspect = reader.flag() ? readPixelAspect(reader) : NO_VUI.pixelAspect
  if (reader.flag()) reader.flag() // overscan
  return { pixelAspect, colour: reader.flag() ? readSignalType(reader) : undefined }
}
