import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../lib/clock.ts'

export interface ViewerConnectionsOptions {
  readonly clock: Clock
  /** Who ended his side has left when so many milliseconds bring no byte for him: until then it may be half-closed only. */
  readonly halfClosedMs: number
  readonly answer: (request: IncomingMessage, response: ServerResponse) => void
}

interface Turn {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

interface Connection {
  readonly waiting: Turn[]
  current: Turn | undefined
  /** Nobody is there to be answered. */
  left: boolean
  /** RFC 9112 §9.6: nothing behind the last request is processed. */
  ending: boolean
  /** Bytes came that are no request. */
  broken: boolean
}

/** Requests that are read and wait for those before them; the socket is not read from while there are more. */
const WAITING_MAX = 32
/** What a viewer still sends behind a last answer is thrown away for so long: a reset could overtake the answer. */
const LINGER_MS = 2000

/**
 * The order of things on viewers' connections: requests in one packet are answered one after the other, so that a viewer has one
 * of them at work however many he sends, and what they change is changed in their order (RFC 9112 §9.3.2).
 */
export class ViewerConnections {
  readonly #options: ViewerConnectionsOptions
  readonly #known = new WeakMap<Duplex, Connection>()

  constructor(options: ViewerConnectionsOptions) {
    this.#options = options
  }

  /** `last`: none behind it is processed. */
  take(request: IncomingMessage, response: ServerResponse, last: boolean): void {
    const { socket } = request
    const connection = this.#of(socket)
    if (connection.ending) return
    connection.ending = last
    connection.waiting.push({ request, response })
    this.#next(connection)
    if (connection.waiting.length >= WAITING_MAX) socket.pause()
  }

  /** Whether answers are still to go out on it. */
  isBusy(socket: Duplex): boolean {
    return this.#known.get(socket)?.current !== undefined
  }

  /** Runs once what is to come behind the answers of whole requests; a request that is cut short ends here, with its answer if it has begun. */
  breakOff(socket: Duplex, task: () => void): void {
    const connection = this.#known.get(socket)
    if (!connection) return task()
    // The parser says the same of each byte that follows.
    if (connection.broken) return undefined
    connection.broken = true
    connection.ending = true
    const last = connection.waiting.at(-1) ?? connection.current
    if (!last) return task()
    if (last.request.complete) last.response.once('close', task)
    else if (last.response.headersSent) socket.destroy()
    else task()
    return undefined
  }

  #of(socket: Socket): Connection {
    const known = this.#known.get(socket)
    if (known) return known
    const connection: Connection = {
      waiting: [],
      current: undefined,
      left: false,
      ending: false,
      broken: false,
    }
    this.#known.set(socket, connection)
    // node:http goes on reading behind each request, too.
    socket.on('resume', () => {
      if (connection.waiting.length >= WAITING_MAX) socket.pause()
    })
    socket.once('end', () => this.#halfClosed(socket, connection))
    const atOnce = socket.destroySoon.bind(socket)
    socket.destroySoon = () => {
      if (connection.current?.request.complete === false) endBehind(socket, this.#options.clock)
      else atOnce()
    }
    return connection
  }

  #next(connection: Connection): void {
    if (connection.current || connection.left) return
    const turn = connection.waiting.shift()
    connection.current = turn
    if (!turn) return
    const { request, response } = turn
    response.once('close', () => {
      connection.current = undefined
      // Of a connection that is lost node closes the answer first.
      connection.left = request.socket.destroyed
      this.#next(connection)
      if (connection.waiting.length === WAITING_MAX - 1) request.socket.resume()
    })
    this.#options.answer(request, response)
  }

  #halfClosed(socket: Socket, connection: Connection): void {
    if (!connection.current) return
    const { clock, halfClosedMs } = this.#options
    let before = socket.bytesWritten
    const looking = clock.every(halfClosedMs, () => {
      // What is written and not taken shows by itself whether somebody is there.
      if (socket.bytesWritten === before && socket.writableLength === 0) socket.destroy()
      before = socket.bytesWritten
    })
    socket.once('close', () => looking[Symbol.dispose]())
  }
}

/** A last answer to who may still be sending. */
export function endBehind(socket: Duplex, clock: Clock, bytes?: string | Uint8Array): void {
  if (socket.destroyed) return
  socket.on('error', () => socket.destroy())
  socket.end(bytes)
  socket.resume()
  const cut = clock.after(LINGER_MS, () => socket.destroy())
  socket.once('close', () => cut[Symbol.dispose]())
}
