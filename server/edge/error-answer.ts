import { STATUS_CODES } from 'node:http'
import { field, type OriginMessage } from '../http/message.ts'
import { hasBody } from '../http/request-fields.ts'
import { type NearcastError, publicSentence } from '../lib/errors.ts'
import type { Viewer } from './viewer.ts'

/** What the edge says itself when there is no answer of an origin. */
export interface ErrorAnswer {
  readonly status: number
  readonly code: string
  readonly message: string
  /** Names and values in turn. */
  readonly fields: readonly string[]
}

export function errorAnswerOf(error: NearcastError, fields: readonly string[]): ErrorAnswer {
  return { status: error.status, code: error.code, message: publicSentence(error), fields }
}

/** Sends an error as a page to browsers, as JSON to programs; never kept by caches on the way. */
export function sendError(viewer: Viewer, answer: ErrorAnswer): void {
  const { response, request } = viewer
  if (response.headersSent) {
    viewer.cut()
    return
  }
  const { body, fields } = writeError(answer, request.headers.accept, viewer.id)
  // The rest of a request that was not read must not be taken for the next one.
  const close = request.complete || !hasBody(viewer.headers) ? [] : ['Connection', 'close']
  viewer.head(answer.status, answer.fields, [...fields, ...close])
  if (request.method === 'HEAD') viewer.end()
  else viewer.end(body)
}

/** Body and fields of an error for whom accepts `accept`: names and values in turn. */
export function writeError(
  answer: ErrorAnswer,
  accept: string | undefined,
  requestId: string,
): { readonly body: Buffer; readonly fields: readonly string[] } {
  const html = String(accept ?? '').includes('text/html')
  const body = Buffer.from(html ? page(answer, requestId) : json(answer, requestId))
  const type = html ? 'text/html; charset=utf-8' : 'application/json'
  const fields = ['Content-Type', type, 'Content-Length', String(body.length)]
  fields.push('Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff')
  return { body, fields }
}

/** What a built-in origin refuses with as `{code, message}`, said as the edge says it: with the id of the request. */
export function withRequestId(message: OriginMessage, requestId: string): OriginMessage {
  const { status, headers, body } = message
  const length = Number(field(headers, 'content-length'))
  const told = field(headers, 'content-type')?.startsWith('application/json') === true
  if (status < 400 || !told || !(length > 0)) return message
  const more = `,"requestId":${JSON.stringify(requestId)}}`
  const longer = { ...headers, 'content-length': String(length - 1 + more.length) }
  // RFC 9110 §8.6: of a HEAD it is what a GET would have.
  if (body === null) return { ...message, headers: longer }
  if (!(body instanceof Uint8Array) || body.at(-1) !== CLOSING_BRACE) return message
  return {
    ...message,
    headers: longer,
    body: Buffer.concat([body.subarray(0, -1), Buffer.from(more)]),
  }
}

const CLOSING_BRACE = 0x7d

function json({ code, message }: ErrorAnswer, requestId: string): string {
  return `${JSON.stringify({ code, message, requestId })}\n`
}

function page({ status, code, message }: ErrorAnswer, requestId: string): string {
  const title = `${status} ${STATUS_CODES[status] ?? ''}`.trim()
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(title)}</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { min-height: 100vh; margin: 0; display: grid; place-items: center; background: Canvas; color: CanvasText }
  main { max-width: 34rem; padding: 2rem }
  h1 { margin: 0 0 .5rem; font-size: 1.6rem; font-weight: 650 }
  p { margin: .25rem 0; overflow-wrap: anywhere }
  small { opacity: .6 }
</style>
<main>
  <h1>${escape(title)}</h1>
  <p>${escape(message)}</p>
  <p><small>${escape(code)} · request ${escape(requestId)}</small></p>
</main>
</html>
`
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
