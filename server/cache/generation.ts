import { NearcastError, hasCode } from '../lib/errors.ts'
import { type Deferred, deferred } from '../lib/deferred.ts'
import { Fill, type FillEnd, type FillOwner, type Run, type Source } from './fill.ts'
import { leadOf, type Readable, Reader } from './reader.ts'
import { coveringFill, nextBoundary, runToFetch } from './run-to-fetch.ts'
import type { Evictable, Shortage } from './sieve.ts'
import { SLICE_OVERHEAD_BYTES, Slice, type SliceOwner } from './slice.ts'
import { SliceGrid } from './slice-grid.ts'
import { Waiters } from './waiters.ts'

/** How far a fill runs ahead of its fastest reader. */
export const AHEAD_SLICES = 4
/** A reader this many parts of a slice ahead of a fill waits for it instead of asking the origin itself. */
const NEAR_PART_OF_SLICE = 4

/** The byte bound that generations live under. */
export interface Room {
  readonly sliceBytes: number
  /**
   * Makes room for `cost` bytes by eviction; false when there is none: all that is left is being filled or, unless `urgent`, about to be
   * read by someone.
   */
  admit(cost: number, urgent: boolean): boolean
  insert(slice: Slice, cost: number, probation: boolean): void
  /** The slice is complete: `cost` is what it takes from now on. */
  settle(generation: Generation, slice: Slice, cost: number): void
  remove(slice: Slice): void
  /** Resolves when something was given up, completed or read past. */
  freed(): Promise<void>
  /** The slice was read a second time, or many times more. */
  wanted(generation: Generation, slice: Slice): void
  /** A fill ended and every byte is here. */
  filled(generation: Generation): void
  /** Where bytes from `start` are had best, and up to which byte: from a tier of the cache or from the origin. */
  sourceOf(
    generation: Generation,
    start: number,
    end: number,
    origin: Source,
  ): { readonly source: Source; readonly end: number }
  /** A reader moved on: what lies behind it may go. */
  passed(): void
  /** A slice is given up, and is still here. */
  leaving(generation: Generation, of: Shortage): void
  /** The generation holds nothing any more and nobody reads it. */
  emptied(generation: Generation): void
}

export interface GenerationOptions {
  /** Name under which generations are shared; undefined: it belongs to one object. */
  readonly id: string | undefined
  /** Strong etag without quotes. */
  readonly etag: string | undefined
  readonly size: number | undefined
  /** Missing bytes can be asked for again: strong etag, known size, and an origin that answers ranges. */
  readonly rangeable: boolean
}

/** The immutable bytes of one strong etag, or of one response without: slices, the fills that bring them, and who reads them. */
export class Generation implements Readable, SliceOwner, FillOwner {
  readonly id: string | undefined
  readonly etag: string | undefined
  readonly rangeable: boolean
  /** Objects that name it, and the last of them: kept by the cache. */
  objects = 0
  object: Evictable | undefined
  /** Name under which its slices rest in the tiers below; undefined when they can't: kept by the cache. */
  restName: string | undefined
  /** Its origin asked to be left alone, as this error says, until then (milliseconds since 1970): kept by whoever asks the origin. */
  refusal: { readonly error: Error; readonly until: number } | undefined
  readonly #room: Room
  #size: number | undefined
  #closed: Error | undefined
  /** Lost a slice that cannot be fetched again: those who read it go on, nobody else begins. */
  #holed = false
  #holds = 0
  readonly #grid: SliceGrid
  readonly #fills = new Set<Fill>()
  readonly #sources = new Map<Reader, Source | undefined>()
  readonly #waiters = new Waiters()
  #movement: Deferred<void> | undefined
  #lead: number | undefined

  constructor(room: Room, options: GenerationOptions) {
    this.#room = room
    this.#grid = new SliceGrid(room.sliceBytes)
    this.id = options.id
    this.etag = options.etag
    this.#size = options.size
    this.rangeable = options.rangeable
    this.restName = options.rangeable && options.etag !== undefined ? options.id : undefined
  }

  get size(): number | undefined {
    return this.#size
  }
  /** Someone who comes now can read all of it. */
  get usable(): boolean {
    return this.#closed === undefined && !this.#holed
  }
  /** Its bytes are not the origin's any more. */
  get outdated(): boolean {
    return hasCode(this.#closed, 'object-changed')
  }
  /** None of its bytes is here. */
  get empty(): boolean {
    return this.#grid.empty
  }
  /** Bytes of it that are here. */
  get heldBytes(): number {
    return this.#grid.filledBytes
  }
  get readerCount(): number {
    return this.#sources.size
  }
  get fillCount(): number {
    return this.#fills.size
  }

  /** Bytes from `start` to before `end`; missing ones are fetched from `source`. */
  read(start: number, end: number, source: Source | undefined): Reader {
    const reader = new Reader(this, start, Math.min(end, this.#size ?? end))
    this.#sources.set(reader, source)
    this.moved()
    return reader
  }

  /** True when every byte from `start` to before `end` is here now. */
  holds(start: number, end: number): boolean {
    for (let position = start; position < end; ) {
      const slice = this.sliceAt(position)
      if (!slice) return false
      position = slice.end
    }
    return true
  }

  /** All `size` bytes in pieces that never change; undefined when some are not here. */
  whole(size: number): readonly Buffer[] | undefined {
    return this.#grid.whole(size)
  }

  /** Takes over all its bytes, at most a slice, unless some are here or on their way. False without room for them and `more`. */
  adopt(bytes: Uint8Array, more: number): boolean {
    if (bytes.length === 0 || !this.#grid.empty || this.#fills.size > 0)
      return this.#room.admit(more, true)
    // Copied before room is made: that may give up where they lie.
    const slice = Slice.whole(this, Buffer.allocUnsafeSlow(bytes.length), bytes)
    if (!this.#room.admit(slice.memory + more, true)) return false
    this.#room.insert(slice, slice.memory, false)
    this.#grid.add(slice)
    return true
  }

  /** The same for one who reads them now: no bound counts them. */
  show(bytes: Uint8Array): void {
    const { length } = bytes
    if (length > 0) this.#grid.add(Slice.whole(this, Buffer.allocUnsafe(length), bytes))
  }

  /** Keeps fills going until released, while readers are on their way. */
  hold(): Disposable {
    this.#holds++
    let released = false
    return {
      [Symbol.dispose]: () => {
        if (released) return
        released = true
        this.#holds--
        this.#reconsider()
      },
    }
  }

  /**
   * Takes over an origin request that is already answered: its bytes fill this generation up to `end`, and are read meanwhile. A run whose
   * first byte is here already, or comes in another fill, is cancelled: no byte is fetched twice. Where it dies, `source` has the rest.
   */
  fillFrom(run: Run, end: number, source: Source | undefined, controller: AbortController): void {
    if (this.sliceAt(run.start) || this.#covering(run.start)) {
      controller.abort(new NearcastError('unavailable', 'these bytes are here already'))
      void Promise.resolve(run.body[Symbol.asyncIterator]().return?.()).catch(() => {})
      return
    }
    const limit = Math.min(end, nextBoundary(this.#grid, this.#fills, run.start))
    const probation = source?.probation ?? false
    this.#start(new Fill(this, run.start, limit, probation, controller), run, source)
  }

  /** Its bytes can't be had whole: waiting readers fail, nobody new begins. */
  #close(error: Error): void {
    if (this.#closed) return
    this.#closed = error
    for (const fill of this.#fills) fill.stop()
    this.#waiters.fail(error)
    this.moved()
    this.#sweep()
  }

  sliceAt(position: number): Slice | undefined {
    return this.#grid.at(position)
  }

  wait(reader: Reader): Promise<void> {
    if (this.sliceAt(reader.position) || reader.done) return Promise.resolve()
    const fill = this.#covering(reader.position) ?? (this.#closed ? undefined : this.#fetch(reader))
    if (!fill && this.#closed) return Promise.reject(this.#closed)
    if (!fill) {
      const at = `byte ${reader.position} was given up and cannot be fetched again`
      return Promise.reject(new NearcastError('origin-failed', at))
    }
    return this.#waiters.add(reader, fill)
  }

  moved(): void {
    this.#lead = undefined
    const movement = this.#movement
    this.#movement = undefined
    movement?.resolve()
    this.#room.passed()
  }

  detach(reader: Reader): void {
    if (!this.#sources.delete(reader)) return
    this.#waiters.left(reader)
    this.#reconsider()
  }

  async nextSlice(fill: Fill): Promise<Slice | undefined> {
    const { sliceBytes } = this.#room
    for (;;) {
      if (fill.stopped) return undefined
      const lead = leadOf(this.#sources.keys(), fill)
      if (lead === undefined && this.#holds === 0) return undefined
      const ahead = fill.position - (lead ?? fill.start)
      if (ahead >= AHEAD_SLICES * sliceBytes) {
        this.#movement ??= deferred()
        await this.#movement.promise
        continue
      }
      // Running ahead takes nothing away that somebody is about to read; what a reader waits for does.
      const slice = this.#admitted(fill, ahead < sliceBytes)
      if (slice) return slice
      await this.#room.freed()
    }
  }

  reads(fill: Fill): boolean {
    return this.#holds > 0 || leadOf(this.#sources.keys(), fill) !== undefined
  }

  continues(fill: Fill): boolean {
    for (const reader of this.#sources.keys())
      if (reader.begun && leadOf([reader], fill) !== undefined) return true
    return false
  }

  sliceFinished(slice: Slice): void {
    if (slice.filled === 0) {
      this.#room.remove(slice)
      this.#grid.remove(slice)
    } else this.#room.settle(this, slice, slice.memory)
  }

  progressed(fill: Fill): void {
    this.#waiters.progressed(fill)
  }

  evictionOf(slice: Slice): 'free' | 'last' {
    if (this.#sources.size === 0) return 'free'
    if (this.#lead === undefined) {
      this.#lead = 0
      for (const reader of this.#sources.keys()) this.#lead = Math.max(this.#lead, reader.position)
    }
    const ahead = AHEAD_SLICES * this.#room.sliceBytes
    return slice.end > this.#lead && slice.start <= this.#lead + ahead ? 'last' : 'free'
  }

  sliceWanted(slice: Slice): void {
    this.#room.wanted(this, slice)
  }

  sliceEvicted(slice: Slice, of: Shortage): void {
    this.#room.leaving(this, of)
    this.#grid.remove(slice)
    if (!this.rangeable) this.#holed = true
    this.#sweep()
  }

  /** An object stopped naming it. */
  released(object: Evictable): void {
    this.objects--
    if (this.object === object) this.object = undefined
    this.#sweep()
  }

  #admitted(fill: Fill, urgent: boolean): Slice | undefined {
    const cellEnd = this.#grid.cellStart(fill.position) + this.#room.sliceBytes
    const limit = Math.min(cellEnd, fill.limit)
    // A slice that grows is charged with all it may become.
    const cost = limit - fill.position + SLICE_OVERHEAD_BYTES
    if (!this.#room.admit(cost, urgent)) return undefined
    const slice = new Slice(this, fill.position, limit, this.#size !== undefined)
    this.#room.insert(slice, cost, fill.probation)
    this.#grid.add(slice)
    return slice
  }

  /** The fill that will soon bring the byte at `position`, or at all where it cannot be asked for. */
  #covering(position: number): Fill | undefined {
    const waits = !this.rangeable || this.#closed !== undefined
    const near = waits ? Number.POSITIVE_INFINITY : this.#room.sliceBytes / NEAR_PART_OF_SLICE
    return coveringFill(this.#fills, position, near)
  }

  #fetch(reader: Reader): Fill | undefined {
    const source = this.#sources.get(reader)
    if (!source || !this.rangeable || this.#size === undefined) return undefined
    const end = Math.min(reader.end, this.#size)
    const gap = runToFetch(this.#grid, this.#fills, {
      start: reader.position,
      end,
      size: this.#size,
    })
    const best = this.#room.sourceOf(this, gap.start, gap.end, source)
    const probation = source.probation ?? false
    const fill = new Fill(this, gap.start, best.end, probation, new AbortController())
    this.#start(fill, undefined, best.source)
    return fill
  }

  #start(fill: Fill, run: Run | undefined, source: Source | undefined): void {
    // A fill that would come here later ends where this one begins.
    for (const other of this.#fills)
      if (other.position <= fill.start && fill.start < other.limit) {
        other.limit = fill.start
        this.#waiters.wakeFrom(other, fill.start)
      }
    this.#fills.add(fill)
    void fill.run(run, source).then((end) => this.#ended(fill, end))
  }

  #ended(fill: Fill, end: FillEnd): void {
    this.#fills.delete(fill)
    if (end.kind === 'ended') this.#size = fill.position
    if (end.kind === 'failed') this.#failed(fill, end.error)
    else this.#waiters.wakeFrom(fill, 0)
    const partial = end.kind === 'stopped' || end.kind === 'failed'
    if (partial && !this.rangeable)
      this.#close(new NearcastError('origin-failed', 'the body was not received whole'))
    else if (this.#size !== undefined && this.holds(0, this.#size)) this.#room.filled(this)
    this.#sweep()
  }

  #failed(fill: Fill, cause: unknown): void {
    const error = cause instanceof Error ? cause : new NearcastError('origin-failed', String(cause))
    if (hasCode(error, 'object-changed')) this.#outdate(fill, error)
    this.#waiters.fail(error, fill)
  }

  /** The origin has other bytes by now. What it began to give before is right still, up to where `fill` should have taken over, and behind. */
  #outdate(fill: Fill, error: Error): void {
    this.#closed ??= error
    for (const other of this.#fills)
      if (other.limit === fill.start && fill.position === fill.start) other.limit = fill.limit
    this.moved()
  }

  /**
   * A fill that nobody reads any more stops at once, unless its slice is half there or the last of the run: then the slice is
   * finished, since that costs less than a new connection.
   */
  #reconsider(): void {
    for (const fill of this.#fills) {
      const over = fill.stopped || fill.position >= fill.limit
      if (over || this.reads(fill)) continue
      const slice = fill.slice
      const nearlyDone =
        slice &&
        (fill.limit <= slice.limit || slice.filled * 2 >= slice.limit - slice.start) &&
        fill.position < slice.limit
      if (!nearlyDone) fill.stop()
    }
    this.moved()
    this.#sweep()
  }

  /** Gives its bytes back when nobody can come to them any more. */
  #sweep(): void {
    if (this.#sources.size > 0 || this.#holds > 0 || this.#fills.size > 0) return
    const reachable = this.usable && (this.objects > 0 || this.id !== undefined)
    if (!reachable)
      for (const slice of this.#grid.all()) {
        this.#room.remove(slice)
        this.#grid.remove(slice)
      }
    if (this.#grid.empty && (this.objects === 0 || !this.usable)) this.#room.emptied(this)
  }
}
