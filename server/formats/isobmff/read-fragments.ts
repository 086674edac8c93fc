import type { NearcastError } from '../../lib/errors.ts'
import { ENTRIES_A_STEP, forEntries, type Steps } from '../../lib/in-turns.ts'
import { type Box, broken, FieldReader, readBoxes } from './read-boxes.ts'
import type { FragmentDefaults } from './read-movie.ts'
import { NumberColumn } from './number-column.ts'
import { packSizes, type SampleTable, tableBytes } from './sample-table.ts'

/** A part of the object that a segment index names. */
export interface IndexedSpan {
  readonly start: number
  readonly end: number
  /** `index`: another sidx; `media`: it begins with a moof, perhaps behind a styp or emsg. */
  readonly kind: 'index' | 'media'
}

/** Reads a `sidx` box (ISO/IEC 14496-12 §8.16.3) that ends at byte `endInObject` of the object. */
export function readSegmentIndex(
  bytes: Uint8Array,
  sidx: Box,
  endInObject: number,
): readonly IndexedSpan[] {
  const fields = new FieldReader(bytes, sidx)
  const { version } = fields.fullBox()
  fields.skip(8 + (version === 0 ? 4 : 8))
  let at = endInObject + (version === 0 ? fields.uint32() : fields.uint64())
  fields.skip(2)
  const count = fields.uint16()
  if (count * 12 > fields.left) throw broken(`sidx claims ${count} references`)
  const spans: IndexedSpan[] = []
  for (let i = 0; i < count; i += 1) {
    const word = fields.uint32()
    fields.skip(8)
    const end = at + (word & 0x7fffffff)
    spans.push({ start: at, end, kind: word >>> 31 === 1 ? 'index' : 'media' })
    at = end
  }
  return spans
}

/** Fragments beyond these are found by walking. */
const RANDOM_ACCESS_MAX = 65_536

/** Where the `moof` boxes are that an `mfra` box (§8.8.9) names, rising. */
export function* readRandomAccess(bytes: Uint8Array, mfra: Box): Steps<Float64Array> {
  const offsets = new Set<number>()
  for (const tfra of readBoxes(bytes, mfra.body, mfra.end)) {
    if (tfra.type !== 'tfra') continue
    const fields = new FieldReader(bytes, tfra)
    const { version } = fields.fullBox()
    fields.skip(4)
    const lengths = fields.uint32()
    const numbers = ((lengths >> 4) & 3) + ((lengths >> 2) & 3) + (lengths & 3) + 3
    const count = fields.entryCount((version === 1 ? 16 : 8) + numbers)
    yield
    for (let i = 0; i < count && offsets.size < RANDOM_ACCESS_MAX; i += 1) {
      if (i % ENTRIES_A_STEP === 0) yield
      fields.skip(version === 1 ? 8 : 4)
      offsets.add(version === 1 ? fields.uint64() : fields.uint32())
      fields.skip(numbers)
    }
  }
  return Float64Array.from(offsets).sort()
}

const NON_SYNC = 0x10000
/** A run for each stretch of a track between those of others. */
const RUNS_MAX = 65_536
/** What a sample of the moov takes at most besides what it took there: its size, its composition offset and its place among the keys. */
const BEGUN_SAMPLE_BYTES = 12
/** Samples one run may claim without a byte for each. */
const DEFAULTED_SAMPLES_MAX = 65_536

/** Gathers the samples of movie fragments into tables, one a track. */
export class FragmentCollector {
  readonly #defaults: ReadonlyMap<number, FragmentDefaults>
  readonly #movie = new Map<number, SampleTable>()
  readonly #builders = new Map<number, TableBuilder>()
  #budget: number

  /** `budget`: samples it may hold in all; above it `add` throws `media-broken`. */
  constructor(
    defaults: ReadonlyMap<number, FragmentDefaults>,
    movie: readonly { readonly id: number; readonly samples: SampleTable }[],
    budget: number,
  ) {
    this.#defaults = defaults
    this.#budget = budget
    for (const { id, samples } of movie) {
      this.#budget -= samples.count
      if (this.#budget < 0) throw tooMany()
      this.#movie.set(id, samples)
    }
  }

  /** Memory its tables hold, and will hold of what stands in the moov. */
  get bytes(): number {
    let bytes = 0
    for (const builder of this.#builders.values()) bytes += builder.bytes
    for (const samples of this.#movie.values()) {
      bytes += samples.count * BEGUN_SAMPLE_BYTES + tableBytes(samples)
    }
    return bytes
  }

  /** Takes a `moof` box (§8.8.4) whose first byte is byte `moofOffset` of the object. */
  *add(bytes: Uint8Array, moof: Box, moofOffset: number): Steps<undefined> {
    for (const [id, samples] of this.#movie) {
      const builder = new TableBuilder()
      yield* builder.begin(samples)
      this.#builders.set(id, builder)
      this.#movie.delete(id)
    }
    let dataEnd = moofOffset
    let first = true
    for (const traf of readBoxes(bytes, moof.body, moof.end)) {
      yield
      if (traf.type !== 'traf') continue
      dataEnd = yield* this.#addTrack(bytes, traf, moofOffset, first ? moofOffset : dataEnd)
      first = false
    }
  }

  /** The samples of a track, once: they are not kept here beside it. */
  *takeTable(trackId: number): Steps<SampleTable | undefined> {
    const builder = this.#builders.get(trackId)
    this.#builders.delete(trackId)
    return this.#movie.get(trackId) ?? (builder && (yield* builder.build()))
  }

  *#addTrack(
    bytes: Uint8Array,
    traf: Box,
    moofOffset: number,
    implicitBase: number,
  ): Steps<number> {
    const boxes = readBoxes(bytes, traf.body, traf.end, RUNS_MAX)
    const tfhd = boxes.find((box) => box.type === 'tfhd')
    if (tfhd === undefined) throw broken('a traf has no tfhd')
    const header = this.#readHeader(bytes, tfhd, moofOffset, implicitBase)
    const builder = this.#builders.get(header.trackId)
    const tfdt = boxes.find((box) => box.type === 'tfdt')
    if (tfdt && builder) {
      const fields = new FieldReader(bytes, tfdt)
      builder.startAt(fields.fullBox().version === 1 ? fields.uint64() : fields.uint32())
    }
    let position = header.base
    for (const trun of boxes) {
      yield
      if (trun.type === 'trun')
        position = yield* this.#addRun(bytes, trun, header, position, builder)
    }
    return position
  }

  /** §8.8.7 */
  #readHeader(
    bytes: Uint8Array,
    tfhd: Box,
    moofOffset: number,
    implicitBase: number,
  ): TrackFragment {
    const fields = new FieldReader(bytes, tfhd)
    const { flags } = fields.fullBox()
    const trackId = fields.uint32()
    const defaults = this.#defaults.get(trackId) ?? NO_DEFAULTS
    const explicit = flags & 1 ? fields.uint64() : undefined
    const base = explicit ?? (flags & 0x20000 ? moofOffset : implicitBase)
    return {
      trackId,
      base,
      description: flags & 2 ? fields.uint32() : defaults.description,
      duration: flags & 8 ? fields.uint32() : defaults.duration,
      size: flags & 0x10 ? fields.uint32() : defaults.size,
      flags: flags & 0x20 ? fields.uint32() : defaults.flags,
    }
  }

  /** §8.8.8 */
  *#addRun(
    bytes: Uint8Array,
    trun: Box,
    header: TrackFragment,
    position: number,
    builder: TableBuilder | undefined,
  ): Steps<number> {
    const fields = new FieldReader(bytes, trun)
    const { flags } = fields.fullBox()
    const count = fields.uint32()
    const start = flags & 1 ? header.base + fields.int32() : position
    if (start < 0) throw broken(`a trun begins at byte ${start}`)
    const firstFlags = flags & 4 ? fields.uint32() : undefined
    const entrySize = [0x100, 0x200, 0x400, 0x800].filter((bit) => flags & bit).length * 4
    const limit = entrySize === 0 ? DEFAULTED_SAMPLES_MAX : fields.left / entrySize
    if (count > limit) throw broken(`trun claims ${count} samples`)
    if (builder) this.#budget -= count
    if (this.#budget < 0) throw tooMany()
    // An empty run is no chunk: runs cost the file 16 bytes each, and the budget counts samples.
    if (count > 0) builder?.startChunk(start, header.description)
    let end = start
    for (let i = 0; i < count; i += 1) {
      if (i % ENTRIES_A_STEP === 0) yield
      const duration = flags & 0x100 ? fields.uint32() : header.duration
      const size = flags & 0x200 ? fields.uint32() : header.size
      const own = flags & 0x400 ? fields.uint32() : header.flags
      const composition = flags & 0x800 ? fields.int32() : 0
      const sampleFlags = i === 0 && firstFlags !== undefined ? firstFlags : own
      builder?.addSample(size, duration, composition, (sampleFlags & NON_SYNC) === 0)
      end += size
    }
    return end
  }
}

function tooMany(): NearcastError {
  return broken('more samples in fragments than this server indexes')
}

interface TrackFragment {
  readonly trackId: number
  readonly base: number
  readonly description: number
  readonly duration: number
  readonly size: number
  readonly flags: number
}

const NO_DEFAULTS: FragmentDefaults = { description: 1, duration: 0, size: 0, flags: 0 }

/** A sample costs 4 to 12 bytes, or 28 when it is a run of its own; a chunk 13. */
class TableBuilder {
  readonly #sizes = new NumberColumn(Uint32Array)
  readonly #compositions = new NumberColumn(Int32Array)
  readonly #keys = new NumberColumn(Uint32Array)
  readonly #runFirst = new NumberColumn(Uint32Array)
  readonly #runTime = new NumberColumn(Float64Array)
  readonly #runDelta = new NumberColumn(Uint32Array)
  readonly #chunkFirst = new NumberColumn(Uint32Array)
  readonly #chunkOffset = new NumberColumn(Float64Array)
  readonly #chunkDescription = new NumberColumn(Uint8Array)
  readonly #columns: readonly { readonly bytes: number }[]
  /** Samples before the first one that no decoder can start at; until it comes they are all. */
  #keysBefore = 0
  #allKeys = true
  #time = 0

  constructor() {
    this.#columns = [
      this.#sizes,
      this.#compositions,
      this.#keys,
      this.#runFirst,
      this.#runTime,
      this.#runDelta,
      this.#chunkFirst,
      this.#chunkOffset,
      this.#chunkDescription,
    ]
  }

  /** Before all others: the samples of the moov. */
  *begin({ times, chunks, sizes, compositions, keys, count }: SampleTable): Steps<undefined> {
    for (let i = 0; i < count; i += 1) {
      if (i % ENTRIES_A_STEP === 0) yield
      this.#sizes.push(typeof sizes === 'number' ? sizes : (sizes[i] ?? 0))
      this.#compositions.push(compositions?.[i] ?? 0)
    }
    this.#allKeys = keys === undefined
    const columns = [
      [this.#keys, keys],
      [this.#runFirst, times.first],
      [this.#runTime, times.time],
      [this.#runDelta, times.delta],
      [this.#chunkFirst, chunks.first],
      [this.#chunkOffset, chunks.offset],
    ] as const
    for (const [column, values] of columns) {
      yield* forEntries(values?.length ?? 0, (from, to) => {
        for (let i = from; i < to; i += 1) column.push(values?.[i] ?? 0)
      })
    }
    yield* forEntries(chunks.first.length, (from, to) => {
      for (let i = from; i < to; i += 1) this.#chunkDescription.push(chunks.description?.[i] ?? 0)
    })
    const last = times.first.length - 1
    if (last >= 0) {
      const left = count - (times.first[last] ?? 0)
      this.#time = (times.time[last] ?? 0) + left * (times.delta[last] ?? 0)
    }
  }

  get bytes(): number {
    let bytes = 0
    for (const column of this.#columns) bytes += column.bytes
    return bytes
  }

  /** A fragment's decode time; one that goes back is an overlap of the writer's and is ignored. */
  startAt(time: number): void {
    if (time > this.#time || this.#sizes.length === 0) this.#time = time
  }

  startChunk(offset: number, description: number): void {
    this.#chunkFirst.push(this.#sizes.length)
    this.#chunkOffset.push(offset)
    this.#chunkDescription.push(Math.min(255, Math.max(1, description)) - 1)
  }

  addSample(size: number, duration: number, composition: number, key: boolean): void {
    const index = this.#sizes.length
    const delta = this.#runDelta.last
    const expected = this.#runTime.last + (index - this.#runFirst.last) * delta
    if (this.#runFirst.length === 0 || delta !== duration || expected !== this.#time) {
      this.#runFirst.push(index)
      this.#runTime.push(this.#time)
      this.#runDelta.push(duration)
    }
    if (this.#allKeys && !key) {
      this.#allKeys = false
      this.#keysBefore = index
    } else if (key && !this.#allKeys) this.#keys.push(index)
    this.#sizes.push(size)
    this.#compositions.push(composition)
    this.#time += duration
  }

  /** The columns are empty then: of each there is one copy, and of one at a time two. */
  *build(): Steps<SampleTable> {
    const count = this.#sizes.length
    const one = this.#chunkDescription.allZero
    const still = this.#compositions.allZero
    return {
      count,
      sizes: yield* packSizes(yield* this.#sizes.take()),
      times: {
        first: yield* this.#runFirst.take(),
        time: yield* this.#runTime.take(),
        delta: yield* this.#runDelta.take(),
      },
      chunks: {
        first: yield* this.#chunkFirst.take(),
        offset: yield* this.#chunkOffset.take(),
        description: one ? undefined : yield* this.#chunkDescription.take(),
      },
      compositions: still ? undefined : yield* this.#compositions.take(),
      keys: this.#allKeys ? undefined : yield* this.#takeKeys(),
    }
  }

  *#takeKeys(): Steps<Uint32Array> {
    const before = this.#keysBefore
    const keys = yield* this.#keys.take(before)
    yield* forEntries(before, (from, to) => {
      for (let i = from; i < to; i += 1) keys[i] = i
    })
    return keys
  }
}
