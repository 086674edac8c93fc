/** How sample values become light: code points of ITU-T H.273 (ISO/IEC 23091-2). */
export interface Colour {
  readonly primaries: number
  readonly transfer: number
  readonly matrix: number
  readonly fullRange: boolean
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
