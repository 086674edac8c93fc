import { Readable, type Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { endToEndFields } from '../http/fields.ts'
import type { Fields, OriginRequest, OriginResponse } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { type Deferred, deferred } from '../lib/deferred.ts'
import { NearcastError, describeError } from '../lib/errors.ts'
import { INFORMATIONAL_MAX } from './interim-filter.ts'
import type { Places } from './places.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

export interface ExchangeOptions {
  readonly dispatcher: Dispatcher
  /** As many as the dispatcher has connections: what it is given it keeps, also when nobody wants the answer any more. */
  readonly places: Places
  /** Names the origin in messages. */
  readonly origin: string
  /** With query, and the prefix of the origin's URL. */
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly connectMs: number
  readonly responseMs: number
  readonly clock: Clock
}

/** Bytes held for a reader that is slower than its origin, before the socket is paused. */
const BUFFER_BYTES = 256 * 1024
/** Pieces held likewise: an origin may send its bytes one by one. */
const BUFFER_CHUNKS = 1024
/** Pieces up to this size are given joined. */
const JOINED_BYTES = 16 * 1024
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304])

/** The connection broke before the first byte of an answer: the request may never have been read. */
export class BrokenConnection extends NearcastError {}

/** One request to one origin. Throws `origin-unreachable`, `origin-timeout`, `origin-failed` and, for what cannot be sent, `bad-request`. */
export function exchange(
  request: OriginRequest,
  options: ExchangeOptions,
): Promise<OriginResponse> {
  return new Exchange(request, options).run()
}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: OriginRequest
  readonly #options: ExchangeOptions
  readonly #answer: Deferred<OriginResponse> = deferred()
  #controller: Dispatcher.DispatchController | undefined
  #deadline: Disposable | undefined
  /** Until there is a place for it. */
  #waiting: Disposable | undefined
  /** Given back when the dispatcher has done with it. */
  #place: Disposable | undefined
  #uploadError: unknown
  #informed = 0
  #answered = false
  #empty = false
  #ended = false
  #failure: Error | undefined
  #chunks: Buffer[] = []
  #bytes = 0
  #wanted: Deferred<void> | undefined

  constructor(request: OriginRequest, options: ExchangeOptions) {
    this.#request = request
    this.#options = options
  }

  run(): Promise<OriginResponse> {
    const { signal } = this.#request
    const { places, connectMs } = this.#options
    if (signal.aborted) return Promise.reject(signal.reason)
    signal.addEventListener('abort', this.#onAbort, { once: true })
    // From here until a connection takes the request: waiting for a free one counts.
    this.#within(connectMs, 'origin-unreachable', 'no connection')
    this.#waiting = places.take((place) => this.#dispatch(place))
    return this.#answer.promise
  }

  #dispatch(place: Disposable): void {
    this.#place = place
    const { method, headers } = this.#request
    const { dispatcher, path } = this.#options
    const upgrade = headers['upgrade']
    dispatcher.dispatch(
      {
        path,
        method,
        headers: this.#options.headers,
        body: this.#upload(),
        upgrade: upgrade === undefined ? null : String(upgrade),
        // Its timers are a second off and run while a reader pauses the answer.
        headersTimeout: 0,
        bodyTimeout: 0,
      },
      this,
    )
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Thrown, because an abort would cost the connection.
    if (this.#failure) throw this.#failure
    this.#controller = controller
    this.#within(this.#options.responseMs, 'origin-timeout', 'no answer')
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    const fields = endToEndFields(defined(headers))
    if (status < 200) {
      this.#inform(status, fields)
      return
    }
    this.#answered = true
    this.#empty =
      this.#request.method === 'HEAD' || BODILESS.has(status) || headers['content-length'] === '0'
    // What has no body has to end as well.
    if (!this.#empty) this.#deadline?.[Symbol.dispose]()
    const body = this.#empty ? null : this.#body()
    this.#answer.resolve({ kind: 'message', status, headers: fields, body })
  }

  onRequestUpgrade(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Headers,
    socket: Duplex,
  ): void {
    this.#answered = true
    this.#finish()
    this.#leave()
    socket.on('error', () => socket.destroy())
    if (status === 101) {
      // undici puts back what came behind the header: the socket reads it first.
      const head = new Uint8Array(0)
      this.#answer.resolve({ kind: 'upgrade', headers: defined(headers), socket, head })
      return
    }
    socket.destroy()
    this.#answer.reject(this.#failed('origin-failed', `changed protocols with status ${status}`))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#empty) {
      this.#stop(this.#failed('origin-failed', 'a body where none may be'))
      return
    }
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes >= BUFFER_BYTES || this.#chunks.length >= BUFFER_CHUNKS) controller.pause()
    this.#wanted?.resolve()
  }

  onResponseEnd(): void {
    this.#finish()
    this.#leave()
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    if (!this.#ended) this.#fail(this.#translate(error))
    this.#leave()
  }

  #inform(status: number, fields: Fields): void {
    this.#informed++
    if (this.#informed <= INFORMATIONAL_MAX) this.#request.onInformational?.(status, fields)
    else this.#stop(this.#failed('origin-failed', `more than ${INFORMATIONAL_MAX} answers of 1xx`))
  }

  readonly #onAbort = (): void => this.#stop(this.#request.signal.reason)

  #stop(reason: unknown): void {
    if (this.#ended) return
    const failure = this.#fail(reason)
    this.#chunks = []
    this.#controller?.abort(failure)
  }

  #fail(reason: unknown): Error {
    const failure = reason instanceof Error ? reason : new Error('aborted', { cause: reason })
    this.#failure = failure
    this.#finish()
    this.#answer.reject(failure)
    return failure
  }

  #finish(): void {
    this.#ended = true
    this.#deadline?.[Symbol.dispose]()
    if (!this.#place) this.#waiting?.[Symbol.dispose]()
    this.#request.signal.removeEventListener('abort', this.#onAbort)
    this.#wanted?.resolve()
  }

  /** The dispatcher has a connection for someone else. */
  #leave(): void {
    this.#place?.[Symbol.dispose]()
  }

  /** The next bytes that have come; small pieces joined. */
  #take(): Buffer | undefined {
    const [first] = this.#chunks
    if (!first) return undefined
    let count = 1
    let length = first.length
    for (let next = this.#chunks[1]; next; next = this.#chunks[count]) {
      if (length + next.length > JOINED_BYTES) break
      length += next.length
      count++
    }
    const taken = this.#chunks.splice(0, count)
    this.#bytes -= length
    const low = this.#bytes < BUFFER_BYTES / 2 && this.#chunks.length < BUFFER_CHUNKS / 2
    if (low && !this.#ended) this.#controller?.resume()
    return count === 1 ? first : Buffer.concat(taken, length)
  }

  #body(): AsyncIterable<Uint8Array> {
    const iterator: AsyncIterator<Uint8Array> = {
      next: async () => {
        for (;;) {
          const chunk = this.#take()
          if (chunk) return { done: false, value: chunk }
          if (this.#failure) throw this.#failure
          if (this.#ended) return { done: true, value: undefined }
          this.#wanted = deferred()
          this.#within(this.#options.responseMs, 'origin-timeout', 'no byte of the answer')
          await this.#wanted.promise
          if (!this.#ended) this.#deadline?.[Symbol.dispose]()
        }
      },
      return: async () => {
        this.#stop(this.#failed('origin-failed', 'its answer was left'))
        return { done: true, value: undefined }
      },
    }
    return { [Symbol.asyncIterator]: () => iterator }
  }

  #upload(): Readable | Uint8Array | null {
    const { body } = this.#request
    if (body === null || body instanceof Uint8Array) return body
    if (isList(body)) return Buffer.concat(body)
    const stream = Readable.from(this.#watched(body), { objectMode: false })
    // Also after undici stopped listening, as it does when the answer comes first.
    stream.on('error', (error) => {
      this.#uploadError ??= error
    })
    return stream
  }

  /** While the viewer still sends, the origin need not answer. */
  async *#watched(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      if (this.#controller && !this.#answered && !this.#ended)
        this.#within(this.#options.responseMs, 'origin-timeout', 'no answer')
      yield chunk
    }
  }

  /** One deadline at a time; the next replaces it. */
  #within(ms: number, code: NearcastError['code'], missing: string): void {
    this.#deadline?.[Symbol.dispose]()
    this.#deadline = this.#options.clock.after(ms, () =>
      this.#stop(this.#failed(code, `${missing} within ${ms} ms`)),
    )
  }

  #translate(error: Error): unknown {
    if (this.#uploadError !== undefined && !this.#answered) return this.#uploadError
    const code = 'code' in error ? String(error.code) : ''
    const said = describeError(error)
    // For the viewer to read, so without the origin's address.
    if (NOT_SENT.has(code)) return new NearcastError('bad-request', said)
    if (this.#answered) return this.#failed('origin-failed', `its answer was cut short: ${said}`)
    if (!this.#controller) return this.#failed('origin-unreachable', said)
    if (BROKEN.has(code))
      return new BrokenConnection('origin-failed', `${this.#options.origin}: ${said}`)
    return this.#failed('origin-failed', said)
  }

  #failed(code: NearcastError['code'], said: string): NearcastError {
    return new NearcastError(code, `${this.#options.origin}: ${said}`)
  }
}

const NOT_SENT: ReadonlySet<string> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
])
const BROKEN: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

function isList(
  body: readonly Uint8Array[] | AsyncIterable<Uint8Array>,
): body is readonly Uint8Array[] {
  return Array.isArray(body)
}

function defined(headers: Headers): Fields {
  const fields: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && name !== '__proto__') fields[name] = value
  return fields
}
