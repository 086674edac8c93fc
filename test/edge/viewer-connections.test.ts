import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { listenHttp } from '../../server/edge/listen-http.ts'
import type { OriginRequest } from '../../server/http/message.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { deferred } from '../../server/lib/deferred.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function edgeOf(options: Parameters<typeof startEdge>[0]): Promise<EdgeFixture> {
  const edge = await startEdge(options)
  ends.push(() => edge.close())
  return edge
}

interface Line {
  readonly socket: Socket
  readonly text: () => string
  /** Resolves when what came back holds this. */
  readonly until: (part: string) => Promise<void>
  readonly closed: Promise<unknown>
}

function line(port: number, bytes: string, allowHalfOpen = false): Line {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen })
  ends.push(() => socket.destroy())
  let received = ''
  let wake = () => {}
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1')
    wake()
  })
  const closed = once(socket, 'close').then(() => wake())
  socket.write(bytes, 'latin1')
  return {
    socket,
    closed,
    text: () => received,
    async until(part) {
      while (!received.includes(part)) {
        if (socket.destroyed) throw new Error(`closed after ${received}`)
        await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}

const FRESH = { 'cache-control': 'max-age=60' }
const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`
const answersIn = (bytes: string) => (bytes.match(/HTTP\/1\.1 \d{3}/g) ?? []).map((s) => s.slice(9))

/** An origin that answers when it is let; `asked` has what waits there. */
function gated() {
  const asked: { readonly request: OriginRequest; readonly answer: () => void }[] = []
  let came = () => {}
  const origin = scriptedOrigin('site', async (request) => {
    const gate = deferred<void>()
    asked.push({ request, answer: () => gate.resolve() })
    came()
    request.signal.addEventListener('abort', () => gate.reject(request.signal.reason))
    await gate.promise
    return message(200, FRESH, text(`body of ${request.path};`))
  })
  const waiting = async (count: number) => {
    while (asked.length < count) await new Promise<void>((resolve) => (came = resolve))
  }
  return { origin, asked, waiting }
}

test('of requests in one packet one is at work at a time, and the answers come in order', async () => {
  const { origin, asked, waiting } = gated()
  const edge = await edgeOf({ origins: [origin] })
  const paths = Array.from({ length: 200 }, (_, i) => `/${i}`)
  const { socket, text: received, until } = line(edge.port, paths.map((p) => get(p)).join(''))
  for (let at = 0; at < paths.length; at++) {
    await waiting(at + 1)
    expect(asked).toHaveLength(at + 1)
    asked[at]?.answer()
    await until(`body of /${at};`)
  }
  expect(received().match(/body of \/\d+;/g)).toEqual(paths.map((p) => `body of ${p};`))
  socket.destroy()
})

test('who pipelines without reading costs what one request costs', async () => {
  const { origin, asked, waiting } = gated()
  const edge = await edgeOf({ origins: [origin] })
  const { socket } = line(edge.port, '')
  let sent = 0
  const pour = () => {
    while (sent < 1_000_000 && socket.write(get(`/${sent}`))) sent++
  }
  socket.on('drain', pour)
  pour()
  await waiting(1)
  let before = -1
  for (let still = 0; still < 200; still++) {
    await new Promise((resolve) => setImmediate(resolve))
    if (sent !== before) still = 0
    before = sent
  }
  expect(asked).toHaveLength(1)
  // The kernel's buffers are full: the edge reads no further.
  expect(sent).toBeLessThan(1_000_000)
  expect(socket.writableLength).toBeGreaterThan(0)
})

test('a pipelined viewer who leaves ends what is at work, and nothing of his is begun any more', async () => {
  const { origin, asked, waiting } = gated()
  const edge = await edgeOf({ origins: [origin] })
  const { socket } = line(edge.port, get('/a') + get('/b') + get('/c'))
  await waiting(1)
  socket.resetAndDestroy()
  await expect.poll(() => asked[0]?.request.signal.aborted).toBe(true)
  await expect.poll(() => edge.records.map(({ target }) => target)).toEqual(['/a'])
  expect(asked).toHaveLength(1)
})

test('what a request changes is changed before the next one behind it is answered', async () => {
  let stored = 'old'
  const origin = scriptedOrigin('site', async ({ method }) => {
    if (method === 'GET') return message(200, { 'cache-control': 'no-store' }, text(stored))
    await new Promise((resolve) => setImmediate(resolve))
    stored = 'new'
    return message(204)
  })
  const edge = await edgeOf({ origins: [origin], behaviors: [{ methods: 'all' }] })
  const put = 'PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nnew'
  const { closed, text: received } = line(edge.port, put + get('/a', 'Connection: close\r\n'))
  await closed
  expect(answersIn(received())).toEqual(['204', '200'])
  expect(received()).toContain('\r\n\r\nnew')
})

// RFC 9112 §9.6 speaks of it; netcat and some players end their side behind the request.
test('a viewer who half-closes while he waits for a miss gets his answer', async () => {
  const { origin, asked, waiting } = gated()
  const edge = await edgeOf({ origins: [origin], halfClosedMs: 10_000 })
  const viewer = line(edge.port, get('/a') + get('/b'), true)
  viewer.socket.end()
  await waiting(1)
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  asked[0]?.answer()
  await waiting(2)
  asked[1]?.answer()
  await viewer.closed
  expect(viewer.text().match(/body of \/\w;/g)).toEqual(['body of /a;', 'body of /b;'])
})

test('a viewer who half-closes and gets nothing for longer than is likely has left', async () => {
  const { origin, asked, waiting } = gated()
  const edge = await edgeOf({ origins: [origin], halfClosedMs: 20 })
  const viewer = line(edge.port, get('/a'), true)
  viewer.socket.end()
  await waiting(1)
  const { signal } = asked[0]?.request ?? {}
  if (signal?.aborted === false) await once(signal, 'abort')
  await viewer.closed
  expect(viewer.text()).toBe('')
})

// RFC 9112 §9.6: a reset could overtake the answer.
test('who goes on sending what was refused can read why', async () => {
  const edge = await edgeOf({ origins: [scriptedOrigin('site', () => message(200))] })
  const head = 'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n'
  const { socket, until, text: received } = line(edge.port, head)
  const chunk = Buffer.alloc(64 * 1024)
  const pour = () => {
    while (socket.writable && socket.write(chunk));
  }
  socket.on('drain', pour)
  pour()
  await until('requestId')
  expect(answersIn(received())).toEqual(['405'])
  const bomb = line(edge.port, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(4_000_000)}`)
  await bomb.until('\r\n\r\n')
  expect(answersIn(bomb.text())).toEqual(['431'])
})

test('bytes that are no request cost nothing while the answer before them is waited for', async () => {
  const { origin, asked, waiting } = gated()
  const edge = await edgeOf({ origins: [origin] })
  const viewer = line(edge.port, `${get('/a')}nonsense\r\n\r\n`)
  await waiting(1)
  let warned = 0
  const count = () => warned++
  process.on('warning', count)
  for (let i = 0; i < 20; i++) {
    viewer.socket.write('zz')
    await new Promise((resolve) => setImmediate(resolve))
  }
  asked[0]?.answer()
  await viewer.closed
  process.off('warning', count)
  expect(answersIn(viewer.text())).toEqual(['200', '400'])
  expect(warned).toBe(0)
})

const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
test.each([
  ['an offer of WebSocket', get('/ws', upgrade)],
  ['CONNECT', 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
])('%s behind a request that waits gets into no other answer', async (_what, bytes) => {
  const { origin } = gated()
  const edge = await edgeOf({ origins: [origin] })
  const { closed, text: received } = line(edge.port, get('/a') + bytes)
  await closed
  expect(received()).toBe('')
})

test.each([
  ['CONNECT', 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n', '405'],
  ['an offer without a host', get('/ws', `Host: y\r\n${upgrade}`), '400'],
  ['an offer with a body', get('/ws', `${upgrade}Content-Length: 5\r\n`), '400'],
])('%s is refused, and holds up nothing when its viewer stays', async (_what, bytes, status) => {
  const listener = await listenHttp({
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    handle: (_request, response) => response.end('hello'),
    upgrade: (_request, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n'),
  })
  const failures: unknown[] = []
  const keep = (error: unknown) => failures.push(error)
  process.on('uncaughtException', keep)
  const viewer = line(listener.port, bytes, true)
  await viewer.until('\r\n\r\n')
  const leaver = line(listener.port, bytes)
  await once(leaver.socket, 'connect')
  leaver.socket.resetAndDestroy()
  await listener.close(10_000)
  process.off('uncaughtException', keep)
  expect(answersIn(viewer.text())).toEqual([status])
  expect(failures).toEqual([])
})

// RFC 9110 §10.1.1
test('who waits for a 100 gets it when his body is wanted, and a refusal without it', async () => {
  const bodies: string[] = []
  const origin = scriptedOrigin('site', async ({ path, body }) => {
    if (path === '/early') return message(403, {}, text('no'))
    const chunks: Uint8Array[] = []
    if (body !== null && Symbol.asyncIterator in body)
      for await (const chunk of body) chunks.push(chunk)
    bodies.push(Buffer.concat(chunks).toString())
    return message(200, {}, text('taken'))
  })
  const edge = await edgeOf({
    origins: [origin],
    behaviors: [{ path: '/read/*' }, { methods: 'all' }],
  })
  const post = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`
  for (const [path, status] of [
    ['/read/a', '405'],
    ['/early', '403'],
  ] as const) {
    const refused = line(edge.port, post(path))
    await refused.closed
    expect(answersIn(refused.text())).toEqual([status])
  }
  const viewer = line(edge.port, post('/a'))
  await viewer.until('HTTP/1.1 100 Continue\r\n\r\n')
  viewer.socket.write('hello')
  await viewer.until('taken')
  expect(bodies).toEqual(['hello'])
  const odd = line(edge.port, get('/a', 'Expect: wonders\r\n') + get('/b'))
  await odd.closed
  expect(answersIn(odd.text())).toEqual(['417'])
})

// RFC 9112 §6.1, §6.3
test.each([
  ['a coding in HTTP/1.0', 'POST / HTTP/1.0\r\nConnection: keep-alive\r\n', 'chunked', '400'],
  ['a second coding', 'POST / HTTP/1.1\r\nHost: x\r\n', 'gzip, chunked', '501'],
  ['another coding', 'POST / HTTP/1.1\r\nHost: x\r\n', 'identity', '400'],
])('%s is refused before anybody is asked', async (_what, head, coding, status) => {
  const origin = scriptedOrigin('site', () => message(200))
  const edge = await edgeOf({ origins: [origin], behaviors: [{ methods: 'all' }] })
  const bytes = `${head}Transfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n${get('/smuggled')}`
  const viewer = line(edge.port, bytes)
  await viewer.closed
  expect(answersIn(viewer.text())).toEqual([status])
  expect(origin.requests).toEqual([])
})

// RFC 9112 §3.2, §9.6
test('without a host nothing behind the request is processed', async () => {
  const origin = scriptedOrigin('site', () => message(200, FRESH, text('hello')))
  const edge = await edgeOf({ origins: [origin] })
  const viewer = line(edge.port, `GET /a HTTP/1.1\r\n\r\n${get('/b')}`)
  await viewer.closed
  expect(answersIn(viewer.text())).toEqual(['400'])
  expect(origin.requests).toEqual([])
})

test('a request without a body that is refused does not end the connection', async () => {
  const origin = scriptedOrigin('site', ({ path }) => message(200, FRESH, text(path)))
  const edge = await edgeOf({ origins: [origin] })
  const viewer = line(edge.port, get('/%zz'))
  await viewer.until('requestId')
  viewer.socket.write(get('/b'))
  await viewer.until('\r\n\r\n/b')
  expect(answersIn(viewer.text())).toEqual(['400', '200'])
})
