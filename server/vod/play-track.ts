import type { Track } from '../codecs/track.ts'
import type { MovieTrack } from '../formats/isobmff/read-movie.ts'
import {
  decodeTime,
  expandSamples,
  firstSampleAt,
  keyAtOrAfter,
  lastKeyWhile,
  lastNotAbove,
  presentationTime,
  type SampleSpan,
  type SampleTable,
} from '../formats/isobmff/sample-table.ts'
import { ENTRIES_A_STEP, forEntries, type Steps } from '../lib/in-turns.ts'

/** One track that is played, with its place on the timeline that begins at 0. Ticks are of `timescale`. */
export interface PlayTrack {
  readonly source: MovieTrack
  /** By sample description. */
  readonly tracks: readonly [Track, ...Track[]]
  /** Whole sample entries from the source by sample description; undefined: write one. */
  readonly entries: readonly (Uint8Array | undefined)[]
  readonly samples: SampleTable
  /** The samples that are sent: from `first` up to `end`. */
  readonly first: number
  readonly end: number
  readonly timing: Timing
}

/** How the source's times become those of the segments. */
export interface Timing {
  /** Ticks a second of the segments: the source's, times `scale`. */
  readonly timescale: number
  readonly scale: number
  /** Added to a decode time × scale. */
  readonly decodeOffset: number
  /** Added to a composition offset × scale. */
  readonly compositionOffset: number
  /** Media time that the edit list in the init section presents at 0, in ticks; 0: none is needed. */
  readonly mediaTime: number
  /** Presentation ticks of the source that are time 0 of the playlist. */
  readonly origin: number
  readonly preroll: Preroll | undefined
}

/**
 * Pictures before an edit list's start that the first shown one needs. MSE throws away what is before 0, and with it all up to
 * the next key frame; so they are shown, all within a millisecond at the start.
 */
export interface Preroll {
  /** In decoding order, up to the first picture that is to be seen. */
  readonly before: number
  /** Presentation ticks by sample, for the pictures not to be seen. */
  readonly shownAt: ReadonlyMap<number, number>
}

/** Which samples of a track its edit list lets be seen, and when that begins. */
export interface Visible {
  readonly first: number
  readonly end: number
  /** Presentation time of the first sample that is seen, in seconds. */
  readonly startSeconds: number
}

/** A transform codec's frame is whole only with the one before it. More would lengthen the film for players that keep them. */
const AUDIO_PREROLL = 1

/** undefined when nothing is left to see. */
export function* visibleSpan(source: MovieTrack, samples: SampleTable): Steps<Visible | undefined> {
  const { edit, handler, timescale } = source
  const first =
    handler === 'vide' ? firstPicture(samples, edit.start) : firstSound(samples, edit.start)
  let end = samples.compositions === undefined ? firstSampleAt(samples, edit.end) : samples.count
  while (end > first && presentationTime(samples, end - 1) >= edit.end) {
    end -= 1
    if (end % ENTRIES_A_STEP === 0) yield
  }
  if (end <= first || !isAnySeen(source, samples, end)) return undefined
  const earliest = presentationTime(samples, first) - edit.start
  return { first, end, startSeconds: (Math.max(0, earliest) + edit.delay) / timescale }
}

/** Not when the edit list begins after the last picture or sound. */
function isAnySeen({ edit, handler }: MovieTrack, samples: SampleTable, end: number): boolean {
  if (handler !== 'vide') return decodeTime(samples, end) > edit.start
  for (let i = end - 1; i >= Math.max(0, end - REORDER_MAX); i -= 1) {
    if (presentationTime(samples, i) >= edit.start) return true
  }
  return false
}

/** The last key frame that is not after `time`, or else the first one. */
function firstPicture(samples: SampleTable, time: number): number {
  if (samples.keys?.length === 0) return 0
  const isBefore = (key: number) => presentationTime(samples, key) <= time
  return lastKeyWhile(samples, 0, samples.count, isBefore) ?? keyAtOrAfter(samples, 0)
}

function firstSound(samples: SampleTable, time: number): number {
  const { first, time: starts, delta } = samples.times
  const run = lastNotAbove(starts, time)
  const step = delta[run] ?? 0
  const inRun = step === 0 ? 0 : Math.max(0, Math.floor((time - (starts[run] ?? 0)) / step))
  return Math.max(0, Math.min(samples.count - 1, (first[run] ?? 0) + inRun) - AUDIO_PREROLL)
}

/** `originSeconds`: presentation time that is 0 in the playlist. */
export function* timingOf(
  source: MovieTrack,
  samples: SampleTable,
  visible: Visible,
  originSeconds: number,
): Steps<Timing> {
  const shift = source.edit.delay - source.edit.start - Math.round(originSeconds * source.timescale)
  return source.handler === 'vide'
    ? yield* videoTiming(source, samples, visible, shift)
    : audioTiming(source, samples, visible, shift)
}

/** A negative start is the encoder's priming: an edit list tells players to throw it away. */
function audioTiming(
  source: MovieTrack,
  samples: SampleTable,
  visible: Visible,
  shift: number,
): Timing {
  const mediaTime = Math.max(0, -(presentationTime(samples, visible.first) + shift))
  return {
    timescale: source.timescale,
    scale: 1,
    decodeOffset: shift + mediaTime,
    compositionOffset: 0,
    mediaTime,
    origin: -shift,
    preroll: undefined,
  }
}

/**
 * The first key frame's decode time is made its presentation time: players that go by decode times (hls.js) then see each segment
 * begin where the playlist says. What composition offsets delay, an edit list takes back; negative offsets would do without one,
 * but ffmpeg and what is built on it shows such fragments too late.
 */
function* videoTiming(
  source: MovieTrack,
  samples: SampleTable,
  visible: Visible,
  shift: number,
): Steps<Timing> {
  const preroll = findPreroll(source, samples, visible)
  const hidden = preroll?.shownAt.size ?? 0
  const scale = Math.max(1, Math.ceil((hidden * 1000) / source.timescale))
  const least = yield* leastComposition(samples, visible)
  const delay = ((samples.compositions?.[visible.first] ?? 0) - least) * scale
  const plain: Timing = {
    timescale: source.timescale * scale,
    scale,
    decodeOffset: (shift + least) * scale + hidden + delay,
    compositionOffset: -least * scale,
    mediaTime: delay,
    origin: -shift,
    preroll,
  }
  const until = Math.min(visible.end, (preroll?.before ?? visible.first) + REORDER_MAX)
  const span = expandSamples(samples, visible.first, until)
  const early = Math.max(0, -(decodeTimes(plain, span, visible.first)[0] ?? 0))
  const moved = {
    ...plain,
    decodeOffset: plain.decodeOffset + early,
    mediaTime: plain.mediaTime + early,
  }
  const lowest = segmentTimes(moved, span, visible.first).compositions.reduce(
    (low, composition) => Math.min(low, composition),
    0,
  )
  return {
    ...moved,
    compositionOffset: moved.compositionOffset - lowest,
    mediaTime: moved.mediaTime - lowest,
  }
}

function* leastComposition({ compositions }: SampleTable, { first, end }: Visible): Steps<number> {
  if (compositions === undefined) return 0
  let least = compositions[first] ?? 0
  yield* forEntries(end - first, (from, to) => {
    for (let i = from; i < to; i += 1) least = Math.min(least, compositions[first + i] ?? 0)
  })
  return least
}

/** Pictures that may come between two in decoding order; no codec allows more than 16. */
export const REORDER_MAX = 32

/** Pictures more than this before the edit would be a glimpse of minutes; they are worth more than a clean start. */
const PREROLL_MAX = 1024

function findPreroll(
  source: MovieTrack,
  samples: SampleTable,
  visible: Visible,
): Preroll | undefined {
  const start = source.edit.start
  const hidden: { index: number; time: number }[] = []
  let before: number | undefined
  for (let i = visible.first; i < Math.min(visible.end, visible.first + PREROLL_MAX); i += 1) {
    const time = presentationTime(samples, i)
    if (time < start) hidden.push({ index: i, time })
    else before ??= i
    if (before !== undefined && i > before + REORDER_MAX) break
  }
  if (hidden.length === 0 || before === undefined) return undefined
  hidden.sort((a, b) => a.time - b.time)
  return { before, shownAt: new Map(hidden.map(({ index }, rank) => [index, rank])) }
}

/** Times of the samples of a span as the segment has them. */
export interface SegmentTimes {
  readonly baseDecodeTime: number
  readonly durations: readonly number[]
  readonly compositions: readonly number[]
}

/** `from` is the index of the span's first sample. */
export function segmentTimes(timing: Timing, span: SampleSpan, from: number): SegmentTimes {
  const { scale, compositionOffset, mediaTime, preroll } = timing
  const decodes = decodeTimes(timing, span, from)
  const durations: number[] = []
  const compositions: number[] = []
  for (let i = 0; i < span.sizes.length; i += 1) {
    const now = decodes[i] ?? 0
    durations.push(Math.max(0, (decodes[i + 1] ?? now) - now))
    const shownAt = preroll?.shownAt.get(from + i)
    compositions.push(
      shownAt === undefined
        ? (span.compositions[i] ?? 0) * scale + compositionOffset
        : shownAt + mediaTime - now,
    )
  }
  return { baseDecodeTime: Math.max(0, decodes[0] ?? 0), durations, compositions }
}

/** One more than the samples. Before the first picture that is seen, decode times are one tick apart. */
function decodeTimes(
  { scale, decodeOffset, preroll }: Timing,
  span: SampleSpan,
  from: number,
): Float64Array {
  const decodes = new Float64Array(span.times.length)
  for (let i = 0; i < decodes.length; i += 1)
    decodes[i] = (span.times[i] ?? 0) * scale + decodeOffset
  const anchor = (preroll?.before ?? 0) - from
  const at = decodes[anchor]
  if (anchor > 0 && at !== undefined) {
    for (let i = 0; i < anchor; i += 1) decodes[i] = at - (anchor - i)
  }
  return decodes
}

/** Presentation time of a sample on the playlist's timeline, in seconds. */
export function secondsOf(track: Pick<PlayTrack, 'samples' | 'timing'>, index: number): number {
  const { samples, timing } = track
  const ticks = presentationTime(samples, index) - timing.origin
  return Math.max(0, (ticks * timing.scale) / timing.timescale)
}
