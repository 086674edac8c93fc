import { type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from 'node:http'
import { Readable } from 'node:stream'
import { endToEndFields } from '../http/fields.ts'
import type { Body, Fields, OriginMessage } from '../http/message.ts'
import { HEARTBEAT, writeBeatFrame } from '../lib/beat-frames.ts'
import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'

const HEARTBEAT_MS = 5000
// So many heartbeats in a row found the socket full: nobody reads at the other end.
const FULL_BEATS_MAX = 4

/** Sends an origin's answer as it is; resolves when the last byte was handed to the socket. */
export async function writeMessage(
  response: ServerResponse,
  method: string,
  message: OriginMessage,
): Promise<void> {
  const bodiless = method === 'HEAD' || message.status === 204 || message.status === 304
  const headers: OutgoingHttpHeaders = wireFields(message.headers)
  const length = bodiless ? undefined : lengthOf(message.body)
  if (length !== undefined) headers['content-length'] = length
  // The origin's own Date, or none: an age is counted from it.
  response.sendDate = false
  // A body of another length than announced would end in, or swallow, the next answer (RFC 9112 §6.3): it throws instead.
  response.strictContentLength = true
  try {
    response.writeHead(message.status, headers)
  } catch (error) {
    await release(message.body)
    throw error
  }
  if (bodiless) {
    response.end()
    await release(message.body)
    return
  }
  await writeBody(response, message.body)
}

/** A failure without an answer of the origin's: the code comes out as the same NearcastError at the edge. */
export function writeError(response: ServerResponse, error: NearcastError): void {
  const text = JSON.stringify({ code: error.code, message: error.sentence })
  response.writeHead(error.status, {
    'nearcast-error': error.code,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    // Without the token nobody sends a body that is read to its end, however long.
    ...(error.code === 'unauthorized' ? { connection: 'close' } : {}),
  })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}

/** A 1xx between request and answer (RFC 9110 §15.2): node:http has no call for any but 103 with a Link. */
export function writeInformational(
  response: ServerResponse,
  status: number,
  headers: Fields,
): void {
  if (response.headersSent || status < 102 || status > 199) return
  response.socket?.write(headText(status, wireFields(headers)), 'latin1')
}

/** A status line and fields as bytes on the wire; a field that would break out of its line is left out. */
export function headText(status: number, headers: Fields): string {
  const lines = Object.entries(headers)
    .flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}`))
    .filter((line) => /^[\t\x20-\x7e\x80-\xff]*$/.test(line))
  return `HTTP/1.1 ${[`${status} ${STATUS_CODES[status] ?? ''}`, ...lines].join('\r\n')}\r\n\r\n`
}

/** Runs of bytes, each behind its length, and a heartbeat when there was nothing for a while; for streams that may be silent. */
export function pourFrames(
  response: ServerResponse,
  source: AsyncIterable<Uint8Array>,
  clock: Clock,
): Promise<void> {
  return pour(response, source, clock, writeBeatFrame, HEARTBEAT)
}

/** JSON lines, and an empty line when there was nothing for a while. */
export function pourLines(
  response: ServerResponse,
  source: AsyncIterable<object>,
  clock: Clock,
): Promise<void> {
  const line = (item: object) => [Buffer.from(`${JSON.stringify(item)}\n`)]
  return pour(response, source, clock, line, Buffer.from('\n'))
}

async function pour<T>(
  response: ServerResponse,
  source: AsyncIterable<T>,
  clock: Clock,
  write: (item: T) => readonly Uint8Array[],
  heartbeat: Uint8Array,
): Promise<void> {
  let fullBeats = 0
  using _ = clock.every(HEARTBEAT_MS, () => {
    fullBeats = response.writableNeedDrain ? fullBeats + 1 : 0
    if (fullBeats >= FULL_BEATS_MAX) response.destroy()
    else if (fullBeats === 0 && !response.destroyed) response.write(heartbeat)
  })
  response.flushHeaders()
  for await (const item of source) {
    response.cork()
    for (const bytes of write(item)) response.write(bytes)
    response.uncork()
    if (response.destroyed || !(await drained(response))) return
  }
  response.end()
}

async function writeBody(response: ServerResponse, body: Body): Promise<void> {
  if (body === null || body instanceof Uint8Array) {
    response.end(body ?? undefined)
    return
  }
  if (isList(body)) {
    response.cork()
    for (const bytes of body) response.write(bytes)
    response.end()
    response.uncork()
    return
  }
  for await (const bytes of body) {
    response.write(bytes)
    if (response.destroyed || !(await drained(response))) return
  }
  response.end()
}

/** True once the socket takes more; false when it is gone. */
function drained(response: ServerResponse): Promise<boolean> {
  if (response.destroyed) return Promise.resolve(false)
  if (!response.writableNeedDrain) return Promise.resolve(true)
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve(!response.destroyed)
    }
    response.on('drain', done)
    response.on('close', done)
  })
}

/** End-to-end fields of an origin; those of this wire cannot be forged by it. */
function wireFields(fields: Fields): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(endToEndFields(fields)))
    if (name !== 'nearcast-error') kept[name] = typeof value === 'string' ? value : [...value]
  return kept
}

function lengthOf(body: Body): number | undefined {
  if (body === null) return 0
  if (body instanceof Uint8Array) return body.length
  if (!isList(body)) return undefined
  return body.reduce((sum, bytes) => sum + bytes.length, 0)
}

async function release(body: Body): Promise<void> {
  if (body === null || body instanceof Uint8Array || isList(body)) return
  // The iterator of a stream that was not read from yet leaves the stream open.
  if (body instanceof Readable) body.on('error', () => {}).destroy()
  else await body[Symbol.asyncIterator]().return?.()
}

function isList(body: Exclude<Body, null>): body is readonly Uint8Array[] {
  return Array.isArray(body)
}
