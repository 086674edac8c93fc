import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { OriginRequest, OriginResponse } from '../../server/http/message.ts'
import { collect } from '../../server/lib/bytes.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { bodyChunks } from '../../server/edge/stored-answer.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

test('live is asked for each viewer, with its query and fields, and never answered with an Age', async () => {
  const origin = scriptedOrigin(
    'live',
    () => message(200, { 'cache-control': 'max-age=1', age: '3' }, [text('#EXT'), text('M3U')]),
    { caching: 'none' },
  )
  edge = await startEdge({ origins: [origin], behaviors: [{ path: '/live/*', origin: 'live' }] })

  const first = await edge.ask('/live/main/index.m3u8?_HLS_msn=3')
  const second = await edge.ask('/live/main/index.m3u8?_HLS_msn=3')

  expect(first.text).toBe('#EXTM3U')
  expect(first.headers).toMatchObject({
    'content-length': '7',
    'access-control-allow-origin': '*',
    'cache-status': 'nearcast; fwd=bypass',
  })
  expect(first.headers.age).toBeUndefined()
  expect(second.text).toBe('#EXTM3U')
  expect(origin.requests.map((request) => request.query)).toEqual(['_HLS_msn=3', '_HLS_msn=3'])
})

test('what a live origin refuses carries the id of the request, as other errors do', async () => {
  const refusal = text('{"code":"stream-not-live","message":"nobody is sending x"}')
  const headers = {
    'content-type': 'application/json',
    'content-length': String(refusal.length),
    'cache-control': 'max-age=4',
  }
  const origin = scriptedOrigin(
    'live',
    ({ method }) => message(404, headers, method === 'HEAD' ? null : refusal),
    { caching: 'none' },
  )
  edge = await startEdge({ origins: [origin], behaviors: [{ origin: 'live' }] })

  const got = await edge.ask('/live/x/index.m3u8')
  const head = await edge.ask('/live/x/index.m3u8', { method: 'HEAD' })

  expect([got.status, JSON.parse(got.text)]).toEqual([
    404,
    {
      code: 'stream-not-live',
      message: 'nobody is sending x',
      requestId: got.headers['x-nearcast-request-id'],
    },
  ])
  expect(got.headers).toMatchObject({ 'cache-control': 'max-age=4' })
  expect(head.headers['content-length']).toBe(got.headers['content-length'])
})

test('a live request that is held open is given up when its viewer leaves', async () => {
  const asked = deferred<OriginRequest>()
  const origin = scriptedOrigin(
    'live',
    (request) => {
      asked.resolve(request)
      return new Promise((_resolve, reject) => {
        request.signal.addEventListener('abort', () => reject(request.signal.reason))
      })
    },
    { caching: 'none' },
  )
  edge = await startEdge({ origins: [origin], behaviors: [{ origin: 'live' }] })
  const leaving = new AbortController()
  const answer = edge.ask('/live/x', { signal: leaving.signal })
  const { signal } = await asked.promise

  leaving.abort()

  await expect(answer).rejects.toThrow()
  await expect.poll(() => signal.aborted).toBe(true)
})

test('a POST goes to the origin with its body as it comes, and its answer is not kept', async () => {
  const origin = scriptedOrigin('site', async ({ body, method }) => {
    if (method !== 'POST') return message(200, {}, text(method))
    const length = (await collect(bodyChunks(body))).length
    return message(201, { 'content-type': 'text/plain' }, text(`got ${length}`))
  })
  edge = await startEdge({ origins: [origin], behaviors: [{ methods: 'all' }] })

  const answer = await edge.ask('/a?x=1', {
    method: 'POST',
    body: Buffer.alloc(300_000),
    headers: { authorization: 'Bearer x', cookie: 'a=b', connection: 'close, x-hop', 'x-hop': '1' },
  })

  expect(answer).toMatchObject({ status: 201, text: 'got 300000' })
  expect(answer.headers['cache-status']).toBe('nearcast; fwd=method')
  expect(origin.requests[0]).toMatchObject({ query: 'x=1' })
  expect(origin.requests[0]?.headers).toMatchObject({ authorization: 'Bearer x', cookie: 'a=b' })
  expect(origin.requests[0]?.headers['x-hop']).toBeUndefined()
  expect(edge.cache.stats().objects).toBe(0)
})

test('a behavior with ttl.max 0 keeps nothing and passes ranges and conditions on', async () => {
  const origin = scriptedOrigin('site', ({ headers }) =>
    message(
      206,
      { 'content-range': 'bytes 0-1/9', 'x-range': String(headers['range']) },
      text('ab'),
    ),
  )
  edge = await startEdge({
    origins: [origin],
    behaviors: [{ ttl: { min: 0, default: 0, max: 0 } }],
  })
  const ask = () => edge.ask('/a', { headers: { range: 'bytes=0-1' } })

  await ask()
  const answer = await ask()

  expect(answer).toMatchObject({ status: 206, text: 'ab' })
  expect(answer.headers).toMatchObject({ 'content-range': 'bytes 0-1/9', 'x-range': 'bytes=0-1' })
  expect(origin.requests).toHaveLength(2)
})

test('a 204 says nothing of a length, whatever its origin says (RFC 9110 §8.6)', async () => {
  const origin = scriptedOrigin('site', () => message(204, { 'content-length': '3' }))
  edge = await startEdge({ origins: [origin], behaviors: [{ methods: 'all' }] })
  for (const method of ['POST', 'GET']) {
    const answer = await edge.ask('/a', { method })
    expect(answer.status).toBe(204)
    expect(answer.headers).not.toHaveProperty('content-length')
  }
})

test('early hints reach the viewer before the answer (RFC 8297)', async () => {
  const origin = scriptedOrigin('site', (request) => {
    request.onInformational?.(103, { link: '</a.css>; rel=preload; as=style' })
    return message(200, {}, text('x'))
  })
  edge = await startEdge({
    origins: [origin],
    behaviors: [{ ttl: { min: 0, default: 0, max: 0 } }],
  })
  const hints: unknown[] = []
  const request = httpRequest(`${edge.url}/a`, { agent: false })
  request.on('information', (info) => hints.push([info.statusCode, info.headers['link']]))
  request.end()
  const [response] = await once(request, 'response')
  response.resume()
  await once(response, 'end')

  expect(hints).toEqual([[103, '</a.css>; rel=preload; as=style']])
})

test.each([
  ['more', 3],
  ['less', 9],
])('a passed body that is %s than its announced length cuts the viewer', async (_what, length) => {
  const origin = scriptedOrigin('site', () =>
    message(200, { 'content-length': String(length), 'cache-control': 'no-store' }, lying()),
  )
  async function* lying() {
    yield text('hello')
  }
  edge = await startEdge({ origins: [origin] })

  await expect(edge.ask('/a')).rejects.toThrow()
})

test('a passed body is pulled at the pace of its viewer', async () => {
  let given = 0
  async function* endless() {
    for (;;) {
      given += 64 * 1024
      yield Buffer.alloc(64 * 1024)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const origin = scriptedOrigin('site', () =>
    message(200, { 'cache-control': 'no-store' }, endless()),
  )
  edge = await startEdge({ origins: [origin], stuckMs: 300 })
  const socket = connect(edge.port, '127.0.0.1')
  socket.pause()
  socket.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\n')

  await expect.poll(() => edge.records.length, { timeout: 60_000 }).toBe(1)

  expect(given).toBeLessThan(32 * 1024 * 1024)
  socket.destroy()
})

test('a WebSocket is joined with the origin, both ways; the end of one side ends the other', async () => {
  const echo = createServer((socket) => socket.pipe(socket))
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const address = echo.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const asked: OriginRequest[] = []
  edge = await startEdge({
    origins: [
      {
        ...scriptedOrigin('site', () => message(200)),
        fetch: async (request) => {
          asked.push(request)
          const socket = connect(port, '127.0.0.1')
          await once(socket, 'connect')
          return {
            kind: 'upgrade',
            headers: { upgrade: 'websocket', 'sec-websocket-accept': 'x' },
            socket,
            head: text('early '),
          }
        },
      },
    ],
  })
  const socket = await upgrade('/ws?room=1')
  const received: Buffer[] = []
  socket.on('data', (chunk: Buffer) => received.push(chunk))
  socket.write('hello')

  await expect.poll(() => Buffer.concat(received).toString()).toMatch(/early hello$/)
  const answer = Buffer.concat(received).toString()
  expect(answer).toMatch(/^HTTP\/1.1 101 /)
  expect(answer).toContain('sec-websocket-accept: x')
  expect(asked[0]).toMatchObject({ path: '/ws', query: 'room=1', method: 'GET' })
  expect(asked[0]?.headers).toMatchObject({ upgrade: 'websocket', 'sec-websocket-key': 'k' })

  echo.close()
  expect(edge.records).toEqual([])
  await edge.clock.advance(1500)
  socket.end()
  await once(socket, 'close')
  await expect.poll(() => edge.records).toHaveLength(1)
  expect(edge.records[0]).toMatchObject({
    target: '/ws?room=1',
    status: 101,
    bytes: 'early hello'.length,
    receivedBytes: 'hello'.length,
    seconds: 1.5,
    result: 'Miss',
    complete: true,
    address: expect.stringMatching(/127\.0\.0\.1$/),
  })
})

test('an upgrade that the origin refuses is answered with its status', async () => {
  edge = await startEdge({ origins: [scriptedOrigin('site', () => message(426, {}, text('no')))] })
  const socket = await upgrade('/ws')
  const [answer] = await once(socket, 'data')

  expect(String(answer)).toMatch(/^HTTP\/1.1 426 [\s\S]*no$/)
  await once(socket, 'close')
  await expect.poll(() => edge.records).toHaveLength(1)
  const line = { status: 426, bytes: 2, receivedBytes: 0, result: 'Error', complete: true }
  expect(edge.records[0]).toMatchObject(line)
})

test('a refused upgrade says what it lacks (RFC 9110 §15.5.2)', async () => {
  const refusal = { 'www-authenticate': 'Basic realm="x"', 'content-type': 'text/html' }
  const origin = scriptedOrigin('site', ({ path }) =>
    path === '/ws'
      ? message(401, { ...refusal, 'content-length': '2' }, text('no'))
      : message(403, refusal, Buffer.alloc(100_000)),
  )
  edge = await startEdge({ origins: [origin] })
  const answerOf = async (path: string) => {
    const socket = await upgrade(path)
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1')
    })
    await once(socket, 'close')
    return answer
  }
  const answer = await answerOf('/ws')
  expect(answer).toMatch(/^HTTP\/1.1 401 Unauthorized\r\n[\s\S]*\r\n\r\nno$/)
  expect(answer).toContain('Www-Authenticate: Basic realm="x"\r\n')
  expect(answer.match(/content-(?:length|type)/gi)).toHaveLength(2)
  expect(await answerOf('/long')).toMatch(/^HTTP\/1.1 403 [\s\S]*Content-Length: 0\r\n/)
})

test('an upgrade to a store or to live is refused', async () => {
  edge = await startEdge({
    origins: [scriptedOrigin('live', () => message(200), { caching: 'none' })],
    behaviors: [{ origin: 'live' }],
  })
  const socket = await upgrade('/live/x')
  const [answer] = await once(socket, 'data')

  expect(String(answer)).toMatch(/^HTTP\/1.1 400 /)
  await once(socket, 'close')
})

test('who leaves before his answer is in the log with his address', async () => {
  const body = Buffer.alloc(24 * 1024 * 1024)
  const headers = { 'cache-control': 'max-age=60', etag: '"e"' }
  const origin = scriptedOrigin('site', ({ path, signal }) =>
    path === '/whole'
      ? message(200, headers, body)
      : new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  )
  edge = await startEdge({ origins: [origin], memoryBytes: 1 << 30 })
  await edge.ask('/whole')
  edge.records.splice(0)
  for (const path of ['/never', '/whole']) {
    const socket = connect(edge.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    if (path === '/whole') await once(socket, 'readable')
    else await expect.poll(() => origin.requests).toHaveLength(2)
    socket.destroy()
  }
  await expect.poll(() => edge.records).toHaveLength(2)
  for (const { address } of edge.records) expect(address).toMatch(/127\.0\.0\.1$/)
})

test('what is cut because the server ends is in the log when it has ended', async () => {
  const echo = createServer((socket) => socket.pipe(socket))
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const address = echo.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  let asked = 0
  const origin = {
    ...scriptedOrigin('site', () => message(200)),
    fetch: async ({ path, signal }: OriginRequest): Promise<OriginResponse> => {
      asked++
      if (path !== '/ws')
        return new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason)),
        )
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      return { kind: 'upgrade', headers: {}, socket, head: text('early') }
    },
  }
  edge = await startEdge({ origins: [origin] })
  const socket = await upgrade('/ws')
  await once(socket, 'data')
  const cut = Array.from({ length: 3 }, (_, i) => edge.ask(`/${i}`).catch(() => {}))
  await expect.poll(() => asked).toBe(4)

  await edge.close()

  expect(edge.records.map(({ target }) => target).toSorted()).toEqual(['/0', '/1', '/2', '/ws'])
  await Promise.all(cut)
  echo.close()
})

async function upgrade(path: string): Promise<Socket> {
  const socket = connect(edge.port, '127.0.0.1')
  await once(socket, 'connect')
  const lines = [
    `GET ${path} HTTP/1.1`,
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: k',
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  return socket
}
