export interface WindowLimits {
  /** Media bytes kept; above, the oldest segments go, listed or not. */
  readonly bytes: number
}

export const DEFAULT_WINDOW_LIMITS: WindowLimits = { bytes: 256 * 1024 * 1024 }
