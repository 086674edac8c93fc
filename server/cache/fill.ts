import { NearcastError } from '../lib/errors.ts'
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
}

export interface FillOwner {
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
    for (let resumes = 0; ; resumes++) {
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
        const resumable = source && this.position > before && resumes < RESUMES_MAX
        if (!resumable) return { kind: 'failed', error }
        if (this.position - before >= RESUMES_EARNED_BYTES) resumes = -1
        run = undefined
      } finally {
        this.#finishSlice()
      }
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

const EMPTY = new Uint8Array(0)
