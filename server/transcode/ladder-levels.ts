import type { Effort, Encoder } from './encoder.ts'
import type { LadderSource, PlannedRung } from './ladder-plan.ts'

/** One of the things a ladder can do. */
export interface LadderLevel {
  readonly rungs: readonly PlannedRung[]
  readonly effort: Effort
  /** Cores that it keeps busy, about. */
  readonly cores: number
}

/** A decoder's share of what encoding the same pixels costs. */
const DECODING = 0.2
const LESS_EFFORT = 0.7
/** Where the trial said nothing of the cost. */
const SECONDS_PER_MEGAPIXEL = 0.02
/** Of the machine; what comes and goes beside us needs room. */
const HEADROOM = 0.15
/** One thread is no busier than this. */
const THREAD_BUSY = 0.6
const THREADS_MAX = 4

/** From all that was planned to the smallest rung alone: less effort first, then one rung fewer each, the most costly one. */
export function ladderLevels(
  source: LadderSource,
  rungs: readonly PlannedRung[],
  encoder: Encoder,
): readonly LadderLevel[] {
  const perPixel = (encoder.secondsPerMegapixel || SECONDS_PER_MEGAPIXEL) / 1e6
  const decoding = source.width * source.height * source.framesPerSecond * DECODING * perPixel
  const level = (some: readonly PlannedRung[], effort: Effort): LadderLevel => {
    const encoding = some.reduce((sum, { pixelRate }) => sum + pixelRate * perPixel, 0)
    const share = effort === 'less' ? LESS_EFFORT : 1
    return { rungs: some, effort, cores: decoding + encoding * share }
  }
  const fewer = rungs.map((_, i) => level(rungs.slice(i), encoder.hardware ? 'usual' : 'less'))
  return encoder.hardware || rungs.length === 0 ? fewer : [level(rungs, 'usual'), ...fewer]
}

export function hasRoom(level: LadderLevel, idleCores: number, cores: number): boolean {
  return level.cores <= idleCores - HEADROOM * cores
}

/** Said to the operator where not even the smallest rung fits. */
export function noRoom(levels: readonly LadderLevel[], idleCores: number, cores: number): string {
  const least = levels.at(-1)?.cores ?? 0
  return `the machine has no room: ${idleCores.toFixed(1)} of ${cores} cores are idle, the smallest rung needs ${least.toFixed(1)} and ${(HEADROOM * cores).toFixed(1)} to spare`
}

/** Slices of a picture that are encoded at the same time: they cost quality, so no more than needed. */
export function threadsFor(level: LadderLevel, cores: number): number {
  const needed = Math.ceil(level.cores / THREAD_BUSY)
  return Math.max(1, Math.min(needed, cores, THREADS_MAX))
}
