import { ENTRIES_A_STEP, forEntries, type Steps } from '../../lib/in-turns.ts'
import { broken } from './read-boxes.ts'

/**
 * The samples of one track, run-length where files are: about 6 bytes a picture and 2 an audio frame.
 * Times are ticks of the track, before any edit list. A sample lies in the object at the end of the samples before it in its chunk.
 */
export interface SampleTable {
  readonly count: number
  /** By sample; a number when all have the same. */
  readonly sizes: Uint16Array | Uint32Array | number
  readonly times: TimeRuns
  readonly chunks: Chunks
  /** Composition offset by sample; undefined when all are 0. */
  readonly compositions: Int32Array | undefined
  /** Indexes of the samples a decoder can start at, rising; undefined: all. */
  readonly keys: Uint32Array | undefined
  /** Where in the object each sample lies whose index is a multiple of `PLACED_EVERY`: a chunk may be long. */
  readonly places?: Float64Array | undefined
}

const PLACED_EVERY = 4096

/** Run r begins with sample `first[r]` at `time[r]`; its samples are `delta[r]` apart. */
export interface TimeRuns {
  readonly first: Uint32Array
  readonly time: Float64Array
  readonly delta: Uint32Array
}

/** Chunk c begins with sample `first[c]` at byte `offset[c]` of the object. */
export interface Chunks {
  readonly first: Uint32Array
  readonly offset: Float64Array
  /** 0-based sample description by chunk; undefined when all are the first. */
  readonly description: Uint8Array | undefined
}

/** More samples than 200 hours of 48 kHz AAC and 60 pictures a second; a table that claims more is not media. */
export const SAMPLES_MAX = 2 ** 26

/** The last index whose value is not above `value`; 0 when all are. */
export function lastNotAbove(values: Uint32Array | Float64Array, value: number): number {
  let low = 0
  let high = values.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if ((values[middle] ?? 0) <= value) low = middle
    else high = middle - 1
  }
  return low
}

export function sampleSize(table: SampleTable, index: number): number {
  return typeof table.sizes === 'number' ? table.sizes : (table.sizes[index] ?? 0)
}

/** Decode time of a sample; of `count`: the end of the last. */
export function decodeTime(table: SampleTable, index: number): number {
  const { first, time, delta } = table.times
  const run = lastNotAbove(first, Math.min(index, table.count - 1))
  return (time[run] ?? 0) + (index - (first[run] ?? 0)) * (delta[run] ?? 0)
}

export function presentationTime(table: SampleTable, index: number): number {
  return decodeTime(table, index) + (table.compositions?.[index] ?? 0)
}

/** The first sample whose decode time is at or above `time`; `count` when there is none. */
export function firstSampleAt(table: SampleTable, time: number): number {
  const { first, time: starts, delta } = table.times
  if (table.count === 0) return 0
  const run = lastNotAbove(starts, time)
  const start = starts[run] ?? 0
  const from = first[run] ?? 0
  const end = run + 1 < first.length ? (first[run + 1] ?? 0) : table.count
  if (time <= start) return from
  const step = delta[run] ?? 0
  return step === 0 ? end : Math.min(end, from + Math.ceil((time - start) / step))
}

/** The first key sample at or after `index`; `count` when there is none. */
export function keyAtOrAfter(table: SampleTable, index: number): number {
  const { keys } = table
  if (keys === undefined) return Math.min(index, table.count)
  if (keys.length === 0) return table.count
  const at = lastNotAbove(keys, index)
  const key = keys[at] ?? 0
  return key >= index ? key : (keys[at + 1] ?? table.count)
}

/**
 * The last key sample from `from` up to before `end` for which `holds` is true; undefined when there is none. `holds` must be true for
 * all before the first for which it is not: it is asked of a few only.
 */
export function lastKeyWhile(
  table: SampleTable,
  from: number,
  end: number,
  holds: (key: number) => boolean,
): number | undefined {
  const { keys } = table
  const keyAt = (ordinal: number) => keys?.[ordinal] ?? ordinal
  const ordinalOf = (sample: number) => (keys === undefined ? sample : countBelow(keys, sample))
  const first = ordinalOf(from)
  let low = first
  let high = ordinalOf(Math.min(end, table.count))
  // What is looked for is mostly near.
  for (let reach = 1; low + reach < high; reach *= 2) {
    if (holds(keyAt(low + reach - 1))) low += reach
    else high = low + reach - 1
  }
  while (low < high) {
    const middle = low + ((high - low) >>> 1)
    if (holds(keyAt(middle))) low = middle + 1
    else high = middle
  }
  return low > first ? keyAt(low - 1) : undefined
}

/** How many of the rising values are below `value`. */
function countBelow(values: Uint32Array, value: number): number {
  const at = lastNotAbove(values, value)
  return (values[at] ?? Number.POSITIVE_INFINITY) < value ? at + 1 : at
}

/** Bytes of the samples `from` up to `to`. */
export function sizeOfSamples({ sizes }: SampleTable, from: number, to: number): number {
  if (typeof sizes === 'number') return Math.max(0, to - from) * sizes
  let sum = 0
  for (let i = from; i < to; i += 1) sum += sizes[i] ?? 0
  return sum
}

/** The samples `from` up to `to` laid out for reading and writing; each array has one entry a sample. */
export interface SampleSpan {
  readonly offsets: Float64Array
  readonly sizes: Uint32Array
  /** One more than the others: the end of the last sample. */
  readonly times: Float64Array
  readonly compositions: Int32Array
  readonly keys: Uint8Array
}

export function expandSamples(table: SampleTable, from: number, to: number): SampleSpan {
  const count = Math.max(0, to - from)
  const offsets = new Float64Array(count)
  const sizes = new Uint32Array(count)
  const times = new Float64Array(count + 1)
  const compositions = new Int32Array(count)
  const keys = new Uint8Array(count)
  if (count === 0) return { offsets, sizes, times, compositions, keys }
  for (let i = 0; i < count; i += 1) sizes[i] = sampleSize(table, from + i)
  if (table.compositions) compositions.set(table.compositions.subarray(from, to))
  fillOffsets(table, from, offsets, sizes)
  fillTimes(table, from, times)
  fillKeys(table, from, keys)
  return { offsets, sizes, times, compositions, keys }
}

function fillOffsets(
  table: SampleTable,
  from: number,
  offsets: Float64Array,
  sizes: Uint32Array,
): void {
  const { first, offset } = table.chunks
  let chunk = lastNotAbove(first, from)
  let position = offset[chunk] ?? 0
  let start = first[chunk] ?? 0
  const place = table.places?.[Math.floor(from / PLACED_EVERY)]
  if (place !== undefined && from - (from % PLACED_EVERY) > start) {
    position = place
    start = from - (from % PLACED_EVERY)
  }
  if (typeof table.sizes === 'number') position += (from - start) * table.sizes
  else for (let i = start; i < from; i += 1) position += table.sizes[i] ?? 0
  for (let i = 0; i < offsets.length; i += 1) {
    // An empty chunk is one that the next begins with the same sample.
    while ((first[chunk + 1] ?? Number.POSITIVE_INFINITY) <= from + i) {
      chunk += 1
      position = offset[chunk] ?? 0
    }
    offsets[i] = position
    position += sizes[i] ?? 0
  }
}

function fillTimes(table: SampleTable, from: number, times: Float64Array): void {
  const { first, time, delta } = table.times
  let run = lastNotAbove(first, from)
  for (let i = 0; i < times.length; i += 1) {
    const index = from + i
    while (index < table.count && (first[run + 1] ?? Number.POSITIVE_INFINITY) <= index) run += 1
    times[i] = (time[run] ?? 0) + (index - (first[run] ?? 0)) * (delta[run] ?? 0)
  }
}

function fillKeys(table: SampleTable, from: number, keys: Uint8Array): void {
  if (table.keys === undefined) {
    keys.fill(1)
    return
  }
  for (let at = 0, key = keyAtOrAfter(table, from); key < from + keys.length; ) {
    keys[key - from] = 1
    at = lastNotAbove(table.keys, key)
    key = table.keys[at + 1] ?? Number.POSITIVE_INFINITY
  }
}

/**
 * The table without what lies outside an object of `size` bytes, from the first such sample on (a truncated file plays up to
 * where it ends), and with its `places`.
 */
export function* cutToObject(table: SampleTable, size: number): Steps<SampleTable> {
  const { first, offset } = table.chunks
  const places =
    typeof table.sizes === 'number'
      ? undefined
      : new Float64Array(Math.ceil(table.count / PLACED_EVERY))
  const placed = places ? { ...table, places } : table
  let walked = 0
  for (let chunk = 0; chunk < first.length; chunk += 1) {
    const start = first[chunk] ?? 0
    const end = chunk + 1 < first.length ? (first[chunk + 1] ?? 0) : table.count
    let position = offset[chunk] ?? 0
    walked += 1
    if (walked >= ENTRIES_A_STEP) {
      walked = 0
      yield
    }
    if (typeof table.sizes === 'number') {
      const whole = table.sizes === 0 ? end - start : Math.floor((size - position) / table.sizes)
      if (start < end && whole < end - start) return firstSamples(table, start + Math.max(0, whole))
      continue
    }
    for (let i = start; i < end; ) {
      if (places && i % PLACED_EVERY === 0) places[i / PLACED_EVERY] = position
      const stop = Math.min(end, i - (i % PLACED_EVERY) + PLACED_EVERY)
      walked += stop - i
      for (; i < stop; i += 1) {
        position += table.sizes[i] ?? 0
        if (position > size) return firstSamples(placed, i)
      }
      if (walked < ENTRIES_A_STEP) continue
      walked = 0
      yield
    }
  }
  return placed
}

/** The first `count` samples of a table. */
export function firstSamples(table: SampleTable, count: number): SampleTable {
  if (count >= table.count) return table
  const runs = count === 0 ? 0 : lastNotAbove(table.times.first, count - 1) + 1
  const chunks = count === 0 ? 0 : lastNotAbove(table.chunks.first, count - 1) + 1
  const { times, keys } = table
  return {
    count,
    sizes: typeof table.sizes === 'number' ? table.sizes : table.sizes.subarray(0, count),
    times: {
      first: times.first.subarray(0, runs),
      time: times.time.subarray(0, runs),
      delta: times.delta.subarray(0, runs),
    },
    chunks: {
      first: table.chunks.first.subarray(0, chunks),
      offset: table.chunks.offset.subarray(0, chunks),
      description: table.chunks.description?.subarray(0, chunks),
    },
    compositions: table.compositions?.subarray(0, count),
    keys: keys === undefined ? undefined : keysBelow(keys, count),
    places: table.places,
  }
}

function keysBelow(keys: Uint32Array, count: number): Uint32Array {
  return keys.subarray(0, countBelow(keys, count))
}

/** What the table costs in memory: of a part of an array that is all of it. */
export function tableBytes(table: SampleTable): number {
  const { times, chunks } = table
  const columns = [
    typeof table.sizes === 'number' ? undefined : table.sizes,
    times.first,
    times.time,
    times.delta,
    chunks.first,
    chunks.offset,
    chunks.description,
    table.compositions,
    table.keys,
    table.places,
  ]
  return columns.reduce((sum, column) => sum + (column?.buffer.byteLength ?? 0), 0)
}

export const EMPTY_TABLE: SampleTable = {
  count: 0,
  sizes: 0,
  times: { first: new Uint32Array(0), time: new Float64Array(0), delta: new Uint32Array(0) },
  chunks: { first: new Uint32Array(0), offset: new Float64Array(0), description: undefined },
  compositions: undefined,
  keys: undefined,
}

/** Sizes in as few bytes as they need. */
export function* packSizes(sizes: Uint32Array): Steps<Uint16Array | Uint32Array> {
  let bits = 0
  yield* forEntries(sizes.length, (from, to) => {
    for (let i = from; i < to; i += 1) bits |= sizes[i] ?? 0
  })
  if (bits >>> 16 !== 0) return sizes
  const packed = new Uint16Array(sizes.length)
  yield* forEntries(sizes.length, (from, to) => packed.set(sizes.subarray(from, to), from))
  return packed
}

export function checkSampleCount(count: number): void {
  if (count > SAMPLES_MAX) throw broken(`${count} samples in one track, at most ${SAMPLES_MAX}`)
}
