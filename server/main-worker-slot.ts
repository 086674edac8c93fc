import type { Clock } from './lib/clock.ts'
import { type Deferred, deferred } from './lib/deferred.ts'
import { ERRORS, type ErrorCode, NearcastError } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import {
  type FromWorker,
  type Question,
  readFromWorker,
  type ToWorker,
  type WorkerFacts,
} from './main-worker-messages.ts'

/** A process that was started; what it says and its end are told to the listeners it was started with. */
export interface WorkerProcess {
  send(message: ToWorker): void
  kill(): void
}

export type StartWorker = (listeners: {
  readonly onMessage: (message: unknown) => void
  /** Once, also when the process could not be started at all. */
  readonly onEnd: (why: string) => void
}) => WorkerProcess

export interface SlotDeps {
  readonly start: StartWorker
  readonly order: () => ToWorker
  readonly clock: Clock
  readonly log: Log
  readonly onServing: (port: number) => void
  readonly onApplied: () => void
  readonly onForgot: (slot: WorkerSlot, distribution: string, path: string) => void
  readonly onEnd: (slot: WorkerSlot) => void
}

export type Answered = Extract<FromWorker, { kind: 'answered' }>

/** `resting`: its process ended, and the next one starts when the pause is over. */
type SlotState = 'resting' | 'starting' | 'serving' | 'draining' | 'stopped'

/** A worker says what it counted each second: one that is silent for so long is stuck. */
const SILENCE_MAX_MS = 20_000
const START_MAX_MS = 20_000
const BACKOFF_FIRST_MS = 250
const BACKOFF_MAX_MS = 10_000
/** One that served for so long died of something new. */
const STABLE_MS = 10_000
const QUESTIONS_MAX = 100

/** One place of a worker: the process in it is replaced when it dies, at once the first time, then later and later. */
export class WorkerSlot {
  readonly number: number
  state: SlotState = 'resting'
  seq = 0
  facts: WorkerFacts | undefined
  /** Why the last process could not serve. */
  failure: NearcastError | undefined
  /** A process served here, or failed to. */
  tried = false
  readonly #deps: SlotDeps
  #process: WorkerProcess | undefined
  #watch: Disposable | undefined
  #servesSince: number | undefined
  #failures = 0
  #questions = new Map<number, Deferred<Answered | undefined>>()
  #asked = 0
  readonly #gone = deferred<void>()

  constructor(number: number, deps: SlotDeps) {
    this.number = number
    this.#deps = deps
  }

  begin(): void {
    if (this.state !== 'resting') return
    this.state = 'starting'
    this.seq = 0
    this.facts = undefined
    this.#servesSince = undefined
    let ended = false
    const process = this.#deps.start({
      onMessage: (message) => {
        if (!ended) this.#take(message)
      },
      onEnd: (why) => {
        if (ended) return
        ended = true
        this.#ended(why)
      },
    })
    if (ended) return
    this.#process = process
    this.#within(START_MAX_MS)
  }

  /** undefined when it died, or nobody waits any more. */
  async ask(question: Question): Promise<Answered | undefined> {
    if (!this.#process || this.#questions.size >= QUESTIONS_MAX) return undefined
    const id = this.#asked++
    const answer = deferred<Answered | undefined>()
    this.#questions.set(id, answer)
    this.#process.send({ kind: 'ask', id, question })
    return answer.promise
  }

  /** One that does not serve yet holds nothing. */
  forget(distribution: string, path: string): void {
    this.#process?.send({ kind: 'forget', distribution, path })
  }

  forgetQuestions(): void {
    for (const question of this.#questions.values()) question.resolve(undefined)
    this.#questions.clear()
  }

  /** Resolves when the process is gone; none follows. */
  drain(): Promise<void> {
    const { state } = this
    if (state === 'stopped' || state === 'draining') return this.#gone.promise
    this.state = 'draining'
    if (!this.#process) this.#stop()
    else if (state === 'serving') this.#process.send({ kind: 'drain' })
    else this.#process.kill()
    return this.#gone.promise
  }

  kill(): void {
    this.#process?.kill()
  }

  #take(message: unknown): void {
    const said = readFromWorker(message)
    if (!said) {
      this.#deps.log.warn('a worker sent what is no message', { worker: this.number })
      return
    }
    if (this.state === 'serving') this.#within(SILENCE_MAX_MS)
    switch (said.kind) {
      case 'listening':
        if (this.state === 'starting') this.#process?.send(this.#deps.order())
        return
      case 'serving':
        if (this.state !== 'starting') return
        this.state = 'serving'
        this.tried = true
        this.failure = undefined
        this.#servesSince = this.#deps.clock.monotonic()
        this.#within(SILENCE_MAX_MS)
        this.#deps.onServing(said.port)
        return
      case 'failed':
        this.failure = new NearcastError(codeOf(said.code), said.sentence)
        return
      case 'applied':
        this.seq = said.seq
        this.#deps.onApplied()
        return
      case 'forgot':
        this.#deps.onForgot(this, said.distribution, said.path)
        return
      case 'facts':
        this.facts = said
        return
      case 'answered':
        this.#questions.get(said.id)?.resolve(said)
        this.#questions.delete(said.id)
    }
  }

  #ended(why: string): void {
    const { clock, log } = this.#deps
    this.#watch?.[Symbol.dispose]()
    this.#process = undefined
    this.tried = true
    this.forgetQuestions()
    const draining = this.state === 'draining'
    if (!draining) this.state = 'resting'
    this.#deps.onEnd(this)
    this.facts = undefined
    if (draining) {
      this.#stop()
      return
    }
    const lived = this.#servesSince === undefined ? 0 : clock.monotonic() - this.#servesSince
    if (lived >= STABLE_MS) this.#failures = 0
    const pause =
      this.#failures === 0
        ? 0
        : Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (this.#failures - 1))
    this.#failures++
    const reason = this.failure?.sentence ?? why
    log.warn('a worker ended, another one takes its place', {
      worker: this.number,
      reason,
      pauseMs: pause,
    })
    this.#watch = clock.after(pause, () => this.begin())
  }

  #stop(): void {
    this.#watch?.[Symbol.dispose]()
    this.state = 'stopped'
    this.#gone.resolve()
  }

  #within(ms: number): void {
    this.#watch?.[Symbol.dispose]()
    this.#watch = this.#deps.clock.after(ms, () => {
      this.#deps.log.error('a worker is stuck and is killed', { worker: this.number, silentMs: ms })
      this.#process?.kill()
    })
  }
}

/** A code of ours that came as text. */
export function codeOf(text: string | undefined): ErrorCode {
  const known = Object.keys(ERRORS).find((code) => code === text)
  return known === undefined ? 'internal' : (known as ErrorCode)
}
