import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { endToEndFields } from '../http/fields.ts'
import {
  type Fields,
  field,
  type Origin,
  type OriginRequest,
  type OriginUpgrade,
} from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import { listen } from '../lib/listen.ts'
import type { Log } from '../lib/log.ts'
import { listenOnSocket } from './listen-on-socket.ts'
import {
  type AppliedByEdge,
  type FollowedPosition,
  parseMatched,
  parseTarget,
} from './read-target.ts'
import {
  headText,
  pourFrames,
  pourLines,
  writeError,
  writeInformational,
  writeMessage,
} from './write-answer.ts'

export interface OriginFaceDeps {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** A unix socket in place of host and port, for this user alone. */
  readonly socketPath?: string | undefined
  /** What every request must carry as `nearcast-token`. */
  readonly token: string
  readonly origins: () => readonly Origin[]
  /** The bytes of a live window from now on; undefined when nobody publishes it. */
  readonly tail: (
    name: string,
    signal: AbortSignal,
  ) => AsyncIterable<Uint8Array> | undefined | Promise<AsyncIterable<Uint8Array> | undefined>
  /** The header and then the changes, each sent as one JSON line. */
  readonly changes: (
    after: FollowedPosition | undefined,
    signal: AbortSignal,
  ) => AsyncIterable<object>
  /** Told what an edge has applied; not asked for where nobody wants to know. */
  readonly applied?: ((said: AppliedByEdge, leaving: boolean) => void) | undefined
  readonly clock: Clock
  readonly log: Log
}

export interface OriginFace {
  /** 0 on a socket. */
  readonly port: number
  /** Ends tails and change streams at once, lets answers finish for a moment. */
  close(): Promise<void>
}

const HEADER_BYTES_MAX = 64 * 1024
// Longer than the edge keeps a connection, so that it is never this side that closes one under a new request.
const KEEP_ALIVE_MS = 65_000
const HEADERS_MS = 15_000
const CLOSE_GRACE_MS = 3000

/** Starts the HTTP face through which edges on other machines reach this one's origins, live windows and changes. */
export async function startOriginFace(deps: OriginFaceDeps): Promise<OriginFace> {
  const face = new Face(deps)
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
    // A connection that falls idle while closing would hold the end up for its keep-alive time.
    response.once('close', () => {
      if (!server.listening) server.closeIdleConnections()
    })
    void face.answer(request, response)
  })
  server.on('upgrade', (request, socket, head) => void face.upgrade(request, socket, head))
  server.keepAliveTimeout = KEEP_ALIVE_MS
  server.headersTimeout = HEADERS_MS
  // An upload lasts as long as its viewer takes.
  server.requestTimeout = 0
  const port =
    deps.socketPath === undefined
      ? await listen(server, { name: 'origin', host: deps.host, port: deps.port })
      : await listenOnSocket(server, deps.socketPath)
  return {
    port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      face.endStreams()
      server.closeIdleConnections()
      using _ = deps.clock.after(CLOSE_GRACE_MS, () => {
        server.closeAllConnections()
        face.endUpgrades()
      })
      await closed
      face.endUpgrades()
    },
  }
}

class Face {
  readonly #deps: OriginFaceDeps
  readonly #tokenHash: Buffer
  readonly #streams = new AbortController()
  /** Sockets of edges that asked for an upgrade, answered or not: the server does not count them as its own any more. */
  readonly #upgraded = new Set<Duplex>()

  constructor(deps: OriginFaceDeps) {
    this.#deps = deps
    this.#tokenHash = hashOf(deps.token)
  }

  endStreams(): void {
    this.#streams.abort(new NearcastError('unavailable', 'the origin is stopping'))
  }

  endUpgrades(): void {
    for (const socket of this.#upgraded) socket.destroy()
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    response.once('close', () => {
      if (!response.writableFinished)
        gone.abort(new NearcastError('unavailable', 'the edge went away'))
    })
    try {
      await this.#route(request, response, gone.signal)
    } catch (error) {
      if (gone.signal.aborted) return
      const known = asNearcastError(error)
      if (known.code === 'internal')
        this.#deps.log.error('origin request failed', {
          path: request.url,
          error: describeError(error),
        })
      // Half an answer cannot be taken back: a cut connection says that it is half.
      if (response.headersSent) response.destroy()
      else writeError(response, known)
    }
  }

  async #route(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    this.#checkToken(request)
    const target = parseTarget(request.url ?? '')
    switch (target.kind) {
      case 'origins': {
        const list = this.#deps.origins().map(({ id, caching, ranges, keyQuery }) => ({
          id,
          caching,
          ranges,
          keyQuery,
        }))
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(list))
        return
      }
      case 'tail': {
        const streaming = AbortSignal.any([signal, this.#streams.signal])
        const tail = await this.#deps.tail(target.name, streaming)
        if (!tail) throw new NearcastError('stream-not-live', `${target.name} is not live here`)
        response.writeHead(200, { 'content-type': 'application/octet-stream', connection: 'close' })
        await pourFrames(response, untilAborted(tail, streaming), this.#deps.clock)
        return
      }
      case 'changes': {
        const streaming = AbortSignal.any([signal, this.#streams.signal])
        response.writeHead(200, { 'content-type': 'application/x-ndjson', connection: 'close' })
        const changes = this.#deps.changes(target.after, streaming)
        await pourLines(response, untilAborted(changes, streaming), this.#deps.clock)
        return
      }
      case 'applied': {
        if (request.method !== 'PUT' && request.method !== 'DELETE')
          throw new NearcastError(
            'method-not-allowed',
            'an edge says what it applied with PUT, and DELETE when it leaves',
          )
        this.#deps.applied?.(target.said, request.method === 'DELETE')
        response.writeHead(204).end()
        return
      }
      case 'origin': {
        const onInformational = (status: number, headers: Fields) =>
          writeInformational(response, status, headers)
        const answer = await this.#origin(target.id).fetch({
          ...readRequest(request, target, signal),
          body: hasBody(request) ? request : null,
          onInformational,
        })
        if (answer.kind === 'upgrade') {
          answer.socket.destroy()
          throw new NearcastError('origin-failed', `${target.id} switched protocols unasked`)
        }
        await writeMessage(response, request.method ?? 'GET', answer)
      }
    }
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const gone = new AbortController()
    const close = () => gone.abort(new NearcastError('unavailable', 'the edge went away'))
    this.#upgraded.add(socket)
    socket.on('error', close)
    socket.once('close', () => {
      this.#upgraded.delete(socket)
      close()
    })
    try {
      this.#checkToken(request)
      const target = parseTarget(request.url ?? '')
      if (target.kind !== 'origin') throw new NearcastError('bad-request', 'only origins upgrade')
      const upgrade = headerText(request.headers['upgrade'])
      const wanted = readRequest(request, target, gone.signal)
      const headers = { ...wanted.headers, ...(upgrade === undefined ? {} : { upgrade }) }
      const answer = await this.#origin(target.id).fetch({ ...wanted, headers, body: null })
      if (answer.kind === 'upgrade') this.#join(socket, head, answer, upgrade)
      else await refuseUpgrade(socket, answer.status, answer.headers)
    } catch (error) {
      if (gone.signal.aborted) return
      const known = asNearcastError(error)
      await refuseUpgrade(socket, known.status, { 'nearcast-error': known.code })
    }
  }

  #join(socket: Duplex, head: Buffer, answer: OriginUpgrade, upgrade: string | undefined): void {
    const fields: Fields = {
      connection: 'Upgrade',
      upgrade: field(answer.headers, 'upgrade') ?? upgrade ?? 'websocket',
      ...endToEndFields(answer.headers),
    }
    // The edge left while the origin answered.
    if (socket.destroyed) {
      answer.socket.destroy()
      return
    }
    socket.write(headText(101, fields), 'latin1')
    if (answer.head.length > 0) socket.write(answer.head)
    if (head.length > 0) answer.socket.write(head)
    for (const [one, other] of [
      [socket, answer.socket],
      [answer.socket, socket],
    ] as const) {
      one.on('error', () => other.destroy())
      one.once('close', () => other.destroy())
      one.pipe(other)
    }
  }

  #origin(id: string): Origin {
    const origin = this.#deps.origins().find((one) => one.id === id)
    if (!origin) throw new NearcastError('not-found', `there is no origin ${id} here`)
    return origin
  }

  #checkToken(request: IncomingMessage): void {
    const given = headerText(request.headers['nearcast-token'])
    // Hashes have one length, so the comparison takes one time.
    if (given !== undefined && timingSafeEqual(hashOf(given), this.#tokenHash)) return
    throw new NearcastError('unauthorized', 'nearcast-token is missing or wrong')
  }
}

function readRequest(
  request: IncomingMessage,
  target: { readonly path: string; readonly query: string },
  signal: AbortSignal,
): Omit<OriginRequest, 'body'> {
  const {
    'nearcast-token': _,
    'nearcast-min-change': minChange,
    'nearcast-matched': matched,
    ...headers
  } = request.headers
  return {
    method: request.method ?? 'GET',
    path: target.path,
    query: target.query,
    headers: endToEndFields(definedFields(headers)),
    signal,
    minChange: headerText(minChange),
    matched: parseMatched(headerText(matched)),
  }
}

function definedFields(headers: IncomingMessage['headers']): Fields {
  const defined: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) defined[name] = value
  return defined
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length']
  return (
    request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
  )
}

async function* untilAborted<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  for await (const item of source) {
    if (signal.aborted) return
    yield item
  }
}

async function refuseUpgrade(socket: Duplex, status: number, headers: Fields): Promise<void> {
  const fields = { ...endToEndFields(headers), connection: 'close', 'content-length': '0' }
  await new Promise<void>((resolve) => socket.end(headText(status, fields), 'latin1', resolve))
  socket.destroy()
}

function headerText(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0]
}

function asNearcastError(error: unknown): NearcastError {
  return error instanceof NearcastError
    ? error
    : new NearcastError('internal', 'the origin could not answer', { cause: error })
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
