import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { endToEndFields } from '../http/fields.ts'
import { type Fields, field, type OriginRequest, type OriginResponse } from '../http/message.ts'
import { NearcastError } from '../lib/errors.ts'
import { type ParentWire, wireError } from './parent-wire.ts'

const BODILESS: ReadonlySet<number> = new Set([204, 304])

/** An origin's function at the other end of the wire. A request that has an `upgrade` field asks for a change of protocols. */
export async function fetchFromParent(
  wire: ParentWire,
  id: string,
  request: OriginRequest,
): Promise<OriginResponse> {
  const query = request.query === '' ? '' : `?${request.query}`
  const path = `/v1/o/${encodeURIComponent(id)}${request.path}${query}`
  const headers = requestFields(request)
  if (request.headers['upgrade'] !== undefined) return upgrade(wire, request, path, headers)
  const onInformational = request.onInformational
  const answer = await wire.send({
    method: request.method,
    path,
    headers,
    body: request.body as Parameters<ParentWire['send']>[0]['body'],
    signal: request.signal,
    onInformational: onInformational && ((status, fields) => onInformational(status, fields)),
  })
  const bodiless =
    request.method === 'HEAD' ||
    BODILESS.has(answer.status) ||
    answer.headers['content-length'] === '0'
  if (bodiless) await answer.body.dump()
  return {
    kind: 'message',
    status: answer.status,
    headers: endToEndFields(answer.headers),
    body: bodiless ? null : answer.body,
  }
}

/** The viewer's fields end to end; those of the wire are ours alone, and nobody waits for a 100 here. */
function requestFields(request: OriginRequest): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(endToEndFields(request.headers)))
    if (!name.startsWith('nearcast-') && name !== 'expect')
      fields[name] = typeof value === 'string' ? value : [...value]
  if (request.minChange !== undefined) fields['nearcast-min-change'] = request.minChange
  const { matched } = request
  if (matched) fields['nearcast-matched'] = `${matched.distribution} ${matched.path}`
  return fields
}

/** undici hides the answer that refuses an upgrade; node:http shows it. */
function upgrade(
  wire: ParentWire,
  request: OriginRequest,
  path: string,
  headers: Record<string, string | string[]>,
): Promise<OriginResponse> {
  const { url, token, socketPath, answerMs } = wire
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  const wanted = field(request.headers, 'upgrade')
  return new Promise((resolve, reject) => {
    const sent = send({
      ...(socketPath !== undefined && { socketPath }),
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? undefined : url.port,
      method: request.method,
      path,
      headers: {
        ...headers,
        'nearcast-token': token,
        connection: 'Upgrade',
        upgrade: wanted ?? 'websocket',
      },
      agent: false,
      signal: request.signal,
    })
    // The connection, the answer, and each pause in what refuses the upgrade.
    sent.setTimeout(answerMs, () => {
      const late = `${url.host}: no answer within ${answerMs} ms`
      sent.destroy(new NearcastError('origin-timeout', late))
    })
    sent.on('upgrade', (response, socket, head) => {
      socket.setTimeout(0)
      socket.on('error', () => socket.destroy())
      const { upgrade: to = wanted ?? 'websocket' } = response.headers
      // RFC 9110 §7.8: it names what is spoken from here, and belongs to the answer.
      const headers = { ...endToEndFields(defined(response.headers)), upgrade: to }
      resolve({ kind: 'upgrade', headers, socket, head })
    })
    sent.on('response', (response) => {
      resolve({
        kind: 'message',
        status: response.statusCode ?? 502,
        headers: endToEndFields(defined(response.headers)),
        body: response,
      })
    })
    sent.on('error', (error) => reject(wireError(error, request.signal, url)))
    sent.end()
  })
}

function defined(headers: Readonly<Record<string, string | string[] | undefined>>): Fields {
  const fields: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) fields[name] = value
  return fields
}
