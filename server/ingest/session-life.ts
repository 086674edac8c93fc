import { NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { SessionDeps } from './session-deps.ts'
import { ACTIVE, overdue, type SessionState, TRANSITIONS } from './session-state.ts'

export type Severity = 'info' | 'warn' | 'error'

/** What state a session is in and how long it has been: the one place that changes the state, with its one log line. */
export class SessionLife {
  readonly #deps: Pick<SessionDeps, 'clock' | 'limits'>
  readonly #log: Log
  #state: SessionState = 'handshake'
  #stateSince: number
  #lastFrame: number

  constructor(deps: Pick<SessionDeps, 'clock' | 'limits'>, log: Log) {
    this.#deps = deps
    this.#log = log
    this.#stateSince = deps.clock.monotonic()
    this.#lastFrame = this.#stateSince
  }

  get state(): SessionState {
    return this.#state
  }
  /** Since the last frame that was heard. */
  get silentMs(): number {
    return this.#deps.clock.monotonic() - this.#lastFrame
  }

  /** `name`: what is published or played. Throws `bad-request` for a state that does not follow. */
  to(state: SessionState, name: string | undefined, reason: string, level: Severity): void {
    const from = this.#state
    if (!TRANSITIONS[from].includes(state)) {
      throw new NearcastError('bad-request', `${state} while ${from}`)
    }
    this.#state = state
    this.#stateSince = this.#deps.clock.monotonic()
    const shown = level !== 'info' || ACTIVE.has(state) || ACTIVE.has(from)
    this.#log[shown ? level : 'debug']('rtmp session', { from, to: state, name, reason })
  }

  /** A frame came, or may be waited for from now on. */
  heard(): void {
    this.#lastFrame = this.#deps.clock.monotonic()
  }

  /** Why it is past a deadline; undefined while all is well. `lateMs`, in which the process stood still, is nobody's silence. */
  overdue(lateMs: number, stalledMs: number): string | undefined {
    const now = this.#deps.clock.monotonic()
    this.#stateSince = Math.min(now, this.#stateSince + lateMs)
    this.#lastFrame = Math.min(now, this.#lastFrame + lateMs)
    return overdue(this.#state, this.#deps.limits, {
      stateMs: now - this.#stateSince,
      frameMs: now - this.#lastFrame,
      stalledMs,
    })
  }
}
