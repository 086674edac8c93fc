import { NearcastError } from '../../lib/errors.ts'
import type { Source } from '../fill.ts'
import type { ObjectFacts } from '../stored-object.ts'
import {
  type AnswerMeta,
  type RestingBytes,
  readAnswerMeta,
  readPathMeta,
  readVaryMeta,
  writeAnswerMeta,
} from './answer-meta.ts'
import type { DiskStats, DiskStore } from './disk-store.ts'
import { type AnswerName, answerRecord, keyRecord } from './record-names.ts'
import type { StoredRecord } from './record.ts'

/** What of a disk store is asked. */
export type RecordStore = Pick<
  DiskStore,
  'stats' | 'hash' | 'has' | 'visit' | 'read' | 'write' | 'forget' | 'close'
>

export interface RestingOptions {
  readonly disk: RecordStore
  /** Names this process: random. */
  readonly run: string
}

/** An answer as it lay: `body` when the bytes are in the record. */
export interface RestingAnswer {
  readonly facts: ObjectFacts
  readonly bytes: RestingBytes
  readonly vary: readonly string[]
  readonly body: Buffer
}

/** The slices of a generation as they rest: under which name, how large, and in which grid. */
export interface SliceRun {
  readonly name: string
  readonly size: number
  readonly sliceBytes: number
}

/** Cells that one fill reads at most, and looks ahead for what rests. */
const CELLS_MAX = 64

/** What the cache gives to the tier below and has back from it: answers and slices ⇄ records. */
export class Resting {
  readonly #disk: RecordStore
  readonly #run: string
  readonly #reading = new Map<string, Promise<StoredRecord | undefined>>()

  constructor({ disk, run }: RestingOptions) {
    this.#disk = disk
    this.#run = run
  }

  get stats(): DiskStats {
    return this.#disk.stats
  }

  /** True when there may be an answer for this key; a look into the index and no more. */
  holds(key: string): boolean {
    return this.#disk.has(this.#disk.hash(keyRecord(key)))
  }

  /** The answer of this key for whom `variantOf` chooses; undefined when there is none that counts still. */
  async answer(
    key: string,
    variantOf: (vary: readonly string[]) => string,
  ): Promise<RestingAnswer | undefined> {
    let vary: readonly string[] = []
    let name = keyRecord(key)
    let record = await this.#read(name)
    if (record?.kind === 'vary') {
      const names = readVaryMeta(record.meta)
      if (!names) return undefined
      vary = names
      name = answerRecord({ key, vary, variant: variantOf(vary) })
      record = await this.#read(name)
    }
    if (record?.kind !== 'object') return undefined
    const meta = readAnswerMeta(record.meta)
    if (!meta || !(await this.#counts(meta))) {
      this.#forget(name)
      return undefined
    }
    const { facts, run, bytes } = meta
    // Numbers of another process's own invalidations mean nothing here; those that count are records.
    const localSeq = run === this.#run ? facts.stamp.localSeq : 0
    const stamp = { ...facts.stamp, localSeq }
    return { facts: { ...facts, stamp }, bytes, vary, body: record.body }
  }

  /** Keeps an answer; `body` is empty when its bytes rest as slices. */
  keep(
    name: AnswerName,
    facts: ObjectFacts,
    bytes: RestingBytes,
    body: readonly Uint8Array[],
  ): void {
    const meta = writeAnswerMeta({ facts, run: this.#run, bytes })
    this.#announce(name)
    const record = answerRecord(name)
    if (!this.#write('object', record, meta, body)) this.#forget(record)
  }

  /** What was kept under this name counts no more; the key's answers are chosen by `name.vary` from now on. */
  forget(name: AnswerName): void {
    this.#announce(name)
    this.#forget(answerRecord(name))
  }

  /** Answers of this path that were asked for until `at` count no more, in this process or another. Milliseconds since 1970. */
  forgetPath(distribution: string, path: string, at: number): void {
    this.#write('path', pathRecord(distribution, path), String(at), [])
  }

  keepSlice(run: SliceRun, start: number, bytes: Uint8Array): void {
    const name = sliceRecord(run, start)
    if (!this.#disk.visit(this.#disk.hash(name))) this.#write('slice', name, '', [bytes])
  }

  /** Says that the answer is read again, if only in memory; false when it does not rest any more. */
  visit(name: AnswerName): boolean {
    return this.#disk.visit(this.#disk.hash(answerRecord(name)))
  }

  /** True when all bytes from `start` to before `end` rest here. */
  holdsSlices(run: SliceRun, start: number, end: number): boolean {
    for (let cell = cellOf(run, start); cell < end; cell += run.sliceBytes)
      if (!this.#holdsSlice(run, cell)) return false
    return true
  }

  /**
   * Where bytes from `start` come from, and up to which byte that source is the best: the slices that rest here one after another, else
   * the origin up to the next one that does.
   */
  sourceOf(
    run: SliceRun,
    start: number,
    end: number,
    origin: Source,
  ): { readonly source: Source; readonly end: number } {
    const first = cellOf(run, start)
    const rests = this.#holdsSlice(run, first)
    let cell = first + run.sliceBytes
    const last = first + CELLS_MAX * run.sliceBytes
    while (cell < end && cell < last && this.#holdsSlice(run, cell) === rests)
      cell += run.sliceBytes
    if (!rests) return { source: origin, end: cell >= last ? end : Math.min(end, cell) }
    return { source: this.#tierSource(run, origin), end: Math.min(end, cell) }
  }

  /** Whether a record is worth a place when the segment it lies in goes. */
  async survives(record: StoredRecord): Promise<boolean> {
    // What an unsafe request said is needed by older records only, and they are gone or were asked of here.
    if (record.kind !== 'object') return record.kind !== 'path'
    const meta = readAnswerMeta(record.meta)
    return meta !== undefined && this.#counts(meta)
  }

  close(): Promise<void> {
    return this.#disk.close()
  }

  #tierSource(run: SliceRun, origin: Source): Source {
    const read = async (cell: number): Promise<Buffer | undefined> => {
      const record = await this.#read(sliceRecord(run, cell))
      const length = Math.min(run.sliceBytes, run.size - cell)
      return record?.kind === 'slice' && record.body.length === length ? record.body : undefined
    }
    async function* bytesFrom(first: Buffer, start: number, end: number) {
      let cell = cellOf(run, start)
      yield first.subarray(start - cell, end - cell)
      for (cell += run.sliceBytes; cell < end; cell += run.sliceBytes) {
        const body = await read(cell)
        // The fill goes on behind what it has, and then asks the origin.
        if (!body) throw new NearcastError('origin-failed', 'a slice on disk cannot be read')
        yield body.subarray(0, end - cell)
      }
    }
    return {
      probation: origin.probation,
      clock: origin.clock,
      async open(start, end, signal) {
        const first = await read(cellOf(run, start))
        signal.throwIfAborted()
        return first
          ? { start, body: bytesFrom(first, start, end) }
          : origin.open(start, end, signal)
      },
    }
  }

  /** False when an unsafe request made the answers of its path old since. */
  async #counts({ facts }: AnswerMeta): Promise<boolean> {
    const name = pathRecord(facts.distribution, facts.path)
    if (!this.#disk.has(this.#disk.hash(name))) return true
    const record = await this.#read(name)
    const at = record?.kind === 'path' ? readPathMeta(record.meta) : undefined
    return at === undefined || facts.requestTime > at
  }

  #announce({ key, vary }: AnswerName): void {
    if (vary.length === 0) return
    const name = keyRecord(key)
    // What chose among the key's answers before would give one to viewers it was not made for.
    if (!this.#write('vary', name, JSON.stringify(vary), [])) this.#forget(name)
  }

  #holdsSlice(run: SliceRun, cell: number): boolean {
    return this.#disk.has(this.#disk.hash(sliceRecord(run, cell)))
  }

  /** One read for all who ask for the same meanwhile. */
  #read(name: string): Promise<StoredRecord | undefined> {
    const present = this.#reading.get(name)
    if (present) return present
    const reading = this.#disk.read(this.#disk.hash(name), name).finally(() => {
      this.#reading.delete(name)
    })
    this.#reading.set(name, reading)
    return reading
  }

  #write(
    kind: StoredRecord['kind'],
    key: string,
    meta: string,
    body: readonly Uint8Array[],
  ): boolean {
    return this.#disk.write(this.#disk.hash(key), { kind, key, meta, body })
  }

  #forget(name: string): void {
    this.#disk.forget(this.#disk.hash(name))
  }
}

/** A body in memory as fills read bodies. */
export async function* chunksOf(body: Buffer): AsyncGenerator<Buffer, void, undefined> {
  if (body.length > 0) yield body
}

// Names of records: the first letter keeps the kinds apart (`record-names.ts` has the others).
function pathRecord(distribution: string, path: string): string {
  return `p${distribution}\n${path}`
}

function sliceRecord({ name, sliceBytes }: SliceRun, cell: number): string {
  return `s${sliceBytes}\n${cell}\n${name}`
}

function cellOf({ sliceBytes }: SliceRun, position: number): number {
  return position - (position % sliceBytes)
}
