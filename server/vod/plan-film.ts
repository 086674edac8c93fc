import {
  decodeTime,
  firstSampleAt,
  keyAtOrAfter,
  lastKeyWhile,
  sizeOfSamples,
  type SampleTable,
} from '../formats/isobmff/sample-table.ts'
import { NearcastError } from '../lib/errors.ts'
import { ENTRIES_A_STEP, type Steps } from '../lib/in-turns.ts'
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
export function* planSegments(
  video: PlayTrack | undefined,
  audios: readonly PlayTrack[],
  lengths: SegmentLengths,
): Steps<SegmentPlan> {
  const cuts = video
    ? yield* cutVideo(video, lengths)
    : { starts: [0], samples: [], descriptions: [0] }
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
  const sounds: Uint32Array[] = []
  for (const audio of audios) sounds.push(yield* followStarts(audio, starts))
  return {
    starts,
    description: Uint8Array.from(
      cuts.starts,
      (_, i) => cuts.descriptions[i] ?? cuts.descriptions.at(-1) ?? 0,
    ),
    firstSamples: [...(pictures ? [pictures] : []), ...sounds],
  }
}

interface Cuts {
  readonly starts: number[]
  readonly samples: number[]
  readonly descriptions: number[]
}

function* cutVideo(video: PlayTrack, lengths: SegmentLengths): Steps<Cuts> {
  const { samples, first, end } = video
  const cuts: Cuts = {
    starts: [0],
    samples: [first],
    descriptions: [descriptionAt(samples, first)],
  }
  const changes = yield* descriptionChanges(samples)
  let change = 0
  let start = 0
  let at = first
  for (let steps = 0; cuts.starts.length <= SEGMENTS_MAX; steps += 1) {
    if (steps % CUTS_A_STEP === 0) yield
    while ((changes[change] ?? end) <= at) change += 1
    const key = nextCut(video, { at, start, change: changes[change] ?? end }, lengths)
    if (key >= end) break
    if (steps > 2 * SEGMENTS_MAX) throw new NearcastError('media-broken', 'key frames out of order')
    at = key
    const seconds = secondsOf(video, key)
    if (seconds <= start) continue
    start = seconds
    cuts.starts.push(seconds)
    cuts.samples.push(key)
    cuts.descriptions.push(descriptionAt(samples, key))
  }
  return cuts
}

/** Each searches the tables some ten times. */
const CUTS_A_STEP = 64

interface CutAfter {
  /** Key sample the segment begins with, and its time. */
  readonly at: number
  readonly start: number
  /** The next sample with which another sample description begins. */
  readonly change: number
}

/**
 * The key sample to cut at: the last one that makes a segment no longer than wanted, else the next; earlier where the description
 * changes. `video.end`: none. Searched, not walked: a table of a few bytes may claim 67 million key frames.
 */
function nextCut(
  video: PlayTrack,
  { at, start, change }: CutAfter,
  lengths: SegmentLengths,
): number {
  const { samples, end } = video
  // Half a picture late is not late: rates like 29.97 never meet whole seconds.
  const isLate = (seconds: number) => seconds - start > wantedSeconds(start, lengths) + TOLERANCE
  const last = lastKeyWhile(samples, at + 1, end, (key) => !isLate(secondsOf(video, key)))
  if (last === undefined) return keyAtOrAfter(samples, at + 1)
  if (change <= last && secondsOf(video, change) > start) return change
  const next = keyAtOrAfter(samples, last + 1)
  if (secondsOf(video, last) <= start) return next
  return next < end || isLate(endSeconds(video)) ? last : end
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

function* followStarts(audio: PlayTrack, starts: Float64Array): Steps<Uint32Array> {
  const { samples, timing, first, end } = audio
  const firstSamples = new Uint32Array(starts.length).fill(end)
  firstSamples[0] = first
  for (let i = 1; i < starts.length - 1; i += 1) {
    if (i % CUTS_A_STEP === 0) yield
    const ticks = Math.round(((starts[i] ?? 0) * timing.timescale) / timing.scale) + timing.origin
    firstSamples[i] = Math.min(end, Math.max(first, firstSampleAt(samples, ticks)))
  }
  return firstSamples
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

/** Key samples with which another sample description begins, rising. */
function* descriptionChanges(samples: SampleTable): Steps<number[]> {
  const changes: number[] = []
  const { description, first } = samples.chunks
  if (description === undefined) return changes
  for (let chunk = 1; chunk < description.length; chunk += 1) {
    if (chunk % ENTRIES_A_STEP === 0) yield
    if (description[chunk] === description[chunk - 1]) continue
    const sample = first[chunk] ?? 0
    if (keyAtOrAfter(samples, sample) !== sample) continue
    changes.push(sample)
    if (changes.length > SEGMENTS_MAX) {
      throw new NearcastError('media-broken', 'its sample description changes without end')
    }
  }
  return changes
}

/** Media bytes of each segment of the tracks with these first samples. */
export function* segmentBytes(
  tracks: readonly { readonly track: PlayTrack; readonly firstSamples: Uint32Array }[],
): Steps<Float64Array> {
  const count = (tracks[0]?.firstSamples.length ?? 1) - 1
  const bytes = new Float64Array(count)
  let summed = 0
  for (const { track, firstSamples } of tracks) {
    for (let segment = 0; segment < count; segment += 1) {
      const from = firstSamples[segment] ?? 0
      const to = firstSamples[segment + 1] ?? 0
      summed += 1 + Math.max(0, to - from)
      if (summed >= ENTRIES_A_STEP) {
        summed = 0
        yield
      }
      bytes[segment] = (bytes[segment] ?? 0) + sizeOfSamples(track.samples, from, to)
    }
  }
  return bytes
}
