import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { assertNever, describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { CountingMetric, Metrics } from '../lib/metrics.ts'
import type { Random } from '../lib/random.ts'
import { signHook } from '../lib/sign-hook.ts'
import type { EventFeed, NumberedEvent } from './event-feed.ts'

export type HookEvent = 'publish' | 'unpublish' | 'record' | 'error'

export interface HookOptions {
  readonly url: string
  readonly events: readonly HookEvent[]
  readonly secret: string
}

export interface WebhooksDeps {
  readonly hooks: readonly HookOptions[]
  readonly feed: EventFeed
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
}

const QUEUE_MAX = 1000
const ATTEMPTS_MAX = 8
const ANSWER_MS = 10_000
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 300_000

/** Tells other servers what happens to streams, each in its own time and in order; what is given up is counted. */
export function startWebhooks(deps: WebhooksDeps): Disposable {
  const { metrics } = deps
  const counters: HookCounters = {
    delivered: metrics.counter('nearcast_hooks_delivered_total', 'Webhooks that were taken.'),
    failed: metrics.counter('nearcast_hooks_failed_total', 'Attempts at webhooks that failed.'),
    dead: metrics.counter('nearcast_hooks_dead_total', 'Webhooks that were given up.'),
  }
  const stop = new AbortController()
  const hooks = deps.hooks.map((options, at) => new Hook(at, options, deps, counters, stop.signal))
  const subscription = deps.feed.subscribe((event) => {
    for (const hook of hooks) hook.take(event)
  })
  return {
    [Symbol.dispose]: () => {
      subscription[Symbol.dispose]()
      stop.abort()
    },
  }
}

interface HookCounters {
  readonly delivered: CountingMetric
  readonly failed: CountingMetric
  readonly dead: CountingMetric
}

/** One receiver and what waits for it. */
class Hook {
  readonly #options: HookOptions
  readonly #deps: WebhooksDeps
  readonly #counters: HookCounters
  readonly #signal: AbortSignal
  readonly #log: Log
  readonly #queue: NumberedEvent[] = []
  #sending = false

  constructor(
    at: number,
    options: HookOptions,
    deps: WebhooksDeps,
    counters: HookCounters,
    signal: AbortSignal,
  ) {
    this.#options = options
    this.#deps = deps
    this.#counters = counters
    this.#signal = signal
    // Its address may carry a token.
    this.#log = deps.log.with({ hook: at })
  }

  take(event: NumberedEvent): void {
    const kind = hookEventOf(event)
    if (kind === undefined || !this.#options.events.includes(kind)) return
    if (this.#queue.length >= QUEUE_MAX) {
      // The oldest: a receiver that comes back wants to know how things are.
      this.#queue.shift()
      this.#counters.dead.add()
    }
    this.#queue.push(event)
    if (!this.#sending) void this.#sendAll()
  }

  async #sendAll(): Promise<void> {
    this.#sending = true
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      if (this.#signal.aborted) break
      if (await this.#deliver(next)) this.#counters.delivered.add()
      else this.#counters.dead.add()
    }
    this.#sending = false
  }

  /** False when it is given up. */
  async #deliver(event: NumberedEvent): Promise<boolean> {
    const { clock, random } = this.#deps
    for (let attempt = 1; ; attempt++) {
      const trouble = await this.#attempt(event)
      if (trouble === undefined) return true
      if (this.#signal.aborted) return false
      this.#counters.failed.add()
      if (attempt === 1 || attempt === ATTEMPTS_MAX)
        this.#log.warn('webhook failed', { event: event.id, attempt, reason: trouble })
      if (attempt === ATTEMPTS_MAX) return false
      const pause = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 4 ** (attempt - 1))
      try {
        // Receivers that came back together are not asked together.
        await clock.sleep(pause * (0.75 + random.fraction() / 2), this.#signal)
      } catch {
        return false
      }
    }
  }

  /** What went wrong, without the address; undefined when it was taken. */
  async #attempt({ id, at, event }: NumberedEvent): Promise<string | undefined> {
    const { clock } = this.#deps
    const { url, secret } = this.#options
    const body = JSON.stringify({ id, at, ...event })
    // Of the attempt, so that a receiver can refuse old ones.
    const seconds = Math.floor(clock.now() / 1000)
    try {
      return await withDeadline(clock, ANSWER_MS, 'the receiver', this.#signal, async (signal) => {
        const answer = await fetch(url, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'nearcast-event': event.kind,
            'nearcast-id': id,
            'nearcast-signature': signHook(secret, seconds, body),
          },
          body,
          // Where a receiver points to was not chosen by the operator.
          redirect: 'manual',
          signal,
        })
        await answer.body?.cancel()
        return answer.ok ? undefined : `answered ${answer.status}`
      })
    } catch (error) {
      return describeError(error).replaceAll(url, 'the receiver')
    }
  }
}

function hookEventOf({ event }: NumberedEvent): HookEvent | undefined {
  switch (event.kind) {
    case 'publish':
    case 'unpublish':
    case 'error':
      return event.kind
    case 'record-started':
    case 'record-ended':
      return 'record'
    case 'health':
      return undefined
    default:
      return assertNever(event.kind)
  }
}
