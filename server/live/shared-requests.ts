import type { FetchOrigin, OriginRequest, OriginResponse } from '../http/message.ts'
import { collect } from '../lib/bytes.ts'
import { deferred } from '../lib/deferred.ts'
import { NearcastError } from '../lib/errors.ts'
import { acceptsGzip } from './answer.ts'
import { DIRECTIVE_NAMES } from './directives.ts'

/** Two hours in segments of a second are 290 KB. */
const PLAYLIST_BYTES_MAX = 16 * 1024 * 1024
const QUERY_MAX = 4096

interface Running {
  readonly answer: Promise<OriginResponse>
  readonly stop: AbortController
  viewers: number
}

/** Asks the parent once for all who want the same playlist at the same time: a held reload is one request for a thousand viewers. */
export class SharedRequests {
  readonly #fetch: FetchOrigin
  readonly #running = new Map<string, Running>()

  constructor(fetch: FetchOrigin) {
    this.#fetch = fetch
  }

  /** Rejects when the request's own signal aborts; the parent is let go of when nobody waits any more. */
  async fetch(request: OriginRequest): Promise<OriginResponse> {
    const { signal } = request
    signal.throwIfAborted()
    const key = keyOf(request)
    if (key === undefined) return this.#fetch(request)
    const running = this.#running.get(key) ?? this.#begin(key, request)
    running.viewers++
    const left = deferred<never>()
    const leave = () => left.reject(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    try {
      return await Promise.race([running.answer, left.promise])
    } finally {
      signal.removeEventListener('abort', leave)
      running.viewers--
      if (running.viewers === 0) {
        this.#forget(key, running)
        running.stop.abort(new NearcastError('unavailable', 'nobody waits for the playlist'))
      }
    }
  }

  #begin(key: string, request: OriginRequest): Running {
    const stop = new AbortController()
    const answer = this.#ask({ ...request, signal: stop.signal, onInformational: undefined })
    const running: Running = { answer, stop, viewers: 0 }
    this.#running.set(key, running)
    const over = () => this.#forget(key, running)
    answer.then(over, over)
    return running
  }

  /** In full: a body that is read as it comes has one reader. */
  async #ask(request: OriginRequest): Promise<OriginResponse> {
    const answer = await this.#fetch(request)
    if (answer.kind === 'upgrade' || answer.body === null) return answer
    if (!(Symbol.asyncIterator in answer.body)) return answer
    return { ...answer, body: await collect(answer.body, PLAYLIST_BYTES_MAX) }
  }

  #forget(key: string, running: Running): void {
    if (this.#running.get(key) === running) this.#running.delete(key)
  }
}

/** All that an answer depends on; undefined for a query that is not worth reading. */
function keyOf({ method, path, query, headers, minChange }: OriginRequest): string | undefined {
  if (query.length > QUERY_MAX) return undefined
  const values = new URLSearchParams(query)
  const directives = DIRECTIVE_NAMES.map((name) => values.get(name))
  return JSON.stringify([method, path, directives, acceptsGzip(headers), minChange])
}
