import { NearcastError } from '../lib/errors.ts'
import { BitReader } from './bit-reader.ts'
import type { Colour, Picture } from './colour.ts'

/** What a sequence parameter set says about the pictures (ITU-T H.264 §7.3.2.1.1, Annex E). */
export interface AvcPicture extends Picture {
  readonly profile: number
  /** The constraint flags, as the middle two digits of the codec string. */
  readonly compatibility: number
  readonly level: number
  /** Frames a second as the VUI's timing has it; undefined without. Cameras and OBS often leave it out. */
  readonly frameRate: number | undefined
  /** 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4. */
  readonly chromaFormat: number
  /** Of luma, 8 to 14. */
  readonly bitDepth: number
  /** How many frames may come later in output than in decoding order: an upper bound when the VUI does not say. */
  readonly reorderDepth: number
}

/** Reads one SPS NAL unit, header byte included; throws `media-broken` or `media-unsupported`. */
export function parseAvcSps(nal: Uint8Array): AvcPicture {
  const reader = new BitReader(withoutEmulation(nal), 'SPS')
  const type = reader.bits(8) & 31
  if (type !== SPS_NAL_TYPE) {
    throw new NearcastError('media-broken', `NAL unit of type ${type} where an SPS belongs`)
  }
  const profile = reader.bits(8)
  const compatibility = reader.bits(8)
  const level = reader.bits(8)
  reader.unsignedGolomb() // seq_parameter_set_id
  const { chromaFormat, separatePlanes, bitDepth } = readHighProfile(reader, profile)
  reader.unsignedGolomb() // log2_max_frame_num_minus4
  const orderType = readPictureOrder(reader)
  reader.unsignedGolomb() // max_num_ref_frames
  reader.flag() // gaps_in_frame_num_value_allowed_flag
  const widthInMbs = reader.unsignedGolomb() + 1
  const heightInUnits = reader.unsignedGolomb() + 1
  const framesOnly = reader.flag()
  if (!framesOnly) reader.flag() // mb_adaptive_frame_field_flag
  reader.flag() // direct_8x8_inference_flag
  const heightInMbs = heightInUnits * (framesOnly ? 1 : 2)
  const crop = readCropping(reader, separatePlanes ? 0 : chromaFormat, framesOnly)
  const width = widthInMbs * 16 - crop.horizontal
  const height = heightInMbs * 16 - crop.vertical
  if (width < 1 || height < 1 || width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX) {
    throw new NearcastError('media-broken', `SPS describes a picture of ${width}x${height}`)
  }
  const vui = reader.flag() ? readVui(reader) : NO_VUI
  const inferred = inferReorderDepth(profile, compatibility, level, widthInMbs * heightInMbs)
  return {
    profile,
    compatibility,
    level,
    width,
    height,
    pixelAspect: vui.pixelAspect,
    colour: vui.colour,
    frameRate: vui.frameRate,
    chromaFormat,
    bitDepth,
    // §8.2.1: with pic_order_cnt_type 2 output order is decoding order.
    reorderDepth: orderType === 2 ? 0 : (vui.reorderDepth ?? inferred),
  }
}

const SPS_NAL_TYPE = 7

/** Level 6.2 goes to 16,880 luma samples a side; more is no picture. */
export const PICTURE_SIDE_MAX = 16_384 + 512

/** Takes out emulation_prevention_three_byte (ITU-T H.264 §7.4.1). */
export function withoutEmulation(nal: Uint8Array): Uint8Array {
  const out = new Uint8Array(nal.length)
  let length = 0
  let zeros = 0
  for (const byte of nal) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0
      continue
    }
    zeros = byte === 0 ? zeros + 1 : 0
    out[length] = byte
    length += 1
  }
  return out.subarray(0, length)
}

const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])

function readHighProfile(
  reader: BitReader,
  profile: number,
): {
  readonly chromaFormat: number
  readonly separatePlanes: boolean
  readonly bitDepth: number
} {
  if (!HIGH_PROFILES.has(profile)) return { chromaFormat: 1, separatePlanes: false, bitDepth: 8 }
  const chromaFormat = reader.unsignedGolomb()
  if (chromaFormat > 3)
    throw new NearcastError('media-broken', `SPS has chroma format ${chromaFormat}`)
  const separatePlanes = chromaFormat === 3 && reader.flag()
  const bitDepth = reader.unsignedGolomb() + 8
  reader.unsignedGolomb() // bit_depth_chroma_minus8
  if (bitDepth > 14) throw new NearcastError('media-broken', `SPS has ${bitDepth} bits a sample`)
  reader.flag() // qpprime_y_zero_transform_bypass_flag
  if (reader.flag()) {
    const lists = chromaFormat === 3 ? 12 : 8
    for (let i = 0; i < lists; i += 1) if (reader.flag()) skipScalingList(reader, i < 6 ? 16 : 64)
  }
  return { chromaFormat, separatePlanes, bitDepth }
}

function skipScalingList(reader: BitReader, size: number): void {
  let last = 8
  let next = 8
  for (let i = 0; i < size; i += 1) {
    if (next !== 0) next = (last + reader.signedGolomb() + 256) % 256
    last = next === 0 ? last : next
  }
}

function readPictureOrder(reader: BitReader): number {
  const type = reader.unsignedGolomb()
  if (type === 0) reader.unsignedGolomb() // log2_max_pic_order_cnt_lsb_minus4
  if (type === 1) {
    reader.flag() // delta_pic_order_always_zero_flag
    reader.signedGolomb() // offset_for_non_ref_pic
    reader.signedGolomb() // offset_for_top_to_bottom_field
    const cycle = reader.unsignedGolomb()
    if (cycle > 255) throw new NearcastError('media-broken', `SPS has an order cycle of ${cycle}`)
    for (let i = 0; i < cycle; i += 1) reader.signedGolomb()
  }
  if (type > 2) throw new NearcastError('media-broken', `SPS has picture order type ${type}`)
  return type
}

/** Table 6-1: crop units by chroma format (0 also stands for separate planes). */
function readCropping(
  reader: BitReader,
  chromaArrayType: number,
  framesOnly: boolean,
): { readonly horizontal: number; readonly vertical: number } {
  if (!reader.flag()) return { horizontal: 0, vertical: 0 }
  const unitX = chromaArrayType === 1 || chromaArrayType === 2 ? 2 : 1
  const unitY = (chromaArrayType === 1 ? 2 : 1) * (framesOnly ? 1 : 2)
  const left = reader.unsignedGolomb()
  const right = reader.unsignedGolomb()
  const top = reader.unsignedGolomb()
  const bottom = reader.unsignedGolomb()
  return { horizontal: (left + right) * unitX, vertical: (top + bottom) * unitY }
}

interface Vui {
  readonly pixelAspect: readonly [number, number]
  readonly colour: Colour | undefined
  readonly frameRate: number | undefined
  readonly reorderDepth: number | undefined
}

const NO_VUI: Vui = {
  pixelAspect: [1, 1],
  colour: undefined,
  frameRate: undefined,
  reorderDepth: undefined,
}

/** Table E-1, by aspect_ratio_idc. */
const PIXEL_ASPECTS: readonly (readonly [number, number])[] = [
  [1, 1],
  [1, 1],
  [12, 11],
  [10, 11],
  [16, 11],
  [40, 33],
  [24, 11],
  [20, 11],
  [32, 11],
  [80, 33],
  [18, 11],
  [15, 11],
  [64, 33],
  [160, 99],
  [4, 3],
  [3, 2],
  [2, 1],
]
const EXTENDED_SAR = 255

/** A VUI cut short (some hardware encoders write one) costs only what it would have said. */
function readVui(reader: BitReader): Vui {
  let pixelAspect: readonly [number, number] = [1, 1]
  let colour: Colour | undefined
  let frameRate: number | undefined
  let reorderDepth: number | undefined
  try {
    if (reader.flag()) pixelAspect = readPixelAspect(reader)
    if (reader.flag()) reader.flag() // overscan
    if (reader.flag()) colour = readSignalType(reader)
    if (reader.flag()) {
      reader.unsignedGolomb() // chroma_sample_loc_type_top_field
      reader.unsignedGolomb() // chroma_sample_loc_type_bottom_field
    }
    if (reader.flag()) frameRate = readFrameRate(reader)
    const nalHrd = reader.flag()
    if (nalHrd) skipHrd(reader)
    const vclHrd = reader.flag()
    if (vclHrd) skipHrd(reader)
    if (nalHrd || vclHrd) reader.flag() // low_delay_hrd_flag
    reader.flag() // pic_struct_present_flag
    if (reader.flag()) {
      reader.flag() // motion_vectors_over_pic_boundaries_flag
      for (let i = 0; i < 4; i += 1) reader.unsignedGolomb()
      const depth = reader.unsignedGolomb()
      reorderDepth = depth <= 16 ? depth : undefined
    }
  } catch (error) {
    if (!(error instanceof NearcastError)) throw error
  }
  return { pixelAspect, colour, frameRate, reorderDepth }
}

/** §E.2.1, table E-1; H.265 has the same. */
export function readPixelAspect(reader: BitReader): readonly [number, number] {
  const index = reader.bits(8)
  if (index !== EXTENDED_SAR) return PIXEL_ASPECTS[index] ?? [1, 1]
  const width = reader.bits(16)
  const height = reader.bits(16)
  return width === 0 || height === 0 ? [1, 1] : [width, height]
}

/** §E.2.1, video_signal_type; H.265 has the same. undefined where the colours are not described. */
export function readSignalType(reader: BitReader): Colour | undefined {
  reader.skip(3) // video_format
  const fullRange = reader.flag()
  if (!reader.flag()) return undefined
  const [primaries, transfer, matrix] = [reader.bits(8), reader.bits(8), reader.bits(8)]
  return { primaries, transfer, matrix, fullRange }
}

/** §E.2.1: two ticks are one frame. */
function readFrameRate(reader: BitReader): number | undefined {
  const unitsInTick = reader.bits(32)
  const timeScale = reader.bits(32)
  reader.flag() // fixed_frame_rate_flag
  const rate = timeScale / (2 * unitsInTick)
  return unitsInTick > 0 && rate > 0 && rate <= 1000 ? rate : undefined
}

function skipHrd(reader: BitReader): void {
  const count = reader.unsignedGolomb() + 1
  if (count > 32) throw new NearcastError('media-broken', `SPS has ${count} HRD schedules`)
  reader.skip(8)
  for (let i = 0; i < count; i += 1) {
    reader.unsignedGolomb()
    reader.unsignedGolomb()
    reader.flag()
  }
  reader.skip(20)
}

/** Table A-1, MaxDpbMbs by level_idc. */
const MAX_DPB_MBS: Readonly<Record<number, number>> = {
  9: 396,
  10: 396,
  11: 900,
  12: 2376,
  13: 2376,
  20: 2376,
  21: 4752,
  22: 8100,
  30: 8100,
  31: 18_000,
  32: 20_480,
  40: 32_768,
  41: 32_768,
  42: 34_816,
  50: 110_400,
  51: 184_320,
  52: 184_320,
  60: 696_320,
  61: 696_320,
  62: 696_320,
}
const INTRA_PROFILES = new Set([44, 86, 100, 110, 122, 244])

/** §E.2.1: what max_num_reorder_frames is taken to be when it is absent. */
function inferReorderDepth(
  profile: number,
  compatibility: number,
  level: number,
  macroblocks: number,
): number {
  const constraintSet3 = (compatibility & 0x10) !== 0
  if (INTRA_PROFILES.has(profile) && constraintSet3) return 0
  if (profile === 66) return 0 // Baseline has no B slices (§A.2.1).
  return Math.min(Math.floor((MAX_DPB_MBS[level] ?? 696_320) / macroblocks), 16)
}
