/** Timestamps of whole milliseconds put a part up to this much beside its true length. */
const JITTER_SECONDS = 0.002

/** rfc8216bis §4.4.4.9: a part is at least 85 % of the target. */
const PART_MIN_SHARE = 0.85

/**
 * PART-TARGET in seconds for a wish: a whole number of the lead rendition's frames nearest to it, such that the others'
 * frames too fill 85 % of it without passing it. `jittery`: the lead's timestamps are rounded to milliseconds.
 */
export function choosePartTarget(
  wishSeconds: number,
  leadFrameSeconds: number,
  otherFrameSeconds: readonly number[],
  jittery: boolean,
): number {
  const slack = jittery ? JITTER_SECONDS : 0
  const nearest = Math.max(1, Math.round(wishSeconds / leadFrameSeconds))
  for (let count = nearest; count <= nearest + 8; count++) {
    const target = upToMilliseconds(count * leadFrameSeconds + slack)
    if (otherFrameSeconds.every((frame) => fits(frame, target))) return target
  }
  return upToMilliseconds(Math.max(nearest * leadFrameSeconds + slack, ...otherFrameSeconds))
}

function fits(frameSeconds: number, target: number): boolean {
  const count = Math.floor(target / frameSeconds)
  return count > 0 && count * frameSeconds >= PART_MIN_SHARE * target
}

function upToMilliseconds(seconds: number): number {
  return Math.ceil(seconds * 1000 - 1e-6) / 1000
}
