import type { GroupOriginOptions } from '../distribution/types.ts'
import type { Origin, OriginRequest, OriginResponse } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { NearcastError, describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { ClosableOrigin } from './http-origin.ts'

/** The only methods that are sent again: they change nothing at the origin (RFC 9110 §9.2.1). */
const FAILS_OVER: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
/** How long a member that failed a request is asked last. */
const REST_MS = 5_000
/** Failed checks in a row that take a member out; one good check brings it back. */
const CHECKS_FAILED_MAX = 2
const CHECK_TIMEOUT_MS = 5_000

interface Member {
  readonly origin: Origin
  /** By the checks alone. */
  healthy: boolean
  failedChecks: number
  /** On the monotonic clock; until then it is asked last. */
  restsUntil: number
  checking: boolean
}

/**
 * Several origins that stand in for each other. A GET, HEAD or OPTIONS goes on to the next member when one fails or answers a
 * status of `failOn`; the last answer there was is given when none is better. A member that failed is asked last for a
 * while; one that its health checks found down, only when all are. Ends its checks when closed; its members it does not close.
 */
export function groupOrigin(
  id: string,
  members: readonly Origin[],
  options: GroupOriginOptions,
  deps: { readonly clock: Clock; readonly log: Log },
): ClosableOrigin {
  if (members.length === 0) throw new NearcastError('config-invalid', `origin ${id} has no members`)
  const group = new Group(id, members, options, deps)
  return {
    id,
    caching: 'shared',
    ranges: members.every((member) => member.ranges),
    keyQuery: [...new Set(members.flatMap((member) => member.keyQuery))],
    fetch: (request) => group.fetch(request),
    retire: async () => group.close(),
    close: async () => group.close(),
  }
}

class Group {
  readonly #id: string
  readonly #members: readonly Member[]
  readonly #options: GroupOriginOptions
  readonly #clock: Clock
  readonly #log: Log
  readonly #closed = new AbortController()
  readonly #checks: Disposable | undefined
  #turn = 0

  constructor(
    id: string,
    members: readonly Origin[],
    options: GroupOriginOptions,
    { clock, log }: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#id = id
    this.#options = options
    this.#clock = clock
    this.#log = log
    this.#members = members.map((origin) => ({
      origin,
      healthy: true,
      failedChecks: 0,
      restsUntil: Number.NEGATIVE_INFINITY,
      checking: false,
    }))
    const { health } = options
    if (!health) return
    this.#checks = clock.every(health.intervalMs, () => {
      for (const member of this.#members) void this.#check(member, health.path, health.intervalMs)
    })
  }

  async fetch(request: OriginRequest): Promise<OriginResponse> {
    const order = this.#order()
    const tries =
      FAILS_OVER.has(request.method) && request.body === null ? order : order.slice(0, 1)
    let refused: OriginResponse | undefined
    let failure: unknown
    for (const member of tries) {
      try {
        const answer = await member.origin.fetch(request)
        await discard(refused)
        if (!this.#options.failOn.includes(answerStatus(answer))) return answer
        refused = answer
      } catch (error) {
        if (request.signal.aborted || !this.#failsOver(error)) {
          await discard(refused)
          throw error
        }
        failure = error
        if (!(error instanceof NearcastError) || error.status >= 500) this.#rest(member, error)
      }
    }
    if (refused) return refused
    throw failure
  }

  close(): void {
    this.#checks?.[Symbol.dispose]()
    this.#closed.abort()
  }

  /** Whom to ask, in order: the well, then those that failed just now, then those found down. */
  #order(): readonly Member[] {
    const count = this.#members.length
    const first = this.#options.balance === 'first' ? 0 : this.#turn++ % count
    const turned = [...this.#members.slice(first), ...this.#members.slice(0, first)]
    const now = this.#clock.monotonic()
    const rank = (member: Member) => {
      if (!member.healthy) return 2
      return now < member.restsUntil ? 1 : 0
    }
    return turned.sort((a, b) => rank(a) - rank(b))
  }

  /** What is the request's own fault, or a missing object, is an answer like a status. */
  #failsOver(error: unknown): boolean {
    if (!(error instanceof NearcastError) || error.status >= 500) return true
    return this.#options.failOn.includes(error.status)
  }

  #rest(member: Member, error: unknown): void {
    const rested = this.#clock.monotonic() < member.restsUntil
    member.restsUntil = this.#clock.monotonic() + REST_MS
    if (rested) return
    const facts = { origin: this.#id, member: member.origin.id, error: describeError(error) }
    this.#log.warn('a member failed and is asked last for a while', facts)
  }

  async #check(member: Member, path: string, intervalMs: number): Promise<void> {
    if (member.checking) return
    member.checking = true
    const controller = new AbortController()
    const timeoutMs = Math.min(intervalMs, CHECK_TIMEOUT_MS)
    using _deadline = this.#clock.after(timeoutMs, () =>
      controller.abort(new NearcastError('origin-timeout', `no answer within ${timeoutMs} ms`)),
    )
    const signal = AbortSignal.any([controller.signal, this.#closed.signal])
    const headers = { 'user-agent': 'nearcast-health' }
    try {
      const request = { method: 'GET', path, query: '', headers, body: null, signal }
      const answer = await member.origin.fetch(request)
      await discard(answer)
      const status = answerStatus(answer)
      this.#checked(member, status < 400 ? undefined : `status ${status}`)
    } catch (error) {
      if (!this.#closed.signal.aborted) this.#checked(member, describeError(error))
    } finally {
      member.checking = false
    }
  }

  #checked(member: Member, failure: string | undefined): void {
    member.failedChecks = failure === undefined ? 0 : member.failedChecks + 1
    const healthy =
      failure === undefined || (member.healthy && member.failedChecks < CHECKS_FAILED_MAX)
    if (failure === undefined) member.restsUntil = Number.NEGATIVE_INFINITY
    if (healthy === member.healthy) return
    member.healthy = healthy
    const facts = { origin: this.#id, member: member.origin.id, failure }
    if (healthy) this.#log.info('a member is well again', facts)
    else this.#log.warn('a member failed its checks and is taken out', facts)
  }
}

function answerStatus(answer: OriginResponse): number {
  return answer.kind === 'upgrade' ? 101 : answer.status
}

async function discard(answer: OriginResponse | undefined): Promise<void> {
  if (!answer) return
  if (answer.kind === 'upgrade') {
    answer.socket.destroy()
    return
  }
  const { body } = answer
  if (body !== null && Symbol.asyncIterator in body) await body[Symbol.asyncIterator]().return?.()
}
