import type { Clock } from './lib/clock.ts'
import { type Deferred, deferred } from './lib/deferred.ts'
import { type ErrorCode, NearcastError } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import type { MetricValue, Metrics } from './lib/metrics.ts'
import type { Question, ToWorker, WorkerOrder } from './main-worker-messages.ts'
import { type Answered, codeOf, type StartWorker, WorkerSlot } from './main-worker-slot.ts'

export interface WorkersDeps {
  readonly count: number
  readonly start: StartWorker
  /** What a worker is told that begins now; `slot` and the port are put in here. */
  readonly order: () => Omit<WorkerOrder, 'slot' | 'http'>
  /** Never port 0: that would be another one when all of them had died. */
  readonly http: { readonly host: string; readonly port: number }
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** The port on which workers answer, whenever one of them begins to. */
  readonly onServing: (port: number) => void
  /** A worker has followed the changes further, or serves no more: `seq` may be another one. */
  readonly onApplied: () => void
}

/** The processes that answer viewers, and what they say of themselves, summed up. */
export interface Workers {
  /** Each has begun to serve or failed once. Rejects when the port cannot be had. */
  readonly started: Promise<void>
  /** How far the last of them has followed the changes; undefined while none serves. */
  readonly seq: number | undefined
  /** Resolves when every worker that serves has applied the change, or after a moment. */
  settled(seq: number): Promise<void>
  report(): { readonly wanted: number; readonly serving: number; readonly restarts: number }
  cache(): Readonly<Record<string, number>>
  viewers(name: string): number
  /** Of the worker that holds an answer to the URL, else of any. Throws `unavailable`, and what explaining throws. */
  explain(url: string): Promise<object>
  /** What an invalidation would take at all workers, each counting its own copies. Throws `unavailable`. */
  preview(
    names: Names,
    examples: number,
  ): Promise<{
    readonly objects: number
    readonly bytes: number
    readonly examples: readonly string[]
  }>
  /** Drains them; what has not ended after `graceMs` and a moment is killed. */
  close(graceMs: number): Promise<void>
}

type Names = Extract<Question, { kind: 'preview' }>['names']

const SETTLE_MS = 2000
const ANSWER_MS = 5000
const KILL_AFTER_MS = 1000

/** Starts the workers and replaces those that die. */
export function startWorkers(deps: WorkersDeps): Workers {
  return new WorkerPool(deps)
}

class WorkerPool implements Workers {
  readonly started: Promise<void>
  readonly #deps: WorkersDeps
  readonly #slots: readonly WorkerSlot[]
  readonly #begun = deferred<void>()
  /** What workers had counted that are no more: a sum never goes back. */
  readonly #retired = new Map<string, MetricValue>()
  readonly #waiting = new Set<{ readonly seq: number; readonly done: Deferred<void> }>()
  #restarts = 0

  constructor(deps: WorkersDeps) {
    const { count, clock, log, metrics } = deps
    this.#deps = deps
    this.started = this.#begun.promise
    this.#slots = Array.from(
      { length: count },
      (_, at) =>
        new WorkerSlot(at + 1, {
          start: deps.start,
          order: () => this.#order(at + 1),
          clock,
          log,
          onServing: (port) => this.#serves(port),
          onApplied: () => this.#settle(),
          onForgot: (from, distribution, path) => {
            for (const slot of this.#slots) if (slot !== from) slot.forget(distribution, path)
          },
          onEnd: (slot) => this.#ended(slot),
        }),
    )
    metrics.include(() => this.#values())
    metrics.gauge('nearcast_workers', 'Worker processes that serve', () => this.#serving.length)
    for (const slot of this.#slots) slot.begin()
  }

  get seq(): number | undefined {
    const all = this.#serving.map(({ seq }) => seq)
    return all.length === 0 ? undefined : Math.min(...all)
  }

  async settled(seq: number): Promise<void> {
    const one = { seq, done: deferred<void>() }
    this.#waiting.add(one)
    using _ = this.#deps.clock.after(SETTLE_MS, () => one.done.resolve())
    this.#settle()
    await one.done.promise
    this.#waiting.delete(one)
  }

  report() {
    return { wanted: this.#slots.length, serving: this.#serving.length, restarts: this.#restarts }
  }

  cache(): Readonly<Record<string, number>> {
    return sum(this.#slots.map(({ facts }) => facts?.cache ?? {}))
  }

  viewers(name: string): number {
    return this.#slots.reduce((count, { facts }) => {
      const known = facts && Object.hasOwn(facts.viewers, name) ? facts.viewers[name] : undefined
      return count + (known ?? 0)
    }, 0)
  }

  async explain(url: string): Promise<object> {
    const answers = await this.#ask({ kind: 'explain', url })
    const held = answers.find(({ answer }) => answer?.['stored'] === true) ?? answers[0]
    return answerOf(held)
  }

  async preview(names: Names, examples: number) {
    const answers = (await this.#ask({ kind: 'preview', names, examples })).map(answerOf)
    const figure = (name: string) =>
      answers.reduce((total, answer) => total + (Number(answer[name]) || 0), 0)
    const paths = answers.flatMap((answer) => {
      const listed: unknown = answer['examples']
      return Array.isArray(listed) ? listed.filter((path) => typeof path === 'string') : []
    })
    return {
      objects: figure('objects'),
      bytes: figure('bytes'),
      examples: [...new Set(paths)].slice(0, examples),
    }
  }

  async #ask(question: Question): Promise<readonly Answered[]> {
    const asked = this.#serving.map((slot) => slot.ask(question))
    using _ = this.#deps.clock.after(ANSWER_MS, () => {
      for (const slot of this.#slots) slot.forgetQuestions()
    })
    return (await Promise.all(asked)).flatMap((answer) => (answer ? [answer] : []))
  }

  async close(graceMs: number): Promise<void> {
    const gone = this.#slots.map((slot) => slot.drain())
    using _ = this.#deps.clock.after(graceMs + KILL_AFTER_MS, () => {
      for (const slot of this.#slots) slot.kill()
    })
    await Promise.all(gone)
  }

  get #serving(): readonly WorkerSlot[] {
    return this.#slots.filter(({ state }) => state === 'serving')
  }

  #order(slot: number): ToWorker {
    const { order, http } = this.#deps
    return { kind: 'begin', order: { ...order(), slot, http } }
  }

  #serves(port: number): void {
    this.#deps.onServing(port)
    this.#settle()
    this.#checkBegun()
  }

  #ended(slot: WorkerSlot): void {
    for (const value of slot.facts?.metrics ?? []) {
      if (value.kind !== 'counter') continue
      const before = this.#retired.get(value.name)?.value ?? 0
      this.#retired.set(value.name, { ...value, value: before + value.value })
    }
    this.#restarts++
    this.#settle()
    this.#checkBegun()
  }

  #checkBegun(): void {
    const fatal = this.#slots.find(({ failure }) => failure && FATAL.has(failure.code))?.failure
    if (fatal && this.#serving.length === 0) this.#begun.reject(fatal)
    else if (this.#slots.every((slot) => slot.tried)) this.#begun.resolve()
  }

  #settle(): void {
    const seq = this.seq ?? Number.POSITIVE_INFINITY
    for (const one of this.#waiting) if (seq >= one.seq) one.done.resolve()
    this.#deps.onApplied()
  }

  *#values(): Generator<MetricValue, void> {
    yield* this.#retired.values()
    for (const { facts } of this.#slots) yield* facts?.metrics ?? []
  }
}

function answerOf(answered: Answered | undefined): Readonly<Record<string, unknown>> {
  if (!answered) throw new NearcastError('unavailable', 'no worker answered')
  if (answered.answer) return answered.answer
  throw new NearcastError(codeOf(answered.code), answered.sentence ?? 'a worker could not say')
}

/** What another try would not cure. */
const FATAL: ReadonlySet<ErrorCode> = new Set(['port-taken', 'config-invalid'])

/** Figures of the same name added up. */
export function sum(
  all: readonly Readonly<Record<string, number>>[],
): Readonly<Record<string, number>> {
  const total: Record<string, number> = {}
  for (const one of all)
    for (const [name, value] of Object.entries(one)) total[name] = (total[name] ?? 0) + value
  return total
}
