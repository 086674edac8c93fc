import { createServer, IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../lib/clock.ts'
import { listen } from '../lib/listen.ts'
import { expectsContinue, hasBody, isHost } from '../http/request-fields.ts'
import { type FastConnection, type FastDeps, serveFast } from './fast-connection.ts'
import { endBehind, ViewerConnections } from './viewer-connections.ts'

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
  /** A viewer who ended his side has left when there is nothing for him in so many milliseconds. */
  readonly halfClosedMs?: number | undefined
  readonly clock: Clock
}

/** What the listener does not know itself of answering hits. */
export type FastHits = Omit<FastDeps, 'keepAliveMs' | 'firstMs' | 'halfClosedMs'>

export interface HttpListener {
  readonly port: number
  /** No new connections; those that answer get `graceMs`, idle ones none. */
  close(graceMs?: number): Promise<void>
}

const HEADER_BYTES_MAX = 32 * 1024
const FIELDS_MAX = 500
const HEADERS_TIMEOUT_MS = 20_000
const HALF_CLOSED_MS = 5000
const CHECK_EVERY_MS = 5000
const KEEP_ALIVE_MS = 65_000
const CLOSE_GRACE_MS = 5000

/** A viewers' listener with node's strict parser; throws `port-taken`. */
export async function listenHttp(options: ListenOptions): Promise<HttpListener> {
  const { clock, headersMs = HEADERS_TIMEOUT_MS, halfClosedMs = HALF_CLOSED_MS } = options
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: headersMs,
    // An upload may take as long as it flows.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(CHECK_EVERY_MS, headersMs),
    noDelay: true,
    insecureHTTPParser: false,
    // Looked at below, with what else ends a connection.
    requireHostHeader: false,
    IncomingMessage: ViewerRequest,
  })
  // One more than are taken: node leaves out what is beyond.
  server.maxHeadersCount = FIELDS_MAX + 1
  // A viewer may end his side behind his last request; without this node ends the other one at once.
  Object.assign(server, { httpAllowHalfOpen: true })
  const upgraded = new Set<Duplex>()
  const connections = new ViewerConnections({
    clock,
    halfClosedMs,
    answer(request, response) {
      const refused = refusalOf(request)
      if (refused === undefined) options.handle(request, response)
      else response.writeHead(refused, { connection: 'close', 'content-length': 0 }).end()
    },
  })
  let closing = false
  const take = (request: IncomingMessage, response: ServerResponse) => {
    // Live viewers ask again as soon as they are answered: their connections would never be idle.
    if (closing) response.shouldKeepAlive = false
    // Node drops what came behind such a request in the same packet, so that the connection is of no more use.
    if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false
    connections.take(
      request,
      response,
      !response.shouldKeepAlive || refusalOf(request) !== undefined,
    )
  }
  server.on('request', take)
  // Whoever reads the body says 100 first.
  server.on('checkContinue', take)
  server.on('checkExpectation', take)
  const last = (socket: Duplex, answer: string) => {
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    endBehind(socket, clock, answer)
  }
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Node has let go of the answers before it; whoever waits for this one's first asks for nothing before it.
    if (connections.isBusy(socket)) socket.destroy()
    else if (refusalOf(request) !== undefined || hasBody(request.headers)) last(socket, UNREADABLE)
    else {
      upgraded.add(socket)
      socket.once('close', () => upgraded.delete(socket))
      options.upgrade(request, socket, head)
    }
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
    else connections.breakOff(socket, () => endBehind(socket, clock, unreadable(error)))
  })
  const quick = new Map<Socket, FastConnection>()
  if (options.fast)
    letFastAnswer(server, quick, { ...options.fast, firstMs: headersMs, halfClosedMs })
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  // A proxy's method; this is no proxy.
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    if (connections.isBusy(socket)) socket.destroy()
    else last(socket, ending('405 Method Not Allowed'))
  })
  const { host, exclusive } = options
  const port = await listen(server, { name: 'http', host, port: options.port, exclusive })
  return {
    port,
    close: (graceMs = CLOSE_GRACE_MS) =>
      new Promise((resolve) => {
        closing = true
        const cut = clock.after(graceMs, () => {
          server.closeAllConnections()
          for (const socket of [...upgraded, ...quick.keys()]) socket.destroy()
        })
        server.close(() => {
          cut[Symbol.dispose]()
          // Node counts a connection out before it says so: what waits for that is to be counted and logged still.
          if (open.size === 0) resolve()
          for (const socket of open) socket.once('close', () => open.size === 0 && resolve())
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
function refusalOf(request: IncomingMessage): 400 | 417 | 431 | 501 | undefined {
  const { headers, httpVersion, rawHeaders } = request
  if (rawHeaders.length > FIELDS_MAX * 2) return 431
  if (!hasOneHost(request)) return 400
  const coding = headers['transfer-encoding']
  if (coding !== undefined) {
    // RFC 9112 §6.1: HTTP/1.0 has none, and who else read this message may not have seen its end there.
    if (httpVersion === '1.0') return 400
    if (!/(?:^|,)\s*chunked$/i.test(coding)) return 400
    // What another coding did to the body would have to be undone for the origin.
    if (coding.length > 'chunked'.length) return 501
  }
  const { expect } = headers
  // RFC 9110 §10.1.1
  if (expect !== undefined && httpVersion !== '1.0' && !expectsContinue(expect)) return 417
  return undefined
}

/** RFC 9112 §3.2: none, a second one or an invalid one is 400: the tier before this one may have gone by another. */
function hasOneHost({ rawHeaders, headers, httpVersion }: IncomingMessage): boolean {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  if (hosts === 0) return httpVersion === '1.0'
  return hosts === 1 && isHost(headers.host ?? '')
}

const ending = (status: string) =>
  `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
const UNREADABLE = ending('400 Bad Request')

function unreadable({ code }: NodeJS.ErrnoException): string {
  if (code === 'HPE_HEADER_OVERFLOW') return ending('431 Request Header Fields Too Large')
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? ending('408 Request Timeout') : UNREADABLE
}
