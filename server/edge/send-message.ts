import { endToEndFields, fieldLine } from '../http/fields.ts'
import type { OriginMessage } from '../http/message.ts'
import type { Exchange } from './match-request.ts'
import { bodySize, dropBody, flatten, isList } from './stored-answer.ts'
import type { Viewer } from './viewer.ts'

/** Sends an origin's answer that is not kept, at the viewer's pace. `more`: names and values in turn, set by the edge. */
export async function sendMessage(
  viewer: Viewer,
  exchange: Exchange,
  message: OriginMessage,
  more: readonly string[],
): Promise<void> {
  const { status, headers, body } = message
  const fields = [...more]
  const bodyless = exchange.method === 'HEAD' || status === 204 || status === 304
  const announced = fieldLine(headers, 'content-length')
  const size = bodySize(message)
  // RFC 9110 §8.6: without a body here only the origin knows how long it would be; a 204 may not say anything of it.
  if (bodyless && body === null) {
    if (announced !== undefined && status !== 204) fields.push('Content-Length', announced)
  } else if (size !== undefined && status !== 204 && status !== 304)
    fields.push('Content-Length', String(size))
  const ranges = fieldLine(headers, 'accept-ranges')
  if (ranges !== undefined) fields.push('Accept-Ranges', ranges)
  const age = fieldLine(headers, 'age')
  if (age !== undefined && exchange.direct !== 'origin') fields.push('Age', age)
  viewer.head(status, flatten(endToEndFields(headers), exchange.open), fields)
  if (bodyless) {
    await dropBody(body)
    viewer.end()
    return
  }
  const inMemory = body === null || body instanceof Uint8Array || isList(body)
  await viewer.sendBody(body, inMemory ? undefined : size)
}
