import {
  decodeTime,
  firstSampleAt,
  keyAtOrAfter,
  sampleSize,
  type SampleTable,
} from '../formats/isobmff/sample-table.ts'
import { NearcastError } from '../lib/errors.ts'
import { type PlayTrack, REORDER_MAX, secondsOf } from './play-track.ts'

/** The segments of one file: the same boundaries for all its renditions. */
export interface SegmentPlan {
  /** Start of each segment in seconds, and at the end the end of the last. */
  readonly starts: Float64Array
  /** By segment: the sample description of the video, whose init section it needs. */
  readonly description: Uint8Array
  /** First sample of each segment and, at the end, the end of the last; in the order of the tracks given. */
  readonly firstSamples: readonly Uint32Array[]
}

/** Wanted lengths; a key frame decides. */
export interface SegmentLengths {
  /** Up to `startUntil` seconds into the film, so that the first picture needs few bytes. */
  readonly startSeconds: number
  readonly startUntil: number
  readonly seconds: number
}

export const SEGMENT_LENGTHS: SegmentLengths = { startSeconds: 2, startUntil: 4, seconds: 4 }

/** Three days of film; a table that gives more is a few bytes that claim a century. */
const SEGMENTS_MAX = 65_536

/** Cuts at key frames of `video`, or by time alone when there is none. */
export function planSegments(
  video: PlayTrack | undefined,
  audios: readonly PlayTrack[],
  lengths: SegmentLengths,
): SegmentPlan {
  const cuts = video ? cutVideo(video, lengths) : { starts: [0], samples: [], descriptions: [0] }
  const videoEnd = video ? endSeconds(video) : 0
  const audioEnd = Math.max(0, ...audios.map(endSeconds))
  extendWithAudio(cuts, Math.max(videoEnd, cuts.starts.at(-1) ?? 0), audioEnd, lengths)
  if (cuts.starts.length > SEGMENTS_MAX) {
    throw new NearcastError('media-broken', `the file makes ${cuts.starts.length} segments`)
  }
  const end = Math.max(videoEnd, audioEnd, cuts.starts.at(-1) ?? 0)
  const starts = Float64Array.from([...cuts.starts, end])
  const pictures =
    video && Uint32Array.from({ length: starts.length }, (_, i) => cuts.samples[i] ?? video.end)
  return {
    starts,
    description: Uint8Array.from(
      cuts.starts,
      (_, i) => cuts.descriptions[i] ?? cuts.descriptions.at(-1) ?? 0,
    ),
    firstSamples: [
      ...(pictures ? [pictures] : []),
      ...audios.map((audio) => followStarts(audio, starts)),
    ],
  }
}

interface Cuts {
  readonly starts: number[]
  readonly samples: number[]
  readonly descriptions: number[]
}

function cutVideo(video: PlayTrack, lengths: SegmentLengths): Cuts {
  const { samples, first, end } = video
  const cuts: Cuts = {
    starts: [0],
    samples: [first],
    descriptions: [descriptionAt(samples, first)],
  }
  let start = 0
  let pending: { readonly sample: number; readonly seconds: number } | undefined
  const cut = (at: { readonly sample: number; readonly seconds: number }) => {
    start = at.seconds
    cuts.starts.push(at.seconds)
    cuts.samples.push(at.sample)
    cuts.descriptions.push(descriptionAt(samples, at.sample))
    pending = undefined
  }
  const changes = descriptionChanges(samples)
  for (let key = keyAtOrAfter(samples, first + 1); key < end; ) {
    const candidate = { sample: key, seconds: secondsOf(video, key) }
    // Half a picture late is not late: rates like 29.97 never meet whole seconds.
    const isLate = () => candidate.seconds - start > wantedSeconds(start, lengths) + TOLERANCE
    if (pending && isLate()) cut(pending)
    if (candidate.seconds > start) {
      if (isLate() || changes.has(key)) cut(candidate)
      else pending = candidate
    }
    key = keyAtOrAfter(samples, key + 1)
  }
  const left = endSeconds(video) - start
  if (pending && left > wantedSeconds(start, lengths) + TOLERANCE) cut(pending)
  return cuts
}

const TOLERANCE = 0.05

function wantedSeconds(start: number, lengths: SegmentLengths): number {
  return start < lengths.startUntil ? lengths.startSeconds : lengths.seconds
}

/** Sound that goes on after the last picture gets segments of its own. */
function extendWithAudio(
  cuts: Cuts,
  from: number,
  audioEnd: number,
  lengths: SegmentLengths,
): void {
  const silentStart = cuts.samples.length === 0
  let at = silentStart
    ? lengths.startSeconds
    : Math.max(from, (cuts.starts.at(-1) ?? 0) + lengths.seconds)
  while (audioEnd - at > lengths.seconds / 4 && cuts.starts.length <= SEGMENTS_MAX) {
    cuts.starts.push(at)
    at += wantedSeconds(at, lengths)
  }
}

function followStarts(audio: PlayTrack, starts: Float64Array): Uint32Array {
  const { samples, timing, first, end } = audio
  return Uint32Array.from(starts, (start, i) => {
    if (i === 0) return first
    if (i === starts.length - 1) return end
    const ticks = Math.round((start * timing.timescale) / timing.scale) + timing.origin
    return Math.min(end, Math.max(first, firstSampleAt(samples, ticks)))
  })
}

/** The last pictures in decoding order are not always the last ones seen. */
function endSeconds(track: PlayTrack): number {
  const { samples, first, end, timing } = track
  let latest = 0
  for (let i = Math.max(first, end - REORDER_MAX); i < end; i += 1) {
    const step = decodeTime(samples, i + 1) - decodeTime(samples, i)
    latest = Math.max(latest, secondsOf(track, i) + (step * timing.scale) / timing.timescale)
  }
  return latest
}

function descriptionAt(samples: SampleTable, index: number): number {
  const { description, first } = samples.chunks
  if (description === undefined) return 0
  let chunk = 0
  for (let low = 0, high = first.length - 1; low <= high; ) {
    const middle = (low + high) >>> 1
    if ((first[middle] ?? 0) <= index) {
      chunk = middle
      low = middle + 1
    } else high = middle - 1
  }
  return description[chunk] ?? 0
}

/** Samples with which another sample description begins. */
function descriptionChanges(samples: SampleTable): ReadonlySet<number> {
  const changes = new Set<number>()
  const { description, first } = samples.chunks
  description?.forEach((value, chunk) => {
    if (chunk > 0 && value !== description[chunk - 1]) changes.add(first[chunk] ?? 0)
  })
  return changes
}

/** Media bytes of each segment of the tracks with these first samples. */
export function segmentBytes(
  tracks: readonly { readonly track: PlayTrack; readonly firstSamples: Uint32Array }[],
): Float64Array {
  const count = (tracks[0]?.firstSamples.length ?? 1) - 1
  const bytes = new Float64Array(count)
  for (const { track, firstSamples } of tracks) {
    for (let segment = 0; segment < count; segment += 1) {
      const from = firstSamples[segment] ?? 0
      const to = firstSamples[segment + 1] ?? 0
      let sum = 0
      for (let i = from; i < to; i += 1) sum += sampleSize(track.samples, i)
      bytes[segment] = (bytes[segment] ?? 0) + sum
    }
  }
  return bytes
}
