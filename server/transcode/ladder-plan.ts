/** `auto`, nothing, or the renditions that the operator wants. */
export type LadderWish = 'auto' | 'off' | readonly WishedRung[]

export interface WishedRung {
  /** Of the shorter side, in pixels: 720 of a picture that stands upright is its width. */
  readonly height: number
  readonly bitsPerSecond?: number | undefined
}

/** What a ladder is made of. */
export interface LadderSource {
  readonly width: number
  readonly height: number
  readonly framesPerSecond: number
  /** Of its picture, as its publisher says; undefined when it doesn't. */
  readonly bitsPerSecond: number | undefined
}

export interface PlannedRung {
  readonly id: string
  readonly width: number
  readonly height: number
  /** The encoder's bound. */
  readonly bitsPerSecond: number
  /** H.264 level times ten. */
  readonly level: number
  /** Pixels a second: what it costs goes with them. */
  readonly pixelRate: number
}

const AUTO_LINES = [720, 480, 360]
/** A smaller picture has no use beside a source that is hardly larger. */
const NEAREST = 0.8
/** For 30 pictures a second. */
const BITS: readonly (readonly [lines: number, bits: number])[] = [
  [1080, 4_500_000],
  [720, 2_500_000],
  [480, 1_200_000],
  [360, 700_000],
  [240, 350_000],
  [0, 200_000],
]
const BITS_MIN = 150_000
const FAST = 40

/** The rungs below a source, the largest first; none for a source of 360 lines or less, unless they are listed. */
export function planRungs(source: LadderSource, wish: LadderWish): readonly PlannedRung[] {
  if (wish === 'off') return []
  const wished: readonly WishedRung[] =
    wish === 'auto' ? AUTO_LINES.map((height) => ({ height })) : wish
  const most = Math.min(source.width, source.height) * (wish === 'auto' ? NEAREST : 1)
  return wished
    .filter(({ height }) => (wish === 'auto' ? height <= most : height < most))
    .toSorted((a, b) => b.height - a.height)
    .map((one) => planRung(source, one))
}

function planRung(source: LadderSource, { height: lines, bitsPerSecond }: WishedRung): PlannedRung {
  const scale = lines / Math.min(source.width, source.height)
  const width = even(source.width * scale)
  const height = even(source.height * scale)
  const { framesPerSecond } = source
  return {
    id: `v${lines}`,
    width,
    height,
    bitsPerSecond: bitsPerSecond ?? usualBits(source, lines),
    level: levelOf(width, height, framesPerSecond),
    pixelRate: width * height * framesPerSecond,
  }
}

function usualBits({ framesPerSecond, bitsPerSecond }: LadderSource, lines: number): number {
  const [, usual] = BITS.find(([from]) => lines >= from) ?? [0, BITS_MIN]
  const bits = framesPerSecond > FAST ? usual * 1.5 : usual
  // Who is sent less by the publisher must not be sent more by a smaller picture.
  const most = bitsPerSecond === undefined ? bits : bitsPerSecond * NEAREST
  return Math.round(Math.max(BITS_MIN, Math.min(bits, most)))
}

/** Chroma has half the lines and half the columns. */
function even(pixels: number): number {
  return Math.max(2, 2 * Math.round(pixels / 2))
}

/** ITU-T H.264 Table A-1: level times ten, macroblocks a second, macroblocks a picture. */
const LEVELS: readonly (readonly [level: number, rate: number, size: number])[] = [
  [30, 40_500, 1620],
  [31, 108_000, 3600],
  [32, 216_000, 5120],
  [40, 245_760, 8192],
  [42, 522_240, 8704],
  [50, 589_824, 22_080],
  [51, 983_040, 36_864],
]
const LEVEL_MOST = 52

function levelOf(width: number, height: number, framesPerSecond: number): number {
  const size = Math.ceil(width / 16) * Math.ceil(height / 16)
  // Measured of a few pictures only.
  const rate = size * framesPerSecond * 1.05
  return LEVELS.find((one) => rate <= one[1] && size <= one[2])?.[0] ?? LEVEL_MOST
}
