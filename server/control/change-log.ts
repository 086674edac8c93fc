import type { Change, ChangeBody } from '../distribution/change.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { type Random, readableToken } from '../lib/random.ts'
import { type ChangeFile, openChangeFile } from './change-file.ts'
import { FOLD_BOUNDS, type FoldBounds, foldChanges } from './fold-changes.ts'

/** A place in a change log. Another epoch is another log: nothing known of the former one holds. */
export interface ChangePosition {
  readonly epoch: string
  readonly seq: number
}

/** The one list of what was changed while running; control state is its fold. */
export interface ChangeLog {
  readonly position: ChangePosition
  /** Changes up to this number may be folded away. */
  readonly floor?: number
  /** Where the log is written that this one only follows: what is secret in it is not known here. */
  readonly parent?: string
  /**
   * Resolves when the change is on the disk and every subscriber has seen it. `check` runs when all changes before it are applied and
   * nothing can come between; what it throws refuses the change.
   */
  append(body: ChangeBody, check?: () => void): Promise<Change>
  /** The changes after `seq`; undefined when some of them were folded away, and `since(0)` is where to start over. */
  since(seq: number): readonly Change[] | undefined
  /** Called with each change from now on, in order, before `append` resolves. */
  subscribe(listener: (change: Change) => void): Disposable
  /** Waits for what is being written. */
  close(): Promise<void>
}

export interface ChangeLogDeps {
  /** NDJSON file, made with mode 600 because it holds stream keys; without one the log lives in memory. */
  readonly file?: string | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly bounds?: FoldBounds | undefined
  /** Lines that may be overruled before the file is written anew. */
  readonly slackLines?: number | undefined
}

const EPOCH_LENGTH = 12
const SLACK_LINES = 4096
// The file stays far below what is read at the start.
const SLACK_CHARACTERS = 32 * 1024 * 1024

/** Opens or makes the log. A torn last line is dropped; a damaged one is dropped too and makes a new epoch. */
export async function openChangeLog(deps: ChangeLogDeps): Promise<ChangeLog> {
  const opened =
    deps.file === undefined ? undefined : await openChangeFile(deps.file, deps.clock, deps.log)
  const log = new FoldedChangeLog(deps, {
    file: opened?.file,
    epoch: opened?.epoch ?? readableToken(deps.random, EPOCH_LENGTH),
    seq: opened?.seq ?? 0,
    floor: opened?.floor ?? 0,
    changes: opened?.changes ?? [],
  })
  if (opened && opened.epoch === undefined) await log.compact()
  return log
}

interface Start {
  readonly file: ChangeFile | undefined
  readonly epoch: string
  readonly seq: number
  readonly floor: number
  readonly changes: readonly Change[]
}

class FoldedChangeLog implements ChangeLog {
  readonly #deps: ChangeLogDeps
  readonly #file: ChangeFile | undefined
  readonly #epoch: string
  #seq: number
  #floor: number
  #changes: Change[]
  /** Length after the last fold: what is above it may be overruled. */
  #foldedLength = 0
  /** Of what was written since. */
  #slackCharacters: number
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false
  readonly #listeners = new Set<(change: Change) => void>()

  constructor(deps: ChangeLogDeps, start: Start) {
    this.#deps = deps
    this.#file = start.file
    this.#epoch = start.epoch
    this.#seq = start.seq
    this.#floor = start.floor
    this.#changes = [...start.changes]
    this.#slackCharacters = this.#changes.reduce((sum, change) => sum + charactersOf(change), 0)
  }

  get position(): ChangePosition {
    return { epoch: this.#epoch, seq: this.#seq }
  }

  get floor(): number {
    return this.#floor
  }

  async append(body: ChangeBody, check?: () => void): Promise<Change> {
    const change = await this.#inTurn(() => this.#append(body, check))
    // In its own turn, so that nobody waits for it whose change is written already.
    if (this.#long) void this.#inTurn(() => this.#compactWhenLong())
    return change
  }

  since(seq: number): readonly Change[] | undefined {
    if (seq > this.#seq || (seq !== 0 && seq < this.#floor)) return undefined
    return this.#changes.slice(firstAfter(this.#changes, seq))
  }

  subscribe(listener: (change: Change) => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      this.#closed = true
      await this.#file?.close()
    })
  }

  async #append(body: ChangeBody, check?: () => void): Promise<Change> {
    if (this.#closed) throw new NearcastError('unavailable', 'the change log is closed')
    check?.()
    const change: Change = { ...body, seq: this.#seq + 1, at: this.#deps.clock.now() }
    await this.#file?.append(change)
    this.#seq = change.seq
    this.#changes.push(change)
    this.#slackCharacters += charactersOf(change)
    for (const listener of this.#listeners) listener(change)
    return change
  }

  get #long(): boolean {
    const slackLines = this.#deps.slackLines ?? Math.max(SLACK_LINES, this.#foldedLength)
    return (
      this.#changes.length > this.#foldedLength + slackLines ||
      this.#slackCharacters > SLACK_CHARACTERS
    )
  }

  async #compactWhenLong(): Promise<void> {
    if (this.#long && !this.#closed) await this.compact()
  }

  /** Folds what was overruled away, in memory and in the file. The log goes on when the file cannot be written. */
  async compact(): Promise<void> {
    const folded = foldChanges(this.#changes, this.#floor, this.#deps.bounds ?? FOLD_BOUNDS)
    this.#changes = [...folded.changes]
    this.#floor = folded.floor
    this.#foldedLength = folded.changes.length
    this.#slackCharacters = 0
    const header = { epoch: this.#epoch, floor: this.#floor, seq: this.#seq }
    await this.#file?.replace(header, this.#changes).catch((error: unknown) => {
      this.#deps.log.warn('change log was not compacted', { error: describeError(error) })
    })
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(task)
    this.#turn = done.catch(() => {})
    return done
  }
}

function charactersOf(change: Change): number {
  if (change.kind !== 'invalidation' && change.kind !== 'invalidation-undo')
    return JSON.stringify(change).length
  return change.paths.reduce((sum, { length }) => sum + length, 0)
}

/** Place of the first change above `seq`; their numbers rise. */
function firstAfter(changes: readonly Change[], seq: number): number {
  let low = 0
  let high = changes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((changes[middle]?.seq ?? 0) > seq) high = middle
    else low = middle + 1
  }
  return low
}
