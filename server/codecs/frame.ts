/** One coded picture or audio access unit. Times are ticks of its track's timescale. */
export interface Frame {
  readonly trackId: number
  readonly dts: number
  readonly pts: number
  /** A decoder can start here. Always true for audio. */
  readonly key: boolean
  /** Length-prefixed NAL units for avc and hevc, else one access unit. Never changed after it was handed over. */
  readonly data: Uint8Array
}
