import type { ChangeStamp, StoredObject } from '../cache/stored-object.ts'
import type { ForwardReason } from '../http/cache-status.ts'
import { deferred } from '../lib/deferred.ts'
import { NearcastError } from '../lib/errors.ts'
import { iterate } from './cached-store.ts'
import { type Changes, isOutdated } from './decide.ts'
import {
  type FetchDeps,
  type Fetched,
  type FetchTask,
  fetchObject,
  sourceOf,
} from './fetch-object.ts'
import type { Exchange } from './match-request.ts'
import { dropBody } from './stored-answer.ts'

export interface FlightDeps extends FetchDeps {
  readonly changes: () => Changes
  readonly stamp: () => ChangeStamp
}

export interface Joined {
  readonly fetched: Fetched
  /** Somebody else had asked the origin already; a `pass` is not for this viewer then. */
  readonly collapsed: boolean
  readonly controller: AbortController
}

interface Flight {
  readonly fetched: Promise<Fetched>
  readonly controller: AbortController
  readonly stamp: ChangeStamp
  waiting: number
  /** The viewer for whom it began has gone. */
  orphaned: boolean
}

/** So long viewers of a key whose answer could not be shared ask the origin side by side (hit-for-miss), in milliseconds. */
const APART_MS = 60_000
const APART_MAX = 10_000
/** A body that nobody asked for is waited for so long: it may have no end, and each refresh would begin another one. */
const RECEIVE_MS = 600_000

/** Requests to origins on behalf of the cache: one for each key at a time, however many viewers wait for its header. */
export class Flights {
  readonly #deps: FlightDeps
  readonly #flying = new Map<string, Flight>()
  readonly #apart = new Map<string, number>()

  constructor(deps: FlightDeps) {
    this.#deps = deps
  }

  /** Joins the flight for this key or starts one. Rejects when the origin gave no answer, or with the signal's reason. */
  async join(
    exchange: Exchange,
    asked: {
      readonly stale: StoredObject | undefined
      readonly reason: ForwardReason
      readonly signal: AbortSignal
      readonly mayShare: boolean
      readonly onInformational?: FetchTask['onInformational']
    },
  ): Promise<Joined> {
    const { stale, reason, signal, onInformational } = asked
    const name = nameOf(exchange)
    const present = asked.mayShare ? this.#flying.get(name) : undefined
    const collapsed = present !== undefined && this.#joinable(present, exchange)
    const flight = collapsed
      ? present
      : this.#start(name, { exchange, stale, reason, onInformational })
    const { controller } = flight
    return { fetched: await wait(flight, signal, collapsed), collapsed, controller }
  }

  /** Asks in the background; the answer flows into the cache. */
  refresh(exchange: Exchange, stale: StoredObject, onFetched?: (fetched: Fetched) => void): void {
    const get = exchange.method === 'GET' ? exchange : { ...exchange, method: 'GET' }
    const name = nameOf(get)
    if (this.#flying.has(name)) return
    const flight = this.#start(name, { exchange: get, stale, reason: 'stale' })
    flight.waiting++
    void flight.fetched
      .then((fetched) => {
        onFetched?.(fetched)
        return this.#receive(get, fetched)
      })
      .catch(() => {})
  }

  /** The next viewers of this key don't wait for each other: what they get is for one only. */
  setApart(exchange: Exchange): void {
    this.#apart.delete(exchange.key)
    this.#apart.set(exchange.key, this.#deps.clock.now() + APART_MS)
    if (this.#apart.size <= APART_MAX) return
    for (const oldest of this.#apart.keys()) {
      this.#apart.delete(oldest)
      return
    }
  }

  #joinable(flight: Flight, exchange: Exchange): boolean {
    const what = { distribution: exchange.distribution.id, path: exchange.path }
    if (flight.controller.signal.aborted) return false
    // What was invalidated since the origin was asked may be what it is about to answer.
    return !isOutdated(what, flight.stamp, this.#deps.changes()) && !this.#isApart(exchange.key)
  }

  #isApart(key: string): boolean {
    const until = this.#apart.get(key)
    if (until === undefined) return false
    if (until > this.#deps.clock.now()) return true
    this.#apart.delete(key)
    return false
  }

  #start(
    name: string,
    task: Pick<FetchTask, 'exchange' | 'stale' | 'reason' | 'onInformational'>,
  ): Flight {
    const controller = new AbortController()
    const stamp = this.#deps.stamp()
    const fetched = fetchObject(this.#deps, { stamp, controller, ...task })
    const flight: Flight = { fetched, controller, stamp, waiting: 0, orphaned: false }
    this.#flying.set(name, flight)
    const landed = () => {
      if (this.#flying.get(name) === flight) this.#flying.delete(name)
    }
    void fetched.then((result) => {
      landed()
      // One viewer's request alone says nothing of what others get.
      const mine = result.kind === 'pass' && result.ofRequest
      const alone = result.kind === 'pass' || !result.shareable
      if (alone && !mine) this.setApart(task.exchange)
      else if (!alone) this.#apart.delete(task.exchange.key)
      if (result.kind === 'pass' && flight.orphaned) {
        controller.abort(leftReason())
        void dropBody(result.message.body)
      }
    }, landed)
    return flight
  }

  async #receive(exchange: Exchange, fetched: Fetched): Promise<void> {
    if (fetched.kind === 'pass') {
      await dropBody(fetched.message.body)
      return
    }
    const { generation } = fetched.object
    // Where bytes can be asked for again, viewers fetch what they need.
    if (generation.rangeable) return
    const source = sourceOf(this.#deps, exchange, generation)
    const late = new AbortController()
    using _ = this.#deps.clock.after(RECEIVE_MS, () => late.abort(leftReason()))
    const reader = iterate(generation.read(0, Number.POSITIVE_INFINITY, source), late.signal)
    while (!(await reader.next()).done);
  }
}

function nameOf(exchange: Exchange): string {
  return `${exchange.method} ${exchange.key}`
}

async function wait(flight: Flight, signal: AbortSignal, collapsed: boolean): Promise<Fetched> {
  signal.throwIfAborted()
  const left = deferred<never>()
  const leave = () => {
    left.reject(signal.reason)
    if (!collapsed) flight.orphaned = true
    flight.waiting--
    if (flight.waiting === 0) flight.controller.abort(leftReason())
  }
  flight.waiting++
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([flight.fetched, left.promise])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

function leftReason(): NearcastError {
  return new NearcastError('unavailable', 'nobody waits for this answer any more')
}
