import { ENTRIES_A_STEP, forEntries, type Steps } from '../../lib/in-turns.ts'
import { type Box, broken, FieldReader, readBoxes, viewOf } from './read-boxes.ts'
import {
  type Chunks,
  checkSampleCount,
  EMPTY_TABLE,
  type SampleTable,
  type TimeRuns,
} from './sample-table.ts'

/** Bytes of tables a byte of the index may become: chunk offsets become three times as much, compact sizes with composition offsets six times. */
const MEMORY_A_BYTE = 8
/** Whatever the index's length: composition offsets of samples that are all of one size are backed by no bytes. */
const MEMORY_LEAST = 1024 * 1024
/** 200 hours of film have about 120 MB. */
const MEMORY_MAX = 256 * 1024 * 1024

/** Memory that the tables of an index of `bytes` may take at most. */
export function tableMemory(bytes: number): number {
  return Math.min(MEMORY_MAX, MEMORY_LEAST + bytes * MEMORY_A_BYTE)
}

/** What the tables of one movie may still take; above it `take` throws `media-broken`. */
export class TableMemory {
  #left: number

  constructor(bytes: number) {
    this.#left = tableMemory(bytes)
  }

  take(entries: number, bytesEach: number): void {
    this.#left -= entries * bytesEach
    if (this.#left < 0) throw broken('tables of more memory than their bytes account for')
  }
}

/**
 * Reads the sample tables of an `stbl` box (ISO/IEC 14496-12 §8.6, §8.7). Nothing is allocated that the bytes do not back:
 * each count is held against its box. Contradictions throw `media-broken`; tables that only differ in length are cut to the shortest.
 */
export function* readSampleTable(
  bytes: Uint8Array,
  stbl: Box,
  memory: TableMemory,
): Steps<SampleTable> {
  const boxes = new Map(readBoxes(bytes, stbl.body, stbl.end).map((box) => [box.type, box]))
  const sizes = yield* readSizes(bytes, boxes.get('stsz'), boxes.get('stz2'), memory)
  const offsets = yield* readOffsets(bytes, boxes.get('stco'), boxes.get('co64'), memory)
  if (sizes.count === 0 || offsets.length === 0) return EMPTY_TABLE
  const stsc = need(boxes.get('stsc'), 'stsc')
  const chunks = yield* readChunks(bytes, stsc, offsets, sizes.count, memory)
  const times = yield* readTimes(bytes, need(boxes.get('stts'), 'stts'), memory)
  const count = Math.min(sizes.count, chunks.samples, times.samples)
  if (count === 0) return EMPTY_TABLE
  checkSampleCount(count)
  const stss = boxes.get('stss')
  return {
    count,
    sizes: typeof sizes.sizes === 'number' ? sizes.sizes : sizes.sizes.subarray(0, count),
    times: times.runs,
    chunks: chunks.chunks,
    compositions: yield* readCompositions(bytes, boxes.get('ctts'), count, memory),
    keys: stss === undefined ? undefined : yield* readKeys(bytes, stss, count, memory),
  }
}

interface Sizes {
  readonly count: number
  readonly sizes: Uint16Array | Uint32Array | number
}

function* readSizes(
  bytes: Uint8Array,
  stsz: Box | undefined,
  stz2: Box | undefined,
  memory: TableMemory,
): Steps<Sizes> {
  if (stsz === undefined) return yield* readCompactSizes(bytes, need(stz2, 'stsz'), memory)
  const fields = new FieldReader(bytes, stsz)
  fields.fullBox()
  const common = fields.uint32()
  if (common !== 0) return { count: fields.uint32(), sizes: common }
  const count = fields.entryCount(4)
  const { position } = fields
  const view = viewOf(bytes)
  let bits = 0
  yield* forEntries(count, (from, to) => {
    for (let i = from; i < to; i += 1) bits |= view.getUint32(position + i * 4)
  })
  const short = bits >>> 16 === 0
  memory.take(count, short ? 2 : 4)
  const sizes = short ? new Uint16Array(count) : new Uint32Array(count)
  yield* forEntries(count, (from, to) => {
    for (let i = from; i < to; i += 1) sizes[i] = view.getUint32(position + i * 4)
  })
  return { count, sizes }
}

function* readCompactSizes(bytes: Uint8Array, stz2: Box, memory: TableMemory): Steps<Sizes> {
  const fields = new FieldReader(bytes, stz2)
  fields.fullBox()
  fields.skip(3)
  const bits = fields.uint8()
  if (bits !== 4 && bits !== 8 && bits !== 16) throw broken(`stz2 has fields of ${bits} bits`)
  const count = fields.entryCount(bits / 8)
  memory.take(count, 2)
  const sizes = new Uint16Array(count)
  yield* forEntries(count, (from, to) => {
    for (let i = from; i < to; i += 1) {
      if (bits === 16) sizes[i] = fields.uint16()
      else if (bits === 8) sizes[i] = fields.uint8()
      else if (i % 2 === 0) {
        const pair = fields.uint8()
        sizes[i] = pair >> 4
        if (i + 1 < count) sizes[i + 1] = pair & 15
      }
    }
  })
  return { count, sizes }
}

function* readOffsets(
  bytes: Uint8Array,
  stco: Box | undefined,
  co64: Box | undefined,
  memory: TableMemory,
): Steps<Float64Array> {
  const large = co64 !== undefined
  const fields = new FieldReader(bytes, need(co64 ?? stco, 'stco'))
  fields.fullBox()
  const count = fields.entryCount(large ? 8 : 4)
  memory.take(count, 8)
  const offsets = new Float64Array(count)
  yield* forEntries(count, (from, to) => {
    for (let i = from; i < to; i += 1) offsets[i] = large ? fields.uint64() : fields.uint32()
  })
  return offsets
}

function* readChunks(
  bytes: Uint8Array,
  stsc: Box,
  offset: Float64Array,
  sampleCount: number,
  memory: TableMemory,
): Steps<{ readonly chunks: Chunks; readonly samples: number }> {
  const fields = new FieldReader(bytes, stsc)
  fields.fullBox()
  const runs = fields.entryCount(12)
  if (runs === 0) throw broken('stsc is empty though there are chunks')
  memory.take(offset.length, 5)
  const first = new Uint32Array(offset.length)
  const description = new Uint8Array(offset.length)
  let several = false
  let sample = 0
  let chunk = 0
  /** A chunk without samples is none: whoever looks for a sample's place would go through them all. */
  let kept = 0
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
      if (chunk % ENTRIES_A_STEP === 0) yield
      if (perChunk === 0) continue
      first[kept] = sample
      offset[kept] = offset[chunk] ?? 0
      description[kept] = entry - 1
      sample = Math.min(sampleCount, sample + perChunk)
      kept += 1
    }
    from = next
  }
  return {
    samples: sample,
    chunks: {
      first: first.subarray(0, kept),
      offset: offset.subarray(0, kept),
      description: several ? description.subarray(0, kept) : undefined,
    },
  }
}

function* readTimes(
  bytes: Uint8Array,
  stts: Box,
  memory: TableMemory,
): Steps<{ readonly runs: TimeRuns; readonly samples: number }> {
  const fields = new FieldReader(bytes, stts)
  fields.fullBox()
  const count = fields.entryCount(8)
  memory.take(count, 16)
  const first = new Uint32Array(count)
  const time = new Float64Array(count)
  const delta = new Uint32Array(count)
  let runs = 0
  let samples = 0
  let now = 0
  yield* forEntries(count, (from, to) => {
    for (let i = from; i < to; i += 1) {
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
  })
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

/** §8.6.1.3: offsets are signed in version 1; writers of version 0 put negative ones there as well, so both are read as signed. */
function* readCompositions(
  bytes: Uint8Array,
  ctts: Box | undefined,
  count: number,
  memory: TableMemory,
): Steps<Int32Array | undefined> {
  if (ctts === undefined) return undefined
  const fields = new FieldReader(bytes, ctts)
  fields.fullBox()
  const runs = fields.entryCount(8)
  if (runs === 0) return undefined
  memory.take(count, 4)
  const offsets = new Int32Array(count)
  let sample = 0
  let any = false
  for (let i = 0; i < runs && sample < count; i += 1) {
    if (i % ENTRIES_A_STEP === 0) yield
    const end = Math.min(count, sample + fields.uint32())
    const offset = fields.int32()
    if (offset === 0) {
      sample = end
      continue
    }
    any = true
    while (sample < end) {
      const stop = Math.min(end, sample + FILLED_A_STEP)
      offsets.fill(offset, sample, stop)
      if (stop - sample === FILLED_A_STEP) yield
      sample = stop
    }
  }
  return any ? offsets : undefined
}

/** 256 KiB of new memory. */
const FILLED_A_STEP = 65_536

function* readKeys(
  bytes: Uint8Array,
  stss: Box,
  sampleCount: number,
  memory: TableMemory,
): Steps<Uint32Array> {
  const fields = new FieldReader(bytes, stss)
  fields.fullBox()
  const count = fields.entryCount(4)
  memory.take(count, 4)
  const keys = new Uint32Array(count)
  let length = 0
  yield* forEntries(count, (from, to) => {
    for (let i = from; i < to; i += 1) {
      const index = fields.uint32() - 1
      if (index < 0 || index >= sampleCount) continue
      if (length > 0 && index <= (keys[length - 1] ?? 0)) throw broken('stss does not rise')
      keys[length] = index
      length += 1
    }
  })
  return keys.subarray(0, length)
}

function need(box: Box | undefined, type: string): Box {
  if (box === undefined) throw broken(`a track has no ${type}`)
  return box
}
