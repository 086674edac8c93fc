import type { Track } from '../codecs/track.ts'
import {
  type FragmentRun,
  type FragmentSample,
  type FragmentTrack,
  writeFragmentHeader,
} from '../formats/isobmff/write-fragment.ts'
import { writeInit } from '../formats/isobmff/write-init.ts'
import { expandSamples, type SampleSpan } from '../formats/isobmff/sample-table.ts'
import { NearcastError } from '../lib/errors.ts'
import { ENTRIES_A_STEP, type Steps } from '../lib/in-turns.ts'
import type { Rendition } from './film.ts'
import { nalLengthSize, type PictureFraming } from './mend-pictures.ts'
import { type SegmentTimes, segmentTimes } from './play-track.ts'

/** A segment as what stands before the media bytes, and where those lie in the object. */
export interface SegmentLayout {
  readonly header: Uint8Array
  readonly reads: readonly PlannedRead[]
  /** Header included. */
  readonly length: number
  /** undefined for sound, and for codecs without NAL units. */
  readonly pictures: PictureFraming | undefined
}

/** One read of the object, and the pieces of it that are sent: `start` counts from the beginning of the object. */
export interface PlannedRead {
  readonly start: number
  readonly end: number
  readonly pieces: readonly { readonly start: number; readonly end: number }[]
}

/** Bytes of other tracks between wanted ones are cheaper to read over than to ask again for: about what 30 ms bring. */
const HOLE_MAX = 1024 * 1024
/** A file that scatters the samples of one segment more than this is not worth a request each. */
const READS_MAX = 64
/** Samples of a track lie in the order they are decoded in; sorting 65,536 in no order takes too long. */
const BACKWARD_MAX = 1024

/**
 * Lays out a segment: a moof with one trun for each stretch of the source that belongs to one track, and the source's bytes in their
 * own order as mdat. Nothing is copied together, and in a well-made file all of it is one read.
 */
export function* layOutSegment(rendition: Rendition, segment: number): Steps<SegmentLayout> {
  const stretches: Stretch[] = []
  let pictures: PictureFraming | undefined
  const tracks: FragmentTrack[] = []
  for (const { track, firstSamples } of rendition.parts) {
    const from = firstSamples[segment] ?? 0
    const to = firstSamples[segment + 1] ?? from
    if (to <= from) continue
    yield
    const span = expandSamples(track.samples, from, to)
    yield
    const times = segmentTimes(track.timing, span, from)
    checkTimes(times)
    yield
    const own: Stretch[] = []
    let backward = 0
    for (let i = 0; i < span.sizes.length; i += 1) {
      if (i % ENTRIES_A_STEP === 0) yield
      const start = span.offsets[i] ?? 0
      const end = start + (span.sizes[i] ?? 0)
      const sample: FragmentSample = {
        size: end - start,
        duration: times.durations[i] ?? 0,
        compositionOffset: times.compositions[i] ?? 0,
        key: span.keys[i] === 1,
      }
      const last = own.at(-1)
      if (last?.end === start) {
        last.end = end
        last.samples.push(sample)
      } else own.push({ start, end, samples: [sample], offset: 0 })
      if (last !== undefined && start < last.start) backward += 1
    }
    if (backward > BACKWARD_MAX)
      throw new NearcastError('media-broken', `one segment goes back ${backward} times in the file`)
    for (const stretch of own) stretches.push(stretch)
    yield
    if (track.source.handler === 'vide') pictures = framingOf(track.tracks, span)
    const { baseDecodeTime } = times
    tracks.push({ trackId: track.tracks[0].id, baseDecodeTime, runs: own })
  }
  yield
  // The same order on every machine: by place, and where two tracks claim one place, by track.
  stretches.sort((a, b) => a.start - b.start)
  const reads = planReads(stretches)
  yield
  let payloadLength = 0
  for (const stretch of stretches) {
    stretch.offset = payloadLength
    payloadLength += stretch.end - stretch.start
  }
  const header = writeFragmentHeader({
    sequence: segment + 1,
    tracks,
    payloadLength,
  })
  return { header, reads, length: header.length + payloadLength, pictures }
}

function framingOf(
  tracks: readonly Track[],
  { offsets, sizes }: SampleSpan,
): PictureFraming | undefined {
  const lengthSize = nalLengthSize(tracks)
  const codec = tracks[0]?.codec
  if (lengthSize === undefined || (codec !== 'avc' && codec !== 'hevc')) return undefined
  const count = offsets.length
  const ends = new Float64Array(count)
  let rises = true
  for (let i = 0; i < count; i += 1) {
    ends[i] = (offsets[i] ?? 0) + (sizes[i] ?? 0)
    if (i > 0 && (offsets[i] ?? 0) < (offsets[i - 1] ?? 0)) rises = false
  }
  if (rises) return { codec, lengthSize, starts: offsets, ends }
  const order = Array.from({ length: count }, (_, i) => i)
  order.sort((a, b) => (offsets[a] ?? 0) - (offsets[b] ?? 0))
  return {
    codec,
    lengthSize,
    starts: Float64Array.from(order, (i) => offsets[i] ?? 0),
    ends: Float64Array.from(order, (i) => ends[i] ?? 0),
  }
}

/** The fields of tfdt and trun. Only tables that contradict themselves give more. */
function checkTimes({ baseDecodeTime, durations, compositions }: SegmentTimes): void {
  const fits =
    Number.isSafeInteger(baseDecodeTime) &&
    durations.every((duration) => duration <= 0xffff_ffff) &&
    compositions.every((offset) => offset >= -0x8000_0000 && offset <= 0x7fff_ffff)
  if (!fits) throw new NearcastError('media-broken', 'sample times that fit in no segment')
}

interface Stretch extends FragmentRun {
  readonly start: number
  end: number
  offset: number
  readonly samples: FragmentSample[]
}

function planReads(stretches: readonly Stretch[]): readonly PlannedRead[] {
  const reads: { start: number; end: number; pieces: { start: number; end: number }[] }[] = []
  for (const { start, end } of stretches) {
    if (start === end) continue
    const read = reads.at(-1)
    // A stretch that begins before the last one's end is in a broken file; it gets a read of its own.
    if (read === undefined || start < read.end || start - read.end > HOLE_MAX) {
      reads.push({ start, end, pieces: [{ start, end }] })
      continue
    }
    const piece = read.pieces.at(-1)
    if (piece?.end === start) piece.end = end
    else read.pieces.push({ start, end })
    read.end = end
  }
  if (reads.length > READS_MAX) {
    throw new NearcastError('media-broken', `one segment is in ${reads.length} places of the file`)
  }
  return reads
}

/** The init section for a sample description of the video; undefined when there is no such description. */
export function initSection(rendition: Rendition, description: number): Uint8Array | undefined {
  const tracks = rendition.parts.map(({ track }) =>
    track.source.handler === 'vide' ? track.tracks[description] : track.tracks[0],
  )
  if (rendition.parts.every(({ track }) => track.source.handler !== 'vide') && description > 0) {
    return undefined
  }
  const present = tracks.filter((track) => track !== undefined)
  if (present.length < tracks.length) return undefined
  const mediaTimes = new Map<number, number>()
  const sampleEntries = new Map<number, Uint8Array>()
  for (const { track } of rendition.parts) {
    const { id } = track.tracks[0]
    if (track.timing.mediaTime > 0) mediaTimes.set(id, track.timing.mediaTime)
    const entry = track.entries[track.source.handler === 'vide' ? description : 0]
    if (entry) sampleEntries.set(id, entry)
  }
  return writeInit(present, { mediaTimes, sampleEntries })
}
