import { readBoxes, readBoxHeader } from '../formats/isobmff/read-boxes.ts'
import {
  FragmentCollector,
  type IndexedSpan,
  readRandomAccess,
  readSegmentIndex,
} from '../formats/isobmff/read-fragments.ts'
import type { Movie } from '../formats/isobmff/read-movie.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import type { Steps, Turns } from '../lib/in-turns.ts'
import type { MemoryShare } from './load-memory.ts'
import type { ObjectWindow } from './object-window.ts'

/** Small fragments lie close together: one read takes in many. */
const NEAR_BYTES = 1024 * 1024
/** A large one is stepped over; this holds its moof and the head of its mdat. */
const FAR_BYTES = 32 * 1024
const MOOF_BYTES_MAX = 16 * 1024 * 1024
/** Reads of moofs that an index names, at a time. */
const PARALLEL = 8
/** Boxes behind the moov; each may be a read. */
const STEPS_MAX = 100_000
/** Fragments an index names. */
const SPANS_MAX = 65_536

/** A sample and its entry have fewer bytes in no codec; what claims more samples has none for them. */
const SAMPLE_BYTES_LEAST = 8
/** Of a file however small. */
const SAMPLES_LEAST = 65_536

/** When they are put together the largest column is there twice, and it may be all of them. */
const TABLES_TWICE = 2
/** Four bytes of a moof, a duration, become a size, a run and a key: 24 of a table. */
const TABLE_BYTES_A_BYTE = 6

export interface FragmentReading {
  readonly limits: { readonly fragmentSamples: number; readonly fragmentBytes: number }
  readonly share: MemoryShare
  readonly turns: Turns
}

export interface Fragments {
  readonly collector: FragmentCollector
  /** One was cut off, damaged or more than the budget: it and what is behind it are missing. */
  readonly truncated: boolean
}

/**
 * The samples of all movie fragments behind byte `start`. With an index (sidx, or mfra at the end) the moofs are read several at a
 * time, else one after the other. The index only says where to read: the boxes say where the next one is, since an index may leave some
 * out. Fragments that are cut off or damaged end the walk: what came before them plays.
 */
export async function collectFragments(
  window: ObjectWindow,
  movie: Movie,
  start: number,
  reading: FragmentReading,
): Promise<Fragments> {
  const backed = SAMPLES_LEAST + Math.floor(window.info.size / SAMPLE_BYTES_LEAST)
  const collector = new FragmentCollector(
    movie.fragmentDefaults ?? new Map(),
    movie.tracks,
    Math.min(reading.limits.fragmentSamples, backed),
  )
  const walk = new FragmentWalk(window, collector, start, reading)
  const index = await findIndex(window, start, reading)
  for (let i = 0; i < index.length; i += PARALLEL) {
    const batch = index.slice(i, i + PARALLEL)
    await Promise.all(batch.map((span) => window.get(span.start, FAR_BYTES)))
    for (const span of batch) {
      if (!(await walk.run(span.end))) return { collector, truncated: walk.truncated }
    }
    window.forget()
  }
  await walk.run(window.info.size)
  return { collector, truncated: walk.truncated }
}

class FragmentWalk {
  readonly #window: ObjectWindow
  readonly #collector: FragmentCollector
  readonly #reading: FragmentReading
  #reserved = 0
  #at: number
  #last = 0
  #ahead = NEAR_BYTES
  #steps = 0
  truncated = false

  /** `start`: where a box begins. */
  constructor(
    window: ObjectWindow,
    collector: FragmentCollector,
    start: number,
    reading: FragmentReading,
  ) {
    this.#reading = reading
    this.#window = window
    this.#collector = collector
    this.#at = start
  }

  /** Goes on to the first box behind byte `end`; false when it can't go on. */
  async run(end: number): Promise<boolean> {
    for (;;) {
      const next = await this.#reading.turns.run(this.#walk(end))
      if (typeof next === 'boolean') return next
      this.#window.forget()
      await this.#window.get(next.start, next.length, next.ahead)
    }
  }

  /** As far as the bytes go that were read; gives what is to be read then, or what `run` gives. */
  *#walk(end: number): Steps<boolean | Wanted> {
    while (this.#at + 8 <= end) {
      const at = this.#at
      const start = this.#window.have(at, 16)
      if (start === undefined) return { start: at, length: 16, ahead: this.#ahead }
      const header = readBoxHeader(start, 0)
      if (header === undefined || header.size === undefined) return false
      if (header.type === 'moof') {
        if (this.#last > 0 && this.#last < at)
          this.#ahead = at - this.#last < NEAR_BYTES / 2 ? NEAR_BYTES : FAR_BYTES
        this.#last = at
        const added = yield* this.#addFragment(at, header.size)
        if (added === false) this.truncated = true
        if (added !== true) return added
      }
      this.#at += header.size
      this.#steps += 1
      if (this.#steps > STEPS_MAX) {
        throw new NearcastError('media-broken', `more than ${STEPS_MAX} boxes behind its index`)
      }
      yield
    }
    return true
  }

  *#addFragment(at: number, size: number): Steps<boolean | Wanted> {
    if (size > MOOF_BYTES_MAX) throw new NearcastError('media-broken', `a moof of ${size} bytes`)
    if (at + size > this.#window.info.size) return false
    this.#reserve(this.#collector.bytes * TABLES_TWICE + size * (1 + TABLE_BYTES_A_BYTE))
    const bytes = this.#window.have(at, size)
    if (bytes === undefined) return { start: at, length: size, ahead: 0 }
    const [moof] = readBoxes(bytes)
    if (moof === undefined) return false
    try {
      yield* this.#collector.add(bytes, moof, at)
    } catch (error) {
      if (hasCode(error, 'media-broken')) return false
      throw error
    }
    return this.#collector.bytes <= this.#reading.limits.fragmentBytes
  }

  /** In steps: of the tables, and of a large moof beside them. */
  #reserve(bytes: number): void {
    for (; this.#reserved < bytes; this.#reserved += RESERVED_A_STEP) {
      this.#reading.share.add(RESERVED_A_STEP)
    }
  }
}

/** What is to be read before the walk goes on. */
interface Wanted {
  readonly start: number
  readonly length: number
  readonly ahead: number
}

const RESERVED_A_STEP = 1024 * 1024
const NO_INDEX: readonly IndexedSpan[] = []

/** The fragments a sidx right behind the moov, or an mfra at the end of the object, names. */
async function findIndex(
  window: ObjectWindow,
  start: number,
  reading: FragmentReading,
): Promise<readonly IndexedSpan[]> {
  let at = start
  for (let boxes = 0; boxes < 8 && at + 8 <= window.info.size; boxes += 1) {
    const header = readBoxHeader(await window.get(at, 16, FAR_BYTES), 0)
    if (header?.size === undefined || header.type === 'moof') break
    if (header.type === 'sidx') return readIndex(window, reading.share, at, header.size, 0)
    at += header.size
  }
  return findRandomAccess(window, start, reading)
}

/** A sidx may name others: two levels are what encoders write. */
async function readIndex(
  window: ObjectWindow,
  share: MemoryShare,
  at: number,
  size: number,
  depth: number,
): Promise<readonly IndexedSpan[]> {
  if (size > MOOF_BYTES_MAX) return NO_INDEX
  // Once for all that one names: of them one at a time is held.
  if (depth === 0) share.add(size + Math.max(size, NEAR_BYTES))
  const bytes = await window.get(at, size)
  const [sidx] = readBoxes(bytes)
  if (sidx === undefined) return NO_INDEX
  const spans: IndexedSpan[] = []
  for (const span of readSegmentIndex(bytes, sidx, at + size)) {
    if (span.end > window.info.size || span.end <= span.start) break
    // Each index may name 65,535 others; the walk finds what is behind these.
    if (spans.length >= SPANS_MAX) break
    if (span.kind === 'media') spans.push(span)
    else if (depth === 0) {
      if (!window.have(span.start, 16)) window.forget()
      const header = readBoxHeader(await window.get(span.start, 16, FAR_BYTES), 0)
      if (header?.type !== 'sidx' || header.size === undefined) break
      // One longer than its reference would be read again with each that follows; it has room that is
      // reserved.
      if (span.start + header.size > span.end || header.size > Math.max(size, NEAR_BYTES)) break
      spans.push(...(await readIndex(window, share, span.start, header.size, 1)))
    }
  }
  return spans
}

/** §8.8.11: the last 16 bytes say how long the mfra box at the end is. */
async function findRandomAccess(
  window: ObjectWindow,
  start: number,
  { share, turns }: FragmentReading,
): Promise<readonly IndexedSpan[]> {
  const { size } = window.info
  if (size - start < 2 * NEAR_BYTES) return NO_INDEX
  const last = await window.get(size - 16, 16)
  const view = new DataView(last.buffer, last.byteOffset, last.byteLength)
  const length = view.getUint32(12)
  if (
    view.getUint32(4) !== MFRO ||
    length < 16 ||
    length > Math.min(MOOF_BYTES_MAX, size - start)
  ) {
    return NO_INDEX
  }
  share.add(length)
  const bytes = await window.get(size - length, length)
  const [mfra] = readBoxes(bytes)
  if (mfra?.type !== 'mfra') return NO_INDEX
  const named = await turns.run(readRandomAccess(bytes, mfra))
  const offsets = [...named].filter((at) => at >= start && at < size - length)
  // What stands before the first one it names has perhaps no key frame, and still plays.
  const starts = offsets[0] === start ? offsets : [start, ...offsets]
  return starts.map((at, i) => ({
    kind: 'media',
    start: at,
    end: starts[i + 1] ?? size - length,
  }))
}

const MFRO = 0x6d66726f
