import { STATUS_CODES } from 'node:http'
import { formatHttpDate } from '../http/dates.ts'
import { endToEndFields } from '../http/fields.ts'
import type { Body, OriginMessage } from '../http/message.ts'
import type { NearcastError } from '../lib/errors.ts'
import { liveRequest, SAID } from './answer-direct.ts'
import type { EdgeContext } from './edge-context.ts'
import { errorAnswerOf, withRequestId, writeError } from './error-answer.ts'
import type { FastDirect } from './fast-path.ts'
import { askOrigin } from './origin-fetch.ts'
import { bodySize, flatten } from './stored-answer.ts'

/** An answer of an origin, ready to be sent. */
export interface DirectAnswer {
  readonly status: number
  /** Status line and fields up to the request id's value. */
  readonly head: string
  readonly body: Body
  /** Bytes of the body. */
  readonly length: number
}

/** A head that was written for the same body in the same second. */
interface Written {
  readonly second: number
  readonly caching: unknown
  readonly answer: DirectAnswer
}

/** What was said last of a body that many are given. */
const written = new WeakMap<object, Written>()

/**
 * Asks the origin of a live stream for who came the fast way. What it fails with is answered too; throws only when the viewer has gone or
 * nobody knows how long the body is.
 */
export async function askDirect(
  { deps }: EdgeContext,
  { exchange, request }: FastDirect,
  id: string,
  signal: AbortSignal,
  failed: (error: unknown) => NearcastError,
): Promise<DirectAnswer> {
  const minChange = deps.state().position
  const asked = liveRequest(exchange, { method: 'GET', signal, minChange })
  let message: OriginMessage
  try {
    message = await askOrigin(asked)
  } catch (error) {
    if (signal.aborted) throw error
    const accept = request.headers['accept']
    const answer = errorAnswerOf(failed(error), CORS)
    const { body, fields } = writeError(answer, typeof accept === 'string' ? accept : '', id)
    const head = headOf(answer.status, [...answer.fields, ...fields], deps.clock.now())
    return { status: answer.status, head, body, length: body.length }
  }
  return answerOf(withRequestId(message, id), exchange.open, deps.clock.now())
}

function answerOf(message: OriginMessage, open: boolean, now: number): DirectAnswer {
  const { status, headers, body } = message
  const second = Math.floor(now / 1000)
  const caching = headers['cache-control']
  const key = typeof body === 'object' && body !== null && status === 200 ? body : undefined
  const known = key && written.get(key)
  if (known?.second === second && known.caching === caching) return known.answer
  const length = bodySize(message)
  if (length === undefined) throw new RangeError('a body of unknown length')
  const fields = flatten(endToEndFields(headers), open)
  const head = headOf(status, [...fields, ...SAID.origin, 'Content-Length', String(length)], now)
  const answer = { status, head, body, length }
  if (key) written.set(key, { second, caching, answer })
  return answer
}

const CORS = ['Access-Control-Allow-Origin', '*']

/** As node:http writes it. */
function headOf(status: number, flat: readonly string[], now: number): string {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}`]
  let dated = false
  for (let i = 0; i + 1 < flat.length; i += 2) {
    lines.push(`${flat[i]}: ${flat[i + 1]}`)
    dated ||= flat[i] === 'Date'
  }
  if (!dated) lines.push(`Date: ${formatHttpDate(now)}`)
  lines.push('Connection: keep-alive', 'Keep-Alive: timeout=65', 'X-Nearcast-Request-Id: ')
  return lines.join('\r\n')
}
