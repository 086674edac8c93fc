import { Readable, type Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { endToEndFields } from '../http/fields.ts'
import type { Fields, OriginRequest, OriginResponse } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { type Deferred, deferred } from '../lib/deferred.ts'
import { NearcastError, describeError } from '../lib/errors.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

export interface ExchangeOptions {
  readonly dispatcher: Dispatcher
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
  #uploadError: unknown
  #answered = false
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
    const { method, signal, headers } = this.#request
    const { dispatcher, path, connectMs } = this.#options
    if (signal.aborted) return Promise.reject(signal.reason)
    signal.addEventListener('abort', this.#onAbort, { once: true })
    // From here until a connection takes the request: waiting for a free one counts.
    this.#within(connectMs, 'origin-unreachable', 'no connection')
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
    return this.#answer.promise
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#failure) controller.abort(this.#failure)
    else this.#within(this.#options.responseMs, 'origin-timeout', 'no answer')
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    const fields = endToEndFields(defined(headers))
    if (status < 200) {
      this.#request.onInformational?.(status, fields)
      return
    }
    this.#answered = true
    this.#deadline?.[Symbol.dispose]()
    const empty =
      this.#request.method === 'HEAD' || BODILESS.has(status) || headers['content-length'] === '0'
    const body = empty ? null : this.#body()
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
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes >= BUFFER_BYTES) controller.pause()
    this.#wanted?.resolve()
  }

  onResponseEnd(): void {
    this.#finish()
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#ended) return
    this.#fail(this.#translate(error))
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
    this.#request.signal.removeEventListener('abort', this.#onAbort)
    this.#wanted?.resolve()
  }

  #body(): AsyncIterable<Uint8Array> {
    const iterator: AsyncIterator<Uint8Array> = {
      next: async () => {
        for (;;) {
          const chunk = this.#chunks.shift()
          if (chunk) {
            this.#bytes -= chunk.length
            if (this.#bytes < BUFFER_BYTES / 2 && !this.#ended) this.#controller?.resume()
            return { done: false, value: chunk }
          }
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
    if (NOT_SENT.has(code)) return this.#failed('bad-request', said)
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
