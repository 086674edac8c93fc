import type { Clock } from '../lib/clock.ts'
import { type ErrorCode, NearcastError } from '../lib/errors.ts'
import type { Slice } from './slice.ts'

/** An origin's answer on its way: `body` begins at byte `start` of the generation. */
export interface Run {
  readonly start: number
  readonly body: AsyncIterable<Uint8Array>
}

/** Where a generation's missing bytes come from. */
export interface Source {
  /**
   * One origin request for the bytes from `start` to before `end`. Throws `object-changed` when the origin's bytes are no longer those of
   * this generation; the body throws when it is cut short.
   */
  open(start: number, end: number, signal: AbortSignal): Promise<Run>
  /** Bytes fetched for this reader are not worth keeping unless they are read again. */
  readonly probation?: boolean | undefined
  /** Paces what is asked again; without one nothing is asked again that brought no byte. */
  readonly clock?: Clock | undefined
}

/** The origin said no, when to come again, or something else than was asked: asking once more in a moment is of no use. */
export class RefusedForNow extends NearcastError {}

export interface FillOwner {
  /** Somebody reads from the fill, or is on the way. */
  reads(fill: Fill): boolean
  /** One of those was given bytes of another fill before. */
  continues(fill: Fill): boolean
  /** The slice at the fill's position, once readers are near enough and there is room; undefined when nobody reads any more. */
  nextSlice(fill: Fill): Promise<Slice | undefined>
  sliceFinished(slice: Slice): void
  /** Bytes below `fill.position` can be read now. */
  progressed(fill: Fill): void
}

export type FillEnd =
  | { readonly kind: 'reached' }
  /** The body ended where it ended: nobody had said how long it is. */
  | { readonly kind: 'ended' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly error: unknown }

/** A body that died after some bytes is taken up again behind them so many times… */
const RESUMES_MAX = 4
/** …and again as often, once it gave so many. */
const RESUMES_EARNED_BYTES = 4 * 1024 * 1024
/** One that brought nothing is followed by another after each of these pauses: a server that restarts is back by then, ours included. */
const PAUSES_MS: readonly number[] = [100, 400, 1600, 3000]

/** One origin request over a run of missing bytes; read while it is written. Resumes by range where it has a source. */
export class Fill {
  readonly start: number
  /** The next byte to come. */
  position: number
  /** Where it stops: Infinity when nobody knows; lowered when another fill takes over from there. */
  limit: number
  slice: Slice | undefined
  readonly probation: boolean
  readonly #owner: FillOwner
  readonly #controller: AbortController

  constructor(
    owner: FillOwner,
    start: number,
    limit: number,
    probation: boolean,
    controller: AbortController,
  ) {
    this.#owner = owner
    this.probation = probation
    this.start = start
    this.position = start
    this.limit = limit
    this.#controller = controller
  }

  get stopped(): boolean {
    return this.#controller.signal.aborted
  }

  stop(): void {
    this.#controller.abort(new NearcastError('unavailable', 'nobody reads this any more'))
  }

  /** Runs to the end, whatever that is; never rejects. */
  async run(first: Run | undefined, source: Source | undefined): Promise<FillEnd> {
    let run = first
    let resumes = 0
    let fruitless = 0
    for (;;) {
      const before = this.position
      try {
        if (!run) {
          if (!source) throw new NearcastError('origin-failed', 'these bytes cannot be asked for')
          run = await source.open(this.position, this.limit, this.#controller.signal)
        }
        const end = await this.#copy(run)
        if (end) return end
        throw new NearcastError('origin-failed', `${this.limit - this.position} bytes are missing`)
      } catch (error) {
        if (this.stopped) return { kind: 'stopped' }
        const gained = this.position - before
        fruitless = gained > 0 ? 0 : fruitless + 1
        if (gained >= RESUMES_EARNED_BYTES) resumes = 0
        else if (gained > 0) resumes++
        const begun = this.position > this.start || this.#owner.continues(this)
        const given = begun && resumes <= RESUMES_MAX
        const failed = { kind: 'failed', error } as const
        if (!source || !given || isFinal(error)) return failed
        this.#finishSlice()
        if (fruitless > 0 && !(await this.#pause(source.clock, PAUSES_MS[fruitless - 1])))
          return this.stopped ? { kind: 'stopped' } : failed
        // Nobody may have been reading when it died: then only its slice was to be finished.
        if (!this.#owner.reads(this)) return { kind: 'stopped' }
        if (this.position >= this.limit) return { kind: 'reached' }
        run = undefined
      } finally {
        this.#finishSlice()
      }
    }
  }

  /** false when there is none to be made, or it was broken off. */
  async #pause(clock: Clock | undefined, ms: number | undefined): Promise<boolean> {
    if (!clock || ms === undefined || !this.#owner.reads(this)) return false
    try {
      await clock.sleep(ms, this.#controller.signal)
      return true
    } catch {
      return false
    }
  }

  async #copy(run: Run): Promise<FillEnd | undefined> {
    const asked = this.limit
    let skip = this.position - run.start
    if (skip < 0)
      throw new NearcastError(
        'origin-failed',
        `asked for byte ${this.position}, got ${run.start} first`,
      )
    for await (const chunk of run.body) {
      if (this.stopped) return { kind: 'stopped' }
      if (this.position >= this.limit) return { kind: 'reached' }
      const bytes = skip > 0 ? chunk.subarray(skip) : chunk
      skip = Math.max(0, skip - chunk.length)
      if (!(await this.#append(bytes))) return { kind: 'stopped' }
      // The last pull lets the origin's connection end in good order; bytes that another fill fetches are not pulled.
      if (this.position >= this.limit && this.limit < asked) return { kind: 'reached' }
    }
    if (this.position >= this.limit) return { kind: 'reached' }
    return this.limit === Number.POSITIVE_INFINITY ? { kind: 'ended' } : undefined
  }

  /** false when nobody wants more. */
  async #append(chunk: Uint8Array): Promise<boolean> {
    let rest = chunk
    while (rest.length > 0 && this.position < this.limit) {
      if (this.slice && this.slice.end >= this.slice.limit) this.#finishSlice()
      this.slice ??= await this.#owner.nextSlice(this)
      if (!this.slice) return false
      const taken = this.slice.append(rest, this.limit)
      rest = taken === rest.length ? EMPTY : rest.subarray(taken)
      this.position += taken
      if (this.position >= this.limit || this.slice.end >= this.slice.limit) this.#finishSlice()
      this.#owner.progressed(this)
    }
    return true
  }

  #finishSlice(): void {
    const slice = this.slice
    this.slice = undefined
    if (!slice) return
    slice.finish()
    this.#owner.sliceFinished(slice)
  }
}

// A credential, a bucket or an object that is not there will not be there in a moment.
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'origin-failed',
  'origin-timeout',
  'origin-unreachable',
  'store-failed',
  'store-unreachable',
  'unavailable',
])

function isFinal(error: unknown): boolean {
  if (error instanceof RefusedForNow) return true
  return error instanceof NearcastError && !PASSING.has(error.code)
}

const EMPTY = new Uint8Array(0)
