import { type Box, broken, FieldReader, readBoxes, viewOf } from './read-boxes.ts'
import {
  type Chunks,
  checkSampleCount,
  EMPTY_TABLE,
  packSizes,
  type SampleTable,
  type TimeRuns,
} from './sample-table.ts'

/**
 * Reads the sample tables of an `stbl` box (ISO/IEC 14496-12 §8.6, §8.7). Nothing is allocated that the bytes do not back:
 * each count is held against its box. Contradictions throw `media-broken`; tables that only differ in length are cut to the shortest.
 */
export function readSampleTable(bytes: Uint8Array, stbl: Box): SampleTable {
  const boxes = new Map(readBoxes(bytes, stbl.body, stbl.end).map((box) => [box.type, box]))
  const sizes = readSizes(bytes, boxes.get('stsz'), boxes.get('stz2'))
  const offsets = readOffsets(bytes, boxes.get('stco'), boxes.get('co64'))
  if (sizes.count === 0 || offsets.length === 0) return EMPTY_TABLE
  const chunks = readChunks(bytes, need(boxes.get('stsc'), 'stsc'), offsets, sizes.count)
  const times = readTimes(bytes, need(boxes.get('stts'), 'stts'))
  const count = Math.min(sizes.count, chunks.samples, times.samples)
  if (count === 0) return EMPTY_TABLE
  checkSampleCount(count)
  const stss = boxes.get('stss')
  return {
    count,
    sizes: typeof sizes.sizes === 'number' ? sizes.sizes : sizes.sizes.subarray(0, count),
    times: times.runs,
    chunks: chunks.chunks,
    compositions: readCompositions(bytes, boxes.get('ctts'), count),
    keys: stss === undefined ? undefined : readKeys(bytes, stss, count),
  }
}

interface Sizes {
  readonly count: number
  readonly sizes: Uint16Array | Uint32Array | number
}

function readSizes(bytes: Uint8Array, stsz: Box | undefined, stz2: Box | undefined): Sizes {
  if (stsz === undefined) return readCompactSizes(bytes, need(stz2, 'stsz'))
  const fields = new FieldReader(bytes, stsz)
  fields.fullBox()
  const common = fields.uint32()
  if (common !== 0) return { count: fields.uint32(), sizes: common }
  const count = fields.entryCount(4)
  const sizes = new Uint32Array(count)
  const view = viewOf(bytes)
  for (let i = 0; i < count; i += 1) sizes[i] = view.getUint32(fields.position + i * 4)
  return { count, sizes: packSizes(sizes) }
}

function readCompactSizes(bytes: Uint8Array, stz2: Box): Sizes {
  const fields = new FieldReader(bytes, stz2)
  fields.fullBox()
  fields.skip(3)
  const bits = fields.uint8()
  if (bits !== 4 && bits !== 8 && bits !== 16) throw broken(`stz2 has fields of ${bits} bits`)
  const count = fields.entryCount(bits / 8)
  const sizes = new Uint16Array(count)
  for (let i = 0; i < count; i += 1) {
    if (bits === 16) sizes[i] = fields.uint16()
    else if (bits === 8) sizes[i] = fields.uint8()
    else if (i % 2 === 0) {
      const pair = fields.uint8()
      sizes[i] = pair >> 4
      if (i + 1 < count) sizes[i + 1] = pair & 15
    }
  }
  return { count, sizes }
}

function readOffsets(
  bytes: Uint8Array,
  stco: Box | undefined,
  co64: Box | undefined,
): Float64Array {
  const large = co64 !== undefined
  const fields = new FieldReader(bytes, need(co64 ?? stco, 'stco'))
  fields.fullBox()
  const count = fields.entryCount(large ? 8 : 4)
  const offsets = new Float64Array(count)
  for (let i = 0; i < count; i += 1) offsets[i] = large ? fields.uint64() : fields.uint32()
  return offsets
}

function readChunks(
  bytes: Uint8Array,
  stsc: Box,
  offset: Float64Array,
  sampleCount: number,
): { readonly chunks: Chunks; readonly samples: number } {
  const fields = new FieldReader(bytes, stsc)
  fields.fullBox()
  const runs = fields.entryCount(12)
  if (runs === 0) throw broken('stsc is empty though there are chunks')
  const first = new Uint32Array(offset.length)
  const description = new Uint8Array(offset.length)
  let several = false
  let sample = 0
  let chunk = 0
  let from = fields.uint32()
  if (from !== 1) throw broken(`stsc begins with chunk ${from}`)
  for (let run = 0; run < runs && chunk < offset.length && sample < sampleCount; run += 1) {
    const perChunk = fields.uint32()
    const entry = fields.uint32()
    if (entry < 1 || entry > 255) throw broken(`stsc names sample description ${entry}`)
    const next = run + 1 < runs ? fields.uint32() : offset.length + 1
    if (next <= from) throw broken(`stsc goes from chunk ${from} to ${next}`)
    if (entry > 1) several = true
    for (; chunk < next - 1 && chunk < offset.length && sample < sampleCount; chunk += 1) {
      first[chunk] = sample
      description[chunk] = entry - 1
      sample = Math.min(sampleCount, sample + perChunk)
    }
    from = next
  }
  return {
    samples: sample,
    chunks: {
      first: first.subarray(0, chunk),
      offset: offset.subarray(0, chunk),
      description: several ? description.subarray(0, chunk) : undefined,
    },
  }
}

function readTimes(
  bytes: Uint8Array,
  stts: Box,
): { readonly runs: TimeRuns; readonly samples: number } {
  const fields = new FieldReader(bytes, stts)
  fields.fullBox()
  const count = fields.entryCount(8)
  const first = new Uint32Array(count)
  const time = new Float64Array(count)
  const delta = new Uint32Array(count)
  let runs = 0
  let samples = 0
  let now = 0
  for (let i = 0; i < count; i += 1) {
    const length = fields.uint32()
    // Old writers hold a negative step here to mend the sum; such a step is none.
    const step = fields.int32()
    if (length === 0) continue
    if (samples + length > 2 ** 32 - 1) throw broken('stts has more than 2^32 samples')
    first[runs] = samples
    time[runs] = now
    delta[runs] = Math.max(0, step)
    samples += length
    now += length * Math.max(0, step)
    runs += 1
  }
  if (!Number.isSafeInteger(now)) throw broken(`stts lasts ${now} ticks`)
  return {
    samples,
    runs: {
      first: first.subarray(0, runs),
      time: time.subarray(0, runs),
      delta: delta.subarray(0, runs),
    },
  }
}

/** 24 hours of 120 pictures a second. */
const COMPOSITIONS_MAX = 10_500_000

/** §8.6.1.3: offsets are signed in version 1; writers of version 0 put negative ones there as well, so both are read as signed. */
function readCompositions(
  bytes: Uint8Array,
  ctts: Box | undefined,
  count: number,
): Int32Array | undefined {
  if (ctts === undefined) return undefined
  const fields = new FieldReader(bytes, ctts)
  fields.fullBox()
  const runs = fields.entryCount(8)
  if (runs === 0) return undefined
  // Sizes that are all the same are backed by no bytes, so a few bytes could claim gigabytes here.
  if (count > COMPOSITIONS_MAX) throw broken(`ctts for ${count} samples`)
  const offsets = new Int32Array(count)
  let sample = 0
  let any = false
  for (let i = 0; i < runs && sample < count; i += 1) {
    const end = Math.min(count, sample + fields.uint32())
    const offset = fields.int32()
    if (offset !== 0) any = true
    offsets.fill(offset, sample, end)
    sample = end
  }
  return any ? offsets : undefined
}

function readKeys(bytes: Uint8Array, stss: Box, sampleCount: number): Uint32Array {
  const fields = new FieldReader(bytes, stss)
  fields.fullBox()
  const count = fields.entryCount(4)
  const keys = new Uint32Array(count)
  let length = 0
  for (let i = 0; i < count; i += 1) {
    const index = fields.uint32() - 1
    if (index < 0 || index >= sampleCount) continue
    if (length > 0 && index <= (keys[length - 1] ?? 0)) throw broken('stss does not rise')
    keys[length] = index
    length += 1
  }
  return keys.subarray(0, length)
}

function need(box: Box | undefined, type: string): Box {
  if (box === undefined) throw broken(`a track has no ${type}`)
  return box
}
