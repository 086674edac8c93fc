import type { Fields, OriginRequest } from '../http/message.ts'
import { fieldLine } from '../http/fields.ts'
import { writeCacheStatus } from '../http/cache-status.ts'
import type { EdgeContext } from './edge-context.ts'
import { withRequestId } from './error-answer.ts'
import type { Exchange } from './match-request.ts'
import { askOrigin, originFetch } from './origin-fetch.ts'
import { sendMessage } from './send-message.ts'
import type { Viewer } from './viewer.ts'

/**
 * Answers without the cache: live, behaviors that keep nothing, and the methods that change things. The request's body goes to the
 * origin as it comes in.
 */
export async function answerDirect(
  context: EdgeContext,
  viewer: Viewer,
  exchange: Exchange,
  why: NonNullable<Exchange['direct']>,
): Promise<void> {
  const live = why === 'origin'
  const options = {
    method: exchange.method,
    signal: viewer.signal,
    minChange: context.deps.state().position,
  }
  const fetch = live
    ? liveRequest(exchange, options)
    : originFetch(exchange, {
        body: viewer.body(),
        onInformational: (status, headers) => viewer.inform(status, headers),
        ...options,
      })
  const message = await askOrigin(fetch)
  const { status } = message
  viewer.result = status >= 400 ? 'Error' : 'Miss'
  if (why === 'method' && status < 400) forgetChanged(context, exchange, message.headers)
  if (viewer.gone) return
  const said = live ? withRequestId(message, viewer.id) : message
  await sendMessage(viewer, exchange, said, SAID[why])
}

// A live origin knows what matters to it: the viewer's fields go as they are, nothing is copied.
export function liveRequest(
  exchange: Exchange,
  options: Pick<OriginRequest, 'method' | 'signal' | 'minChange'>,
): { readonly exchange: Exchange; readonly request: OriginRequest } {
  const { originPath: path, originQuery: query, headers } = exchange
  return { exchange, request: { path, query, headers, body: null, ...options } }
}

/** RFC 9111 §4.4: the request's own path, and those of Location and Content-Location on the same host. */
function forgetChanged(context: EdgeContext, exchange: Exchange, headers: Fields): void {
  if (exchange.method === 'OPTIONS') return
  const { id } = exchange.distribution
  context.forget(id, exchange.path)
  const base = `http://${fieldLine(exchange.headers, 'host') ?? 'localhost'}${exchange.path}`
  for (const name of ['location', 'content-location']) {
    const value = fieldLine(headers, name)
    if (value === undefined || !URL.canParse(value, base) || !URL.canParse(base)) continue
    const target = new URL(value, base)
    if (target.host === new URL(base).host) context.forget(id, target.pathname)
  }
}

const cacheStatus = (reason: 'bypass' | 'method' | 'request') =>
  writeCacheStatus({ cache: 'nearcast', outcome: { kind: 'forward', reason } })
const MISS = ['X-Cache', 'Miss from nearcast']
export const SAID = {
  origin: ['Cache-Status', cacheStatus('bypass')],
  behavior: ['Cache-Status', cacheStatus('bypass'), ...MISS],
  method: ['Cache-Status', cacheStatus('method'), ...MISS],
  request: ['Cache-Status', cacheStatus('request'), ...MISS],
}
