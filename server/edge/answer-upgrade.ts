import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { endToEndFields } from '../http/fields.ts'
import type { Fields } from '../http/message.ts'
import { describeError, type ErrorCode, ERRORS, NearcastError } from '../lib/errors.ts'
import { failureLogOf } from '../lib/failure-log.ts'
import type { EdgeContext, EdgeDeps } from './edge-context.ts'
import { matchRequest } from './match-request.ts'
import { collect } from '../lib/bytes.ts'
import { bodyChunks, flatten } from './stored-answer.ts'
import { endBehind } from './viewer-connections.ts'

export interface UpgradeRequest {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  readonly id: string
  readonly passage: Passage
}

/** What came of it, for the access log; bytes are those behind the heads. */
export interface Passage {
  /** 0 until there is an answer. */
  status: number
  sentBytes: number
  receivedBytes: number
  /** The answer got to its end; bytes that are passed on may end anywhere. */
  complete: boolean
}

/** Without a byte for so long the two sides are parted (CloudFront's 10 minutes), in milliseconds. */
const IDLE_MS = 600_000
/** Longest body of a refusal that is handed on. */
const REFUSAL_BYTES_MAX = 64 * 1024
const NO_TEXT = Buffer.alloc(0)

/** Joins a viewer who asks for another protocol (WebSocket) with the origin; a refusal is handed on. Takes over the socket. */
export async function answerUpgrade(context: EdgeContext, asked: UpgradeRequest): Promise<void> {
  const { request, socket, id } = asked
  const { deps } = context
  const gone = new AbortController()
  socket.on('error', () => socket.destroy())
  socket.once('close', () => gone.abort(new NearcastError('unavailable', 'the viewer has gone')))
  const headers = request.headers as Fields
  const match = matchRequest({
    method: request.method ?? '',
    target: request.url ?? '',
    headers,
    distributions: deps.state().distributions,
    origins: deps.origins,
  })
  if (match.kind !== 'matched' || match.exchange.origin.caching === 'none' || match.exchange.open) {
    const code = match.kind === 'refused' ? match.code : 'bad-request'
    refuse(deps, asked, code, 'no other protocol is spoken here')
    return
  }
  const { exchange } = match
  let answer: Awaited<ReturnType<typeof exchange.origin.fetch>>
  try {
    answer = await exchange.origin.fetch({
      method: exchange.method,
      path: exchange.originPath,
      query: exchange.query,
      headers: upgradeFields(headers),
      body: null,
      signal: gone.signal,
      minChange: deps.state().position,
    })
  } catch (error) {
    failed(context, asked, exchange.origin.id, error)
    return
  }
  if (answer.kind === 'message') {
    // The status and its fields say it; a text that is longer, or does not come, is not worth the answer.
    const body = await collect(bodyChunks(answer.body), REFUSAL_BYTES_MAX).catch(() => NO_TEXT)
    endWith(deps, asked, answer.status, flatten(endToEndFields(answer.headers), false), body)
    return
  }
  if (gone.signal.aborted) {
    answer.socket.destroy()
    return
  }
  asked.passage.status = 101
  asked.passage.complete = true
  socket.write(headOf(answer.headers, id), 'latin1')
  join(context, asked, answer.socket, answer.head)
}

function join(
  { deps }: EdgeContext,
  { socket, head, passage }: UpgradeRequest,
  origin: Duplex,
  originHead: Uint8Array,
): void {
  let active = true
  const part = () => {
    idle[Symbol.dispose]()
    socket.destroy()
    origin.destroy()
  }
  const idle = deps.clock.every(IDLE_MS, () => {
    if (!active) part()
    active = false
  })
  const received = (chunk: Uint8Array) => {
    active = true
    passage.receivedBytes += chunk.length
  }
  const sent = (chunk: Uint8Array) => {
    active = true
    passage.sentBytes += chunk.length
  }
  socket.on('data', received)
  origin.on('data', sent)
  for (const side of [socket, origin]) {
    side.on('error', part)
    side.on('close', part)
  }
  sent(originHead)
  received(head)
  if (originHead.length > 0) socket.write(originHead)
  if (head.length > 0) origin.write(head)
  socket.pipe(origin)
  origin.pipe(socket)
}

/** Connection and Upgrade are what this request is about (RFC 9110 §7.8); everything else goes end to end. */
function upgradeFields(headers: Fields): Fields {
  const { host: _, ...fields } = endToEndFields(headers)
  return { ...fields, connection: 'Upgrade', upgrade: headers['upgrade'] ?? '' }
}

function headOf(headers: Fields, id: string): string {
  const lines = ['HTTP/1.1 101 Switching Protocols']
  const upgrade = headers['upgrade'] ?? 'websocket'
  const fields = { ...endToEndFields(headers), 'x-nearcast-request-id': id }
  const all: Fields = { connection: 'Upgrade', upgrade, ...fields }
  for (const [name, value] of Object.entries(all))
    for (const one of typeof value === 'string' ? [value] : value) lines.push(`${name}: ${one}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** Anybody can ask for an upgrade as often as he likes: of what came of it each kind has one line in a while. */
function failed(
  { deps }: EdgeContext,
  asked: UpgradeRequest,
  originId: string,
  error: unknown,
): void {
  if (asked.socket.destroyed) return
  const code = error instanceof NearcastError ? error.code : 'origin-failed'
  failureLogOf(deps).warn(`${originId} upgrade ${code}`, 'upgrade failed', {
    origin: originId,
    request: asked.id,
    url: asked.request.url,
    error: describeError(error),
  })
  refuse(deps, asked, code, ERRORS[code][1])
}

function refuse(deps: EdgeDeps, asked: UpgradeRequest, code: ErrorCode, sentence: string): void {
  const type = ['Content-Type', 'text/plain; charset=utf-8']
  endWith(deps, asked, ERRORS[code][0], type, Buffer.from(`${code}: ${sentence}\n`))
}

/** `flat`: names and values in turn. */
function endWith(
  { clock }: EdgeDeps,
  { socket, id, passage }: UpgradeRequest,
  status: number,
  flat: readonly string[],
  body: Buffer,
): void {
  if (socket.destroyed) return
  passage.status = status
  passage.sentBytes = body.length
  socket.once('finish', () => {
    passage.complete = true
  })
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`]
  for (let i = 0; i + 1 < flat.length; i += 2) lines.push(`${flat[i]}: ${flat[i + 1]}`)
  lines.push(`Content-Length: ${body.length}`, `X-Nearcast-Request-Id: ${id}`, 'Connection: close')
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  endBehind(socket, clock, Buffer.concat([head, body]))
}
