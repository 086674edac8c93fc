/** How sample values become light: code points of ITU-T H.273 (ISO/IEC 23091-2). */
export interface Colour {
  readonly primaries: number
  readonly transfer: number
  readonly matrix: number
  readonly fullRange: boolean
}

/** CIE 1931 x and y, 0 to 1. */
export type Chromaticity = readonly [x: number, y: number]

/** The screen that the pictures were made on (SMPTE ST 2086); luminances in cd/m². */
export interface MasteringDisplay {
  readonly red: Chromaticity
  readonly green: Chromaticity
  readonly blue: Chromaticity
  readonly white: Chromaticity
  readonly maxLuminance: number
  readonly minLuminance: number
}

/** How bright the pictures get (CTA-861.3), in cd/m². */
export interface ContentLight {
  /** Of any pixel. */
  readonly maxCll: number
  /** Of any picture's average. */
  readonly maxFall: number
}

/** What a publisher says of its colours beside the bitstream; undefined: nothing. */
export interface ColourInfo {
  readonly colour: Omit<Colour, 'fullRange'> | undefined
  readonly mastering: MasteringDisplay | undefined
  readonly contentLight: ContentLight | undefined
}

/** What a decoder needs to know of the pictures before it sees one. */
export interface Picture {
  /** In pixels, after cropping. */
  readonly width: number
  readonly height: number
  /** Width : height of one pixel; [1, 1] when unknown. */
  readonly pixelAspect: readonly [number, number]
  /** undefined where the stream does not say. */
  readonly colour: Colour | undefined
}

/** VIDEO-RANGE of HLS. */
export type VideoRange = 'SDR' | 'HLG' | 'PQ'

/** rfc8216bis §4.4.6.2 by TransferCharacteristics; undefined for a transfer that is unknown or that it does not name. */
export function videoRangeOf(colour: Colour | undefined): VideoRange | undefined {
  return colour && RANGES.get(colour.transfer)
}

const RANGES: ReadonlyMap<number, VideoRange> = new Map([
  [1, 'SDR'],
  [6, 'SDR'],
  [13, 'SDR'],
  [14, 'SDR'],
  [15, 'SDR'],
  [16, 'PQ'],
  [18, 'HLG'],
])
