import type { IncomingMessage, ServerResponse } from 'node:http'
import { endToEndFields } from '../http/fields.ts'
import type { Fields } from '../http/message.ts'
import { expectsContinue, hasBody } from '../http/request-fields.ts'
import type { Reader } from '../cache/reader.ts'
import { isList } from './stored-answer.ts'
import type { Body } from '../http/message.ts'
import { NearcastError } from '../lib/errors.ts'

/** CloudFront's words for what became of a request. */
export type ResultType = 'Hit' | 'RefreshHit' | 'Miss' | 'Error'

/** One viewer's request on its way to an answer. */
export class Viewer {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly id: string
  /** Names are lower case and repeated fields joined, as node:http gives them. */
  readonly headers: Fields
  /** Body bytes handed to the connection so far. */
  sentBytes = 0
  result: ResultType = 'Error'
  /** When the first byte of the answer left, on the monotonic clock. */
  firstByteAt: number | undefined
  readonly #stuckMs: number
  #controller: AbortController | undefined

  constructor(request: IncomingMessage, response: ServerResponse, id: string, stuckMs: number) {
    this.request = request
    this.response = response
    this.id = id
    this.#stuckMs = stuckMs
    this.headers = fieldsOf(request)
  }

  /** Aborted when the viewer has gone before its answer was complete. */
  get signal(): AbortSignal {
    if (this.#controller) return this.#controller.signal
    const controller = new AbortController()
    this.#controller = controller
    const { response } = this
    const gone = () => controller.abort(new NearcastError('unavailable', 'the viewer has gone'))
    if (response.destroyed) gone()
    else
      response.once('close', () => {
        if (!response.writableFinished) gone()
      })
    return controller.signal
  }

  get gone(): boolean {
    return this.response.destroyed
  }

  /** The content of the request as it comes in; null for none. Who waits for a 100 (RFC 9110 §10.1.1) gets it when somebody reads. */
  body(): AsyncIterable<Uint8Array> | null {
    return hasBody(this.headers) ? this.#content() : null
  }

  async *#content(): AsyncGenerator<Uint8Array> {
    const { request, response } = this
    const waits = request.httpVersion !== '1.0' && expectsContinue(request.headers.expect)
    if (waits && !response.headersSent && !this.gone) response.writeContinue()
    // An origin that answers before it has read everything must not cost the viewer his connection.
    const chunks: AsyncIterable<Uint8Array> = request.iterator({ destroyOnReturn: false })
    yield* chunks
  }

  head(status: number, flat: readonly string[], more: readonly string[]): void {
    this.response.writeHead(status, [...flat, ...more, 'X-Nearcast-Request-Id', this.id])
  }

  /**
   * Passes on a 1xx that came before the answer (RFC 9110 §15.2): 102, and 103 with what it hints at (RFC 8297). HTTP/1.0 knows none;
   * 100 is of one connection.
   */
  inform(status: number, headers: Fields): void {
    const { response, request } = this
    if (response.headersSent || this.gone || request.httpVersion === '1.0') return
    if (status === 102) response.writeProcessing()
    const link = headers['link']
    if (status !== 103 || link === undefined) return
    const hints: Record<string, string | string[]> = {}
    for (const [name, value] of Object.entries(endToEndFields(headers)))
      hints[name] = typeof value === 'string' ? value : [...value]
    try {
      response.writeEarlyHints({ ...hints, link: typeof link === 'string' ? link : [...link] })
    } catch {
      // node:http takes only what it knows as a link; the answer itself has it again.
    }
  }

  end(bytes?: Uint8Array): void {
    if (bytes) this.sentBytes += bytes.length
    this.response.end(bytes)
    const socket = this.response.socket
    if (socket && socket.writableLength > 0) this.#watch()
  }

  /** Several buffers as one write. */
  endAll(parts: readonly Uint8Array[]): void {
    const { response } = this
    response.cork()
    for (const part of parts) {
      this.sentBytes += part.length
      response.write(part)
    }
    this.end()
    response.uncork()
  }

  /** Bytes of an answer that goes on. */
  send(bytes: Uint8Array): Promise<void> {
    return this.#write(bytes)
  }

  /** Sends the rest of a reader, at the viewer's pace; closes it. Rejects when its bytes don't come. `last`: the answer ends with it. */
  async sendReader(reader: Reader, first: Uint8Array | undefined, last = true): Promise<void> {
    const leave = () => reader.close()
    this.response.once('close', leave)
    try {
      let bytes = first
      for (;;) {
        if (this.gone) return
        if (last && bytes && reader.done) return this.end(bytes)
        if (bytes) await this.#write(bytes)
        else if (reader.done) return last ? this.end() : undefined
        else await reader.ready()
        bytes = reader.take()
      }
    } finally {
      this.response.off('close', leave)
      reader.close()
    }
  }

  /** Sends a body that is not kept. A stream that gives more or less than `length` cuts the connection. */
  async sendBody(body: Body, length: number | undefined): Promise<void> {
    if (body === null) return this.end()
    if (body instanceof Uint8Array) return this.end(body)
    if (isList(body)) return this.endAll(body)
    let sent = 0
    for await (const chunk of body) {
      if (this.gone) return
      sent += chunk.length
      if (length !== undefined && sent > length)
        throw new NearcastError(
          'origin-failed',
          `the body is longer than the ${length} bytes announced`,
        )
      await this.#write(chunk)
    }
    if (length !== undefined && sent < length)
      throw new NearcastError('origin-failed', `the body ended after ${sent} of ${length} bytes`)
    this.end()
  }

  /** The answer can't be completed: the viewer sees a cut connection, never a wrong body. */
  cut(): void {
    this.response.destroy()
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.sentBytes += bytes.length
    if (bytes.length === 0 || this.response.write(bytes)) return
    this.#watch()
    await drainedOrClosed(this.response)
    this.response.socket?.setTimeout(0)
  }

  // node:http destroys a socket whose timeout passes; node:net counts bytes that trickle out of a large write as activity.
  #watch(): void {
    this.response.socket?.setTimeout(this.#stuckMs)
  }
}

function drainedOrClosed(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve()
      return
    }
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}

function fieldsOf(request: IncomingMessage): Fields {
  const headers = request.headers
  // node:http never leaves a value undefined here; its type only says so for names that are not there.
  return headers as Fields
}
