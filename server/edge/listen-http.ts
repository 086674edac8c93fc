import { createServer, IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../lib/clock.ts'
import { listen } from '../lib/listen.ts'
import { type FastConnection, type FastDeps, serveFast } from './fast-connection.ts'

export interface ListenOptions {
  /** `0.0.0.0` and `::` both mean every address, IPv4 and IPv6. */
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** In a worker process: not the port that all of them share. */
  readonly exclusive?: boolean | undefined
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** Answers hits before node's HTTP server sees them. */
  readonly fast?: FastHits | undefined
  /** A viewer has so many milliseconds to send a header: slowloris gets no further. */
  readonly headersMs?: number | undefined
  readonly clock: Clock
}

/** What the listener does not know itself of answering hits. */
export type FastHits = Omit<FastDeps, 'keepAliveMs' | 'firstMs'>

export interface HttpListener {
  readonly port: number
  /** No new connections; those that answer get `graceMs`, idle ones none. */
  close(graceMs?: number): Promise<void>
}

const HEADER_BYTES_MAX = 32 * 1024
const FIELDS_MAX = 500
const HEADERS_TIMEOUT_MS = 20_000
const CHECK_EVERY_MS = 5000
const KEEP_ALIVE_MS = 65_000
const CLOSE_GRACE_MS = 5000

/** A viewers' listener with node's strict parser; throws `port-taken`. */
export async function listenHttp(options: ListenOptions): Promise<HttpListener> {
  const { headersMs = HEADERS_TIMEOUT_MS } = options
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: headersMs,
    // An upload may take as long as it flows.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(CHECK_EVERY_MS, headersMs),
    noDelay: true,
    insecureHTTPParser: false,
    requireHostHeader: true,
    IncomingMessage: ViewerRequest,
  })
  // One more than are taken: node leaves out what is beyond.
  server.maxHeadersCount = FIELDS_MAX + 1
  const upgraded = new Set<Duplex>()
  const ending = new WeakSet<Socket>()
  const latest = new WeakMap<Duplex, ServerResponse>()
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    // Node drops what came behind such a request in the same packet, so that the connection is of no more use.
    if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false
    // RFC 9112 §9.6: node goes on to read what came behind the last request in the same packet.
    if (ending.has(request.socket)) return
    latest.set(request.socket, response)
    const refused = refusalOf(request)
    if (refused !== undefined || !response.shouldKeepAlive) ending.add(request.socket)
    if (refused === undefined) options.handle(request, response)
    else response.writeHead(refused, { connection: 'close', 'content-length': 0 }).end()
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (refusalOf(request) !== undefined) {
      socket.end(UNREADABLE)
      return
    }
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    options.upgrade(request, socket, head)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const before = latest.get(socket)
    if (!before || before.writableFinished || before.destroyed) answerUnreadable(error, socket)
    // Bytes behind a whole request: its answer goes out first, and nothing of another one into the middle of it.
    else if (before.req.complete) before.once('close', () => answerUnreadable(error, socket))
    else if (before.headersSent) socket.destroy()
    else answerUnreadable(error, socket)
  })
  const quick = new Map<Socket, FastConnection>()
  if (options.fast) letFastAnswer(server, quick, { ...options.fast, firstMs: headersMs })
  // A proxy's method; this is no proxy.
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    socket.end('HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  })
  const { host, exclusive } = options
  const port = await listen(server, { name: 'http', host, port: options.port, exclusive })
  return {
    port,
    close: (graceMs = CLOSE_GRACE_MS) =>
      new Promise((resolve) => {
        const cut = options.clock.after(graceMs, () => {
          server.closeAllConnections()
          for (const socket of [...upgraded, ...quick.keys()]) socket.destroy()
        })
        server.close(() => {
          cut[Symbol.dispose]()
          resolve()
        })
        server.closeIdleConnections()
        for (const connection of quick.values()) connection.end()
        // They never end by themselves.
        for (const socket of upgraded) socket.destroy()
      }),
  }
}

/** Connections begin with `fast`; node's own listener gets those that ask for more than hits. */
function letFastAnswer(
  server: Server,
  quick: Map<Socket, FastConnection>,
  fast: Omit<FastDeps, 'keepAliveMs'>,
): void {
  const [listener] = server.listeners('connection')
  if (!listener) return
  server.removeAllListeners('connection')
  const deps = { ...fast, keepAliveMs: KEEP_ALIVE_MS }
  server.on('connection', (socket: Socket) => {
    const forget = () => quick.delete(socket)
    socket.once('close', forget)
    const connection = serveFast(socket, deps, () => {
      forget()
      socket.off('close', forget)
      listener.call(server, socket)
    })
    quick.set(socket, connection)
  })
}

/**
 * RFC 9110 §7.8: an offer of another protocol may be passed over, and all but WebSocket are: `curl --http2` and Java's client offer
 * h2c with each request. Node asks for `upgrade` behind the header; Node 24 has `shouldUpgradeCallback` for this.
 */
class ViewerRequest extends IncomingMessage {
  #offered = false

  get upgrade(): boolean {
    if (!this.#offered) return false
    return this.method === 'CONNECT' || WEBSOCKET.test(this.headers.upgrade ?? '')
  }

  set upgrade(offered: boolean | null) {
    // Node's constructor says null, before there is a field here to write to.
    if (offered) this.#offered = true
  }
}

const WEBSOCKET = /(?:^|,)\s*websocket\s*(?:,|$)/i

/** A status where the head can't be taken. */
function refusalOf(request: IncomingMessage): 400 | 431 | undefined {
  if (request.rawHeaders.length > FIELDS_MAX * 2) return 431
  return hasOneHost(request) ? undefined : 400
}

/** RFC 9112 §3.2: a second Host or an invalid one is 400: the tier before this one may have gone by the other. */
function hasOneHost(request: IncomingMessage): boolean {
  const { rawHeaders } = request
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts <= 1 && HOST.test(request.headers.host ?? '')
}

// RFC 3986 §3.2.2, with a port.
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\w.~!$&'()*+,;=:-]+\])(?::\d*)?$/
const UNREADABLE = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
  const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const status = tooLarge
    ? '431 Request Header Fields Too Large'
    : late
      ? '408 Request Timeout'
      : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  )
}
