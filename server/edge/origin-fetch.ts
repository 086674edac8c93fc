import type { Body, Fields, OriginMessage, OriginRequest } from '../http/message.ts'
import { NearcastError } from '../lib/errors.ts'
import type { Exchange } from './match-request.ts'

/** One request to an origin on behalf of an exchange. */
export interface OriginFetch {
  readonly exchange: Exchange
  readonly request: OriginRequest
}

export interface OriginFetchOptions {
  readonly method: string
  /** Added to what is forwarded of the viewer's fields, and stronger. */
  readonly headers?: Fields | undefined
  readonly body?: Body | undefined
  readonly signal: AbortSignal
  readonly minChange: string
  readonly onInformational?: OriginRequest['onInformational']
}

/** What the origin will be asked: the exchange's own address, and what of the viewer's fields it may see. */
export function originFetch(exchange: Exchange, options: OriginFetchOptions): OriginFetch {
  const { forwarded } = exchange
  return {
    exchange,
    request: {
      method: options.method,
      path: exchange.originPath,
      query: exchange.originQuery,
      headers: options.headers ? { ...forwarded, ...options.headers } : forwarded,
      body: options.body ?? null,
      signal: options.signal,
      onInformational: options.onInformational,
      minChange: options.minChange,
      matched: { distribution: exchange.distribution.id, path: exchange.path },
    },
  }
}

/** Asks; an upgrade where none was asked for is a failure. */
export async function askOrigin({ exchange, request }: OriginFetch): Promise<OriginMessage> {
  const answer = await exchange.origin.fetch(request)
  if (answer.kind === 'message') return answer
  answer.socket.destroy()
  throw new NearcastError('origin-failed', 'the origin changed the protocol without being asked')
}
