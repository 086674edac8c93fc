import type { OriginMessage } from '../http/message.ts'
import { type NearcastError, publicSentence } from '../lib/errors.ts'

/** What is wrong with a file stays wrong until it is replaced; a store's failure may be over at once. */
const REFUSAL_CACHING = 'public, max-age=10'

/** The answer that says why there is none. `mayChange`: what is wrong now may be right at once. */
export function refusal(error: NearcastError, method: string, mayChange = false): OriginMessage {
  const body = Buffer.from(JSON.stringify({ code: error.code, message: publicSentence(error) }))
  const headers = {
    'content-type': 'application/json',
    'content-length': String(body.length),
    'cache-control': isOfTheFile(error) && !mayChange ? REFUSAL_CACHING : 'no-store',
    ...(error.code === 'method-not-allowed' ? { allow: 'GET, HEAD' } : {}),
  }
  return { kind: 'message', status: error.status, headers, body: method === 'HEAD' ? null : body }
}

/** A condition is of one request: who sent none must not be given its 412. */
function isOfTheFile({ code, status }: NearcastError): boolean {
  return status < 500 && code !== 'precondition-failed'
}
