/** What is known of a live picture at one moment. Seconds. */
export interface FollowInput {
  /** From the picture to the live edge. */
  readonly latency: number
  /** The server's hold-back and what stalls have taught. */
  readonly target: number
  /** Media buffered after the picture. */
  readonly ahead: number
  /** The rate now. */
  readonly rate: number
  /** Just opened: nobody has watched yet, so a jump disturbs nobody. */
  readonly starting: boolean
}

export type FollowStep =
  | { readonly kind: 'rate'; readonly rate: number }
  /** Move the picture on by so many seconds. */
  | { readonly kind: 'jump'; readonly seconds: number }

/** Speeding up is the gentle way for less than this; above, a jump. */
const JUMP_SECONDS = 3
const START_JUMP_SECONDS = 0.35
/** Catching up begins above the first and ends below the second, so that the rate does not flutter. */
const BEGIN_SECONDS = 0.1
const END_SECONDS = 0.03
const MAX_RATE = 1.2
const RATE_STEP = 0.05

/**
 * Keeps a live picture at its target. hls.js stops speeding up below one second of buffer and never jumps,
 * so it would stay where its first key frame was.
 */
export function followLive(input: FollowInput): FollowStep {
  const late = input.latency - input.target
  if (late > (input.starting ? START_JUMP_SECONDS : JUMP_SECONDS)) {
    const reachable = input.ahead - input.target * 0.5
    if (reachable >= late || !input.starting) return { kind: 'jump', seconds: late }
  }
  if (input.ahead < input.target * 0.3) return { kind: 'rate', rate: input.ahead < 0.05 ? 1 : 0.95 }
  const catching = input.rate > 1
  if (late > (catching ? END_SECONDS : BEGIN_SECONDS) && input.ahead > input.target * 0.6)
    return { kind: 'rate', rate: rateFor(late) }
  return { kind: 'rate', rate: 1 }
}

function rateFor(late: number): number {
  const steps = Math.ceil((late * 0.5) / RATE_STEP)
  return Math.min(MAX_RATE, Math.round((1 + steps * RATE_STEP) * 100) / 100)
}

/** Added to the target by each stall, and forgotten again while playing is smooth. */
export const STALL_SECONDS = 0.25
const STALL_LIMIT_SECONDS = 1.5
const FORGET_PER_SECOND = 0.02

export function penaltyAfterStall(penalty: number): number {
  return Math.min(STALL_LIMIT_SECONDS, penalty + STALL_SECONDS)
}

export function penaltyAfterPlaying(penalty: number, seconds: number): number {
  return Math.max(0, penalty - seconds * FORGET_PER_SECOND)
}
