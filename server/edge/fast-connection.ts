import type { Socket } from 'node:net'
import type { Reader } from '../cache/reader.ts'
import type { Slice } from '../cache/slice.ts'
import { NearcastError } from '../lib/errors.ts'
import { peerAddress } from '../lib/peer-address.ts'
import type { AccessRecord } from './access-record.ts'
import type { DirectAnswer } from './fast-direct.ts'
import type { FastAnswer, FastDirect, FastPath } from './fast-path.ts'
import { HEAD_BYTES_MAX } from './request-head.ts'
import { sendSoon } from './send-soon.ts'
import { isList } from './stored-answer.ts'

export interface FastDeps {
  readonly path: Pick<FastPath, 'find'>
  /** Asks the origin. Rejects when the viewer has gone, or there is no answer that can be told. */
  readonly direct: (asked: FastDirect, id: string, signal: AbortSignal) => Promise<DirectAnswer>
  readonly nextId: () => string
  /** Milliseconds: a viewer that takes no byte for so long is cut. */
  readonly stuckMs: number
  readonly keepAliveMs: number
  /** The first request is to come within this. */
  readonly firstMs: number
  /** Milliseconds: one who ended his side and waits for an origin has left when there is nothing for him by then. */
  readonly halfClosedMs: number
  readonly now: () => number
  readonly monotonic: () => number
  /** This edge's name in the access log. */
  readonly edge: string
  /** Counts and logs an answer. */
  readonly done: (record: AccessRecord) => void
}

interface LineDeps extends FastDeps {
  /** Of the viewer: a connection that is lost has none any more. */
  readonly address: string
}

/** Head and body go as one buffer up to this size: one write costs less than two. */
const JOINED_BYTES_MAX = 16 * 1024
/** What is handed over in one write to a connection that took the last one at once; others are given a slice at a time. */
const AT_ONCE_BYTES_MAX = 4 * 1024 * 1024

export interface FastConnection {
  /** Ends it: at once between two answers, else behind the one that is under way. */
  end(): void
}

/**
 * Answers hits on a connection itself, and hands it to `handOver` with the bytes of the first request that is none; from then on node's
 * HTTP server has it.
 */
export function serveFast(
  socket: Socket,
  given: FastDeps,
  handOver: (socket: Socket) => void,
): FastConnection {
  const deps: LineDeps = { address: peerAddress(socket), ...given }
  let answering = false
  let answered = false
  let ended = false
  let quick = false
  /** An origin is asked. */
  let asking = false
  /** Aborted when the connection is gone. */
  let gone: AbortController | undefined

  const leave = (chunk?: Buffer) => {
    socket.off('data', onData)
    socket.off('end', onEnd)
    socket.off('timeout', onTimeout)
    socket.off('error', onError)
    socket.setTimeout(0)
    socket.pause()
    if (chunk) socket.unshift(chunk)
    handOver(socket)
    socket.resume()
  }
  const onData = (chunk: Buffer) => {
    // No answer follows once this side has ended.
    if (ended && !answering) return
    // The next request came before this answer was out: it waits in the socket.
    if (answering) {
      socket.pause()
      socket.unshift(chunk)
      return
    }
    const answer =
      chunk.length <= HEAD_BYTES_MAX ? deps.path.find(chunk.toString('latin1')) : undefined
    if (!answer) {
      leave(chunk)
      return
    }
    if (!answered) {
      answered = true
      socket.setTimeout(deps.keepAliveMs)
    }
    answering = true
    if (answer.kind === 'direct') {
      gone ??= abortedWithClose(socket)
      asking = true
      // It has deadlines of its own.
      socket.setTimeout(ended ? deps.halfClosedMs : 0)
      void sendDirect(socket, deps, answer, gone.signal).then(over)
      return
    }
    sendSoon(() => {
      if (sendAnswer(socket, deps, answer, quick, over)) over(true)
    })
  }
  const over = (flowed: boolean) => {
    answering = false
    asking = false
    quick = flowed
    if (socket.destroyed) return
    if (ended) socket.end()
    if (socket.isPaused()) socket.resume()
  }
  const end = () => {
    ended = true
    if (!answering) socket.destroySoon()
  }
  const onEnd = () => {
    ended = true
    if (!answering) socket.end()
    else if (asking) socket.setTimeout(deps.halfClosedMs)
  }
  const onTimeout = () => socket.destroy()
  // 'close' follows; who sent it has gone.
  const onError = () => socket.destroy()
  socket.on('data', onData)
  socket.on('end', onEnd)
  socket.on('timeout', onTimeout)
  socket.on('error', onError)
  socket.setTimeout(deps.firstMs)
  return { end }
}

function abortedWithClose(socket: Socket): AbortController {
  const controller = new AbortController()
  const gone = () => controller.abort(new NearcastError('unavailable', 'the viewer has gone'))
  if (socket.destroyed) gone()
  else socket.once('close', gone)
  return controller
}

/** An answer of an origin, when it comes; whether the connection took it at once. */
async function sendDirect(
  socket: Socket,
  deps: LineDeps,
  asked: FastDirect,
  signal: AbortSignal,
): Promise<boolean> {
  const id = deps.nextId()
  const began = deps.monotonic()
  let answer: DirectAnswer | undefined
  let sent = 0
  try {
    answer = await deps.direct(asked, id, signal)
    const { head, body, length } = answer
    await new Promise<void>(sendSoon)
    if (!socket.destroyed) sent = await sendBody(socket, deps, `${head}${id}\r\n\r\n`, body, length)
  } catch {
    // Gone, or a body that can't be completed: the viewer sees a cut connection, never a wrong body.
    socket.destroy()
  }
  const complete = answer !== undefined && sent === answer.length && !socket.destroyed
  const seconds = (deps.monotonic() - began) / 1000
  const status = answer?.status ?? 0
  const result = status === 0 || status >= 400 ? 'Error' : 'Miss'
  const said = { status, result, request: asked.request } as const
  deps.done(recordOf(deps, said, id, seconds, sent, complete))
  if (!socket.destroyed) socket.setTimeout(deps.keepAliveMs)
  return socket.writableLength === 0
}

/** Bytes of the body handed to the connection. */
async function sendBody(
  socket: Socket,
  deps: FastDeps,
  head: string,
  body: DirectAnswer['body'],
  length: number,
): Promise<number> {
  if (body === null || body instanceof Uint8Array || isList(body)) {
    const parts = body === null ? [] : isList(body) ? body : [body]
    writeWhole(socket, head, parts)
    if (socket.writableLength > 0) await drained(socket, deps)
    return length
  }
  let sent = 0
  socket.write(head, 'latin1')
  for await (const chunk of body) {
    sent += chunk.length
    if (socket.destroyed || sent > length) break
    if (!socket.write(chunk)) await drained(socket, deps)
  }
  if (sent !== length) socket.destroy()
  return sent
}

/** True when all of it went out at once, or nobody is there any more; else `over` is told whether no write had to wait, when all is out or the viewer has gone. */
function sendAnswer(
  socket: Socket,
  deps: LineDeps,
  answer: FastAnswer,
  quick: boolean,
  over: (flowed: boolean) => void,
): boolean {
  const id = deps.nextId()
  if (socket.destroyed) {
    deps.done(recordOf(deps, answer, id, 0, 0, false))
    return true
  }
  const head = `${answer.head}${id}\r\n\r\n`
  const body = bodyInHand(answer, quick)
  if (body) {
    writeWhole(socket, head, body)
    // What `write` returns says how much it was, not whether the kernel took it.
    if (socket.writableLength === 0) {
      deps.done(recordOf(deps, answer, id, 0, answer.end - answer.start, true))
      return true
    }
  }
  void sendSlowly(socket, deps, answer, body ? '' : head, id).then(over)
  return false
}

/** The body, when all of it is here and little enough to be handed over in one write. */
function bodyInHand(
  { object: { generation }, start, end }: FastAnswer,
  quick: boolean,
): readonly Uint8Array[] | undefined {
  const most = quick ? AT_ONCE_BYTES_MAX : 0
  const slices: Slice[] = []
  const pieces: Uint8Array[] = []
  for (let at = start; at < end; ) {
    const slice = generation.sliceAt(at)
    if (!slice || (slice.end < end && end - start > most)) return undefined
    slices.push(slice)
    pieces.push(slice.bytes.subarray(at - slice.start, Math.min(slice.end, end) - slice.start))
    at = slice.end
  }
  for (const slice of slices) slice.touch()
  return pieces
}

/** What is more than a slice, or more than the connection took: at the viewer's pace. An empty head: all is written already. */
async function sendSlowly(
  socket: Socket,
  deps: LineDeps,
  answer: FastAnswer,
  head: string,
  id: string,
): Promise<boolean> {
  const began = deps.monotonic()
  const { start, end } = answer
  let sent = end - start
  let flowed = false
  if (head === '') await drained(socket, deps)
  else {
    const reader = answer.object.generation.read(start, end, answer.source())
    ;({ sent, flowed } = await sendReader(socket, deps, head, reader))
  }
  const complete = sent === end - start && !socket.destroyed
  const seconds = (deps.monotonic() - began) / 1000
  deps.done(recordOf(deps, answer, id, seconds, sent, complete))
  return flowed
}

function recordOf(
  deps: LineDeps,
  {
    status,
    result = 'Hit',
    request: { target, headers },
  }: Pick<AccessRecord, 'status'> &
    Partial<Pick<AccessRecord, 'result'>> &
    Pick<FastAnswer, 'request'>,
  requestId: string,
  seconds: number,
  bytes: number,
  complete: boolean,
): AccessRecord {
  return {
    at: deps.now() - seconds * 1000,
    edge: deps.edge,
    requestId,
    address: deps.address,
    method: 'GET',
    host: text(headers['host']),
    target,
    status,
    bytes,
    seconds,
    result,
    complete,
    referer: text(headers['referer']),
    userAgent: text(headers['user-agent']),
    range: text(headers['range']),
    protocol: 'HTTP/1.1',
  }
}

function writeWhole(socket: Socket, head: string, body: readonly Uint8Array[]): void {
  const length = body.reduce((sum, bytes) => sum + bytes.length, 0)
  if (length <= JOINED_BYTES_MAX) {
    const whole = Buffer.allocUnsafe(head.length + length)
    let at = whole.write(head, 'latin1')
    for (const bytes of body) {
      whole.set(bytes, at)
      at += bytes.length
    }
    socket.write(whole)
    return
  }
  socket.cork()
  socket.write(head, 'latin1')
  for (const bytes of body) socket.write(bytes)
  socket.uncork()
}

/** Bytes of the body handed to the connection, and whether it took each write at once. A body that can't be completed cuts it. */
async function sendReader(
  socket: Socket,
  deps: FastDeps,
  head: string,
  reader: Reader,
): Promise<{ readonly sent: number; readonly flowed: boolean }> {
  let sent = 0
  let rested = 0
  let flowed = true
  const leave = () => reader.close()
  socket.once('close', leave)
  try {
    socket.cork()
    socket.write(head, 'latin1')
    let corked = true
    while (!reader.done && !socket.destroyed) {
      const bytes = reader.take()
      if (!bytes) {
        await reader.ready()
        continue
      }
      sent += bytes.length
      socket.write(bytes)
      if (corked) socket.uncork()
      corked = false
      if (socket.writableLength > 0) {
        flowed = false
        await drained(socket, deps)
      } else if (sent - rested >= AT_ONCE_BYTES_MAX) {
        // A viewer as fast as this process would keep it from the others.
        rested = sent
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
  } catch {
    // The origin could not give again what was given up: the viewer sees a cut connection, never a wrong body.
    socket.destroy()
  } finally {
    socket.off('close', leave)
    reader.close()
  }
  return { sent, flowed }
}

function drained(socket: Socket, deps: FastDeps): Promise<void> {
  return new Promise((resolve) => {
    socket.setTimeout(deps.stuckMs)
    drainedOrClosed(socket, () => {
      socket.setTimeout(deps.keepAliveMs)
      resolve()
    })
  })
}

function drainedOrClosed(socket: Socket, next: () => void): void {
  if (socket.destroyed) {
    next()
    return
  }
  const done = () => {
    socket.off('drain', done)
    socket.off('close', done)
    next()
  }
  socket.on('drain', done)
  socket.on('close', done)
}

function text(value: string | readonly string[] | undefined): string {
  return typeof value === 'string' ? value : ''
}
