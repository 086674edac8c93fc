const COMMON_FRAME_RATES = [
  24_000 / 1001,
  24,
  25,
  30_000 / 1001,
  30,
  48,
  50,
  60_000 / 1001,
  60,
  100,
  120_000 / 1001,
  120,
]

/** Timestamps of whole milliseconds measure 29.97 as 29.94 to 30.01: the rate that is meant, where one is near. */
export function commonFrameRate(measured: number): number {
  for (const rate of COMMON_FRAME_RATES) {
    if (Math.abs(measured - rate) / rate < 0.0005) return rate
  }
  const near = COMMON_FRAME_RATES.filter((rate) => Math.abs(measured - rate) / rate < 0.005)
  return near.find(Number.isInteger) ?? near[0] ?? Math.round(measured * 100) / 100
}
