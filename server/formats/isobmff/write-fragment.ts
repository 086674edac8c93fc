import { NearcastError } from '../../lib/errors.ts'
import { box, fullBox, u32, u64 } from './write-box.ts'

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
  // Two passes: data offsets count from the start of the moof, whose size depends on nothing but the number of runs.
  const moofSize = moof(fragment, 0).length
  const mdat = Buffer.allocUnsafe(8)
  mdat.writeUInt32BE(mdatSize, 0)
  mdat.write('mdat', 4, 'latin1')
  return Buffer.concat([moof(fragment, moofSize + 8), mdat])
}

function moof(fragment: FragmentHeader, payloadStart: number): Buffer {
  return box(
    'moof',
    fullBox('mfhd', 0, 0, u32(fragment.sequence)),
    ...fragment.tracks.map((track) => trackFragment(track, payloadStart)),
  )
}

const TFHD_DEFAULT_DURATION = 0x8
const TFHD_DEFAULT_FLAGS = 0x20
const TFHD_BASE_IS_MOOF = 0x20000
const TRUN_DATA_OFFSET = 0x1
const TRUN_DURATION = 0x100
const TRUN_SIZE = 0x200
const TRUN_FLAGS = 0x400
const TRUN_COMPOSITION_OFFSET = 0x800

/** What all samples of a track fragment share stands once, in tfhd; undefined where they differ. */
interface Shared {
  readonly duration: number | undefined
  readonly flags: number | undefined
  readonly zeroOffsets: boolean
}

function trackFragment(track: FragmentTrack, payloadStart: number): Buffer {
  const shared = sharedOf(track.runs)
  let flags = TFHD_BASE_IS_MOOF
  const defaults: Buffer[] = []
  if (shared.duration !== undefined) {
    flags |= TFHD_DEFAULT_DURATION
    defaults.push(u32(shared.duration))
  }
  if (shared.flags !== undefined) {
    flags |= TFHD_DEFAULT_FLAGS
    defaults.push(u32(shared.flags))
  }
  return box(
    'traf',
    fullBox('tfhd', 0, flags, u32(track.trackId), ...defaults),
    fullBox('tfdt', 1, 0, u64(track.baseDecodeTime)),
    ...track.runs.map((run) => trackRun(run, shared, payloadStart)),
  )
}

function trackRun(run: FragmentRun, shared: Shared, payloadStart: number): Buffer {
  let flags = TRUN_DATA_OFFSET | TRUN_SIZE
  if (shared.duration === undefined) flags |= TRUN_DURATION
  if (shared.flags === undefined) flags |= TRUN_FLAGS
  if (!shared.zeroOffsets) flags |= TRUN_COMPOSITION_OFFSET
  const perSample =
    4 +
    (shared.duration === undefined ? 4 : 0) +
    (shared.flags === undefined ? 4 : 0) +
    (shared.zeroOffsets ? 0 : 4)
  const body = Buffer.allocUnsafe(8 + run.samples.length * perSample)
  let at = body.writeUInt32BE(run.samples.length, 0)
  at = body.writeInt32BE(payloadStart + run.offset, at)
  for (const sample of run.samples) {
    if (shared.duration === undefined) at = body.writeUInt32BE(sample.duration, at)
    at = body.writeUInt32BE(sample.size, at)
    if (shared.flags === undefined) at = body.writeUInt32BE(sampleFlags(sample), at)
    if (!shared.zeroOffsets) at = body.writeInt32BE(sample.compositionOffset, at)
  }
  return fullBox('trun', 1, flags, body)
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
