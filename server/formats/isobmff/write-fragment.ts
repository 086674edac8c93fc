import { NearcastError } from '../../lib/errors.ts'
import { fullBox, u32, u64 } from './write-box.ts'

/** Size in bytes, times in ticks of the track; the composition offset may be negative. */
export interface FragmentSample {
  readonly size: number
  readonly duration: number
  readonly compositionOffset: number
  /** A decoder can start at this sample. */
  readonly key: boolean
}

/** Samples that lie one behind the other in the payload, the first at `offset`. */
export interface FragmentRun {
  readonly offset: number
  readonly samples: readonly FragmentSample[]
}

export interface FragmentTrack {
  readonly trackId: number
  /** Decode time of the first sample, in ticks. */
  readonly baseDecodeTime: number
  /** In decoding order; later runs continue where the former ended in time. */
  readonly runs: readonly FragmentRun[]
}

export interface FragmentHeader {
  /** mfhd sequence number, from 1. */
  readonly sequence: number
  readonly tracks: readonly FragmentTrack[]
  readonly payloadLength: number
}

export interface Fragment extends Omit<FragmentHeader, 'payloadLength'> {
  readonly payload: readonly Uint8Array[]
}

/** `moof`, the head of `mdat`, then the payload's own buffers, not copied (ISO/IEC 14496-12 §8.8). */
export function writeFragment(fragment: Fragment): readonly Uint8Array[] {
  const payloadLength = fragment.payload.reduce((length, bytes) => length + bytes.length, 0)
  return [writeFragmentHeader({ ...fragment, payloadLength }), ...fragment.payload]
}

/** `moof` and the head of `mdat` for a payload of known length that follows, for example bytes of a source file as they are. */
export function writeFragmentHeader(fragment: FragmentHeader): Buffer {
  const mdatSize = fragment.payloadLength + 8
  if (mdatSize > 0xffffffff) {
    throw new NearcastError('internal', `fragment of ${fragment.payloadLength} bytes is too long`)
  }
  const sequence = fullBox('mfhd', 0, 0, u32(fragment.sequence))
  const tracks = fragment.tracks.map(planTrack)
  const moofSize = tracks.reduce((sum, { size }) => sum + size, 8 + sequence.length)
  const out = Buffer.allocUnsafe(moofSize + 8)
  let at = writeHead(out, 0, moofSize, MOOF)
  at += sequence.copy(out, at)
  // Data offsets count from the start of the moof.
  for (const track of tracks) at = writeTrack(out, at, track, moofSize + 8)
  writeHead(out, at, mdatSize, MDAT)
  return out
}

const TFHD_DEFAULT_DURATION = 0x8
const TFHD_DEFAULT_FLAGS = 0x20
const TFHD_BASE_IS_MOOF = 0x20000
const TRUN_DATA_OFFSET = 0x1
const TRUN_DURATION = 0x100
const TRUN_SIZE = 0x200
const TRUN_FLAGS = 0x400
const TRUN_COMPOSITION_OFFSET = 0x800

const MOOF = 0x6d6f6f66
const MDAT = 0x6d646174
const TRAF = 0x74726166
const TRUN = 0x7472756e

function writeHead(out: Buffer, at: number, size: number, type: number): number {
  out.writeUInt32BE(size, at)
  return out.writeUInt32BE(type, at + 4)
}

/** What all samples of a track fragment share stands once, in tfhd; undefined where they differ. */
interface Shared {
  readonly duration: number | undefined
  readonly flags: number | undefined
  readonly zeroOffsets: boolean
}

interface PlannedTrack {
  readonly runs: readonly FragmentRun[]
  readonly shared: Shared
  /** tfhd and tfdt. */
  readonly head: Buffer
  /** Of the whole traf. */
  readonly size: number
  readonly bytesASample: number
}

function planTrack(track: FragmentTrack): PlannedTrack {
  const shared = sharedOf(track.runs)
  let flags = TFHD_BASE_IS_MOOF
  const defaults: number[] = []
  if (shared.duration !== undefined) {
    flags |= TFHD_DEFAULT_DURATION
    defaults.push(shared.duration)
  }
  if (shared.flags !== undefined) {
    flags |= TFHD_DEFAULT_FLAGS
    defaults.push(shared.flags)
  }
  const head = Buffer.concat([
    fullBox('tfhd', 0, flags, u32(track.trackId, ...defaults)),
    fullBox('tfdt', 1, 0, u64(track.baseDecodeTime)),
  ])
  const bytesASample =
    4 +
    (shared.duration === undefined ? 4 : 0) +
    (shared.flags === undefined ? 4 : 0) +
    (shared.zeroOffsets ? 0 : 4)
  const size = track.runs.reduce(
    (sum, { samples }) => sum + RUN_HEAD + samples.length * bytesASample,
    8 + head.length,
  )
  return { runs: track.runs, shared, head, size, bytesASample }
}

/** Size, type, version and flags, count and data offset. */
const RUN_HEAD = 20

/** Straight into its place: a hostile film has a run for each of 65,536 samples. */
function writeTrack(out: Buffer, start: number, track: PlannedTrack, payloadStart: number): number {
  const { runs, shared, head, size, bytesASample } = track
  let flags = TRUN_DATA_OFFSET | TRUN_SIZE
  if (shared.duration === undefined) flags |= TRUN_DURATION
  if (shared.flags === undefined) flags |= TRUN_FLAGS
  if (!shared.zeroOffsets) flags |= TRUN_COMPOSITION_OFFSET
  let at = writeHead(out, start, size, TRAF)
  at += head.copy(out, at)
  for (const { samples, offset } of runs) {
    at = writeHead(out, at, RUN_HEAD + samples.length * bytesASample, TRUN)
    at = out.writeUInt32BE(0x1000000 | flags, at)
    at = out.writeUInt32BE(samples.length, at)
    at = out.writeInt32BE(payloadStart + offset, at)
    for (const sample of samples) {
      if (shared.duration === undefined) at = out.writeUInt32BE(sample.duration, at)
      at = out.writeUInt32BE(sample.size, at)
      if (shared.flags === undefined) at = out.writeUInt32BE(sampleFlags(sample), at)
      if (!shared.zeroOffsets) at = out.writeInt32BE(sample.compositionOffset, at)
    }
  }
  return at
}

function sharedOf(runs: readonly FragmentRun[]): Shared {
  const first = runs[0]?.samples[0]
  if (!first) return { duration: 0, flags: 0, zeroOffsets: true }
  let sameDuration = true
  let sameFlags = true
  let zeroOffsets = true
  for (const run of runs) {
    for (const sample of run.samples) {
      if (sample.duration !== first.duration) sameDuration = false
      if (sample.key !== first.key) sameFlags = false
      if (sample.compositionOffset !== 0) zeroOffsets = false
    }
  }
  return {
    duration: sameDuration ? first.duration : undefined,
    flags: sameFlags ? sampleFlags(first) : undefined,
    zeroOffsets,
  }
}

/** §8.8.3.1: depends on no other sample, or on others and not a sync sample. */
function sampleFlags(sample: FragmentSample): number {
  return sample.key ? 0x02000000 : 0x01010000
}
