import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, createServer as createRawServer, type Socket } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { connectParent, type ParentDeps } from '../../server/edge/connect-parent.ts'
import type { Origin, OriginRequest } from '../../server/http/message.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { startEdge } from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { startWebServer } from '../support/web-server.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** An origin behind a parent that is a server of the test. */
function originBehind(url: string, deps: Partial<ParentDeps> = {}): Origin {
  const parent = connectParent({ url, token: 't', clock: systemClock, log: silentLog, ...deps })
  closing.push(() => parent.close())
  return parent.origin('site', { caching: 'shared', ranges: false, keyQuery: [] })
}

async function parentThat(answer: (request: IncomingMessage, response: ServerResponse) => unknown) {
  const server = await startWebServer(answer)
  closing.push(() => server.close())
  return server
}

function ask(more: Partial<OriginRequest> = {}): OriginRequest {
  const signal = new AbortController().signal
  return { method: 'GET', path: '/', query: '', headers: {}, body: null, signal, ...more }
}

it('sends a GET once more when the connection broke, a POST or DELETE without a body never (RFC 9110 §9.2.2)', async () => {
  const server = await parentThat((request, response) => {
    if (server.requests.length === 2) response.end('x')
    else request.socket.destroy()
  })
  const origin = originBehind(server.url)

  expect(await origin.fetch(ask())).toMatchObject({ status: 200 })
  for (const method of ['POST', 'DELETE'])
    await expect(origin.fetch(ask({ method }))).rejects.toMatchObject({ code: 'origin-failed' })

  expect(server.requests.map((line) => line.split(' ')[0])).toEqual([
    'GET',
    'GET',
    'POST',
    'DELETE',
  ])
})

it('waits no longer for a free connection than for one that is made, and forgets who left', async () => {
  const held: ServerResponse[] = []
  const full = deferred()
  const server = await parentThat((request, response) => {
    if (request.url?.endsWith('/now')) response.end('x')
    else if (held.push(response) === 256) full.resolve()
  })
  const clock = new FakeClock()
  const origin = originBehind(server.url, { clock })
  const early = Array.from({ length: 256 }, () => origin.fetch(ask()))
  await full.promise
  const left = new AbortController()
  const late = origin.fetch(ask({ path: '/late' }))
  const gone = origin.fetch(ask({ path: '/gone', signal: left.signal }))
  const failed = Promise.allSettled([late, gone])
  left.abort(new Error('viewer gone'))
  await clock.advance(5000)
  expect(await failed).toMatchObject([
    { reason: { code: 'origin-unreachable' } },
    { reason: { message: 'viewer gone' } },
  ])
  for (const response of held) response.end()
  await Promise.all(early)
  expect(await origin.fetch(ask({ path: '/now' }))).toMatchObject({ status: 200 })
  expect(server.requests.some((line) => /late|gone/.test(line))).toBe(false)
})

it('gives up on a parent that does not answer an upgrade', async () => {
  const sockets = new Set<Socket>()
  const server = createRawServer((socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const origin = originBehind(url, { answerMs: 50 })
  const asked = origin.fetch(ask({ headers: { upgrade: 'websocket' } }))
  await expect(asked).rejects.toMatchObject({ code: 'origin-timeout' })
})

it('hands the status of a refused upgrade on, also when its text is too long', async () => {
  const server = createServer()
  server.on('upgrade', (_, socket) => {
    socket.on('error', () => {})
    const text = 'x'.repeat(100_000)
    socket.end(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(async () => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const edge = await startEdge({
    origins: [originBehind(url)],
    behaviors: [{ methods: 'all' }],
  })
  closing.push(() => edge.close())
  const viewer = connect(edge.port, '127.0.0.1')
  viewer.write(
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n',
  )
  let received = ''
  for await (const chunk of viewer) received += String(chunk)
  expect(received).toMatch(/^HTTP\/1.1 403 /)
})
