import { type Dispatcher, Pool } from 'undici'
import { collect } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import { type Deferred, deferred } from '../lib/deferred.ts'
import { describeError, ERRORS, type ErrorCode, NearcastError } from '../lib/errors.ts'
import { Places } from './places.ts'

/** An answer of the parent's that is no refusal. Its body must be read, or its request aborted. */
export interface ParentAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: AsyncIterable<Uint8Array> & { dump(): Promise<void> }
}

export interface ParentRequest {
  readonly method: string
  /** Path and query on the wire. */
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: Dispatcher.DispatchOptions['body']
  readonly signal: AbortSignal
  readonly onInformational?:
    | ((status: number, headers: Record<string, string | string[]>) => void)
    | undefined
}

/** The connections to one parent: those of answers are bounded, those of tails and changes are as many as there are streams. */
export interface ParentWire {
  readonly url: URL
  readonly token: string
  /** The socket file that stands for the address, when the parent is on this machine. */
  readonly socketPath: string | undefined
  /** How long the head of an answer may take. */
  readonly answerMs: number
  /** Throws the parent's own error, or `origin-unreachable`, `origin-timeout`, `origin-failed`. */
  send(request: ParentRequest): Promise<ParentAnswer>
  /** A GET whose body may last for ever and beats while it is silent. */
  stream(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  close(): Promise<void>
}

const CONNECT_MS = 5000
const ANSWER_MS = 60_000
const CONNECTIONS_MAX = 256
const KEEP_ALIVE_MS = 30_000
const ERROR_BYTES_MAX = 64 * 1024
/** RFC 9110 §9.2.2: what may be sent again without knowing whether it was done before. */
const SENT_AGAIN: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

export function openParentWire(options: {
  readonly url: string
  readonly token: string
  readonly socketPath?: string | undefined
  /** A stream without a heartbeat for so long is dead. */
  readonly stallMs: number
  readonly answerMs?: number | undefined
  readonly clock: Clock
}): ParentWire {
  const url = parseUrl(options.url)
  const { socketPath, clock, answerMs = ANSWER_MS } = options
  const common = {
    connect: { timeout: CONNECT_MS, ...(socketPath !== undefined && { socketPath }) },
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: answerMs,
  }
  const answers = new Pool(url.origin, {
    ...common,
    connections: CONNECTIONS_MAX,
    bodyTimeout: ANSWER_MS,
  })
  const streams = new Pool(url.origin, {
    ...common,
    connections: null,
    bodyTimeout: options.stallMs,
  })
  const places = new Places(CONNECTIONS_MAX)
  /** `ended` is called when the connection is free for another request, or gone. */
  const ask = async (
    pool: Pool,
    request: ParentRequest,
    ended: () => void = () => {},
  ): Promise<ParentAnswer> => {
    const answer = await pool
      .request({
        method: request.method as Dispatcher.HttpMethod,
        path: request.path,
        headers: { ...request.headers, 'nearcast-token': options.token },
        body: request.body ?? null,
        signal: request.signal,
        onInfo: ({ statusCode, headers }) => request.onInformational?.(statusCode, headers),
      })
      .catch((error: unknown) => {
        ended()
        throw wireError(error, request.signal, url)
      })
    answer.body.once('close', ended)
    // Someone may leave before reading; the error is told to whoever reads.
    answer.body.on('error', () => {})
    const headers = definedFields(answer.headers)
    if (headers['nearcast-error'] !== undefined) throw await readError(answer.body, headers, url)
    const body = {
      [Symbol.asyncIterator]: () => readBody(answer.body, request.signal, url),
      dump: () => answer.body.dump().catch(() => {}),
    }
    return { status: answer.statusCode, headers, body }
  }
  return {
    url,
    token: options.token,
    socketPath,
    answerMs,
    send: async (request) => {
      const place = await placeIn(places, request.signal, clock, url)
      const leave = () => place[Symbol.dispose]()
      try {
        return await ask(answers, request, leave)
      } catch (error) {
        // The parent may close an idle connection in the moment it is used again.
        const again = isReset(error) && isSentAgain(request) && !request.signal.aborted
        if (!again) throw error
      }
      const next = await placeIn(places, request.signal, clock, url)
      return ask(answers, request, () => next[Symbol.dispose]())
    },
    stream: async (path, signal) => {
      const request = { method: 'GET', path, headers: {}, body: null, signal }
      const { status, body } = await ask(streams, request)
      if (status === 200) return body
      await body.dump()
      throw new NearcastError('origin-failed', `${url.host} answered ${status} to ${path}`)
    },
    close: async () => {
      await Promise.all([answers.destroy(), streams.destroy()])
    },
  }
}

/** A place among the answers; waited for as long as a connection may take, and no longer than anybody wants it. */
async function placeIn(
  places: Places,
  signal: AbortSignal,
  clock: Clock,
  url: URL,
): Promise<Disposable> {
  signal.throwIfAborted()
  const begun: Deferred<Disposable> = deferred()
  const waiting = places.take((place) => begun.resolve(place))
  const giveUp = (reason: unknown) => {
    waiting[Symbol.dispose]()
    begun.reject(reason)
  }
  const leave = () => giveUp(signal.reason)
  using _ = clock.after(CONNECT_MS, () =>
    giveUp(new NearcastError('origin-unreachable', `${url.host}: all connections are taken`)),
  )
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await begun.promise
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

function isSentAgain({ method, body }: ParentRequest): boolean {
  return SENT_AGAIN.has(method) && (body ?? null) === null
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return url
  throw new NearcastError('config-invalid', 'parent.url: not an http:// or https:// address')
}

async function* readBody(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  url: URL,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body
  } catch (error) {
    throw wireError(error, signal, url)
  }
}

async function readError(
  body: AsyncIterable<Uint8Array>,
  headers: Readonly<Record<string, string | string[]>>,
  url: URL,
): Promise<NearcastError> {
  const code = String(headers['nearcast-error'])
  const text = await collect(body, ERROR_BYTES_MAX).catch(() => Buffer.alloc(0))
  if (!isErrorCode(code))
    return new NearcastError(
      'origin-failed',
      `${url.host} answered with error ${code.slice(0, 50)}`,
    )
  // A code of ours that came from the wrong token must not look like the viewer's fault.
  if (code === 'unauthorized')
    return new NearcastError(
      'origin-failed',
      `${url.host} refused this edge's token; it is edgeToken in the ready.json of the parent`,
    )
  return new NearcastError(code, readSentence(text.toString()) ?? `${url.host} gave no reason`)
}

function readSentence(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && 'message' in value)
      return String(value.message)
  } catch {
    // An answer to HEAD has none.
  }
  return undefined
}

/** What undici or the socket threw, as an error with a code; an abort stays what it was. */
export function wireError(error: unknown, signal: AbortSignal, url: URL): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof NearcastError) return error
  const message = `${url.host}: ${describeError(error)}`
  return new NearcastError(wireCode(error), message, { cause: error })
}

function wireCode(error: unknown): ErrorCode {
  switch (codeOf(error)) {
    case 'ECONNREFUSED':
    case 'ENOENT':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return 'origin-unreachable'
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
    case 'ETIMEDOUT':
      return 'origin-timeout'
    default:
      return 'origin-failed'
  }
}

function isReset(error: unknown): boolean {
  const cause = error instanceof NearcastError ? codeOf(error.cause) : ''
  return cause === 'ECONNRESET' || cause === 'UND_ERR_SOCKET'
}

function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0])
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

function definedFields(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string | string[]> {
  const defined: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) defined[name.toLowerCase()] = value
  return defined
}
