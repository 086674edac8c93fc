import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { type ClosableOrigin, httpOrigin } from '../../server/edge/http-origin.ts'
import type { OriginRequest, OriginResponse } from '../../server/http/message.ts'
import { collect } from '../../server/lib/bytes.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { startWebServer } from '../support/web-server.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** A server that answers each connection's first bytes with whatever `answer` writes. */
async function rawServer(answer: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => answer(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function pump(socket: Socket, block: Buffer): void {
  const more = () => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.on('drain', more)
  more()
}

function originAt(url: string, clock = systemClock, connectMs = 5000): ClosableOrigin {
  const timeouts = { connectMs, responseMs: 5000 }
  return httpOrigin('app', { kind: 'http', url, headers: {}, timeouts }, { clock, log: silentLog })
}

function ask(path: string, more: Partial<OriginRequest> = {}): OriginRequest {
  const signal = new AbortController().signal
  return { method: 'GET', path, query: '', headers: {}, body: null, signal, ...more }
}

function streamOf(answer: OriginResponse): AsyncIterable<Uint8Array> {
  if (answer.kind === 'message' && answer.body !== null && Symbol.asyncIterator in answer.body)
    return answer.body
  throw new Error('expected a stream')
}

it('ends a flood of 1xx, of which a viewer is sent a hundred', async () => {
  const hint = 'HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n'
  const url = await rawServer((socket) => pump(socket, Buffer.from(hint.repeat(1000))))
  let passed = 0
  const onInformational = () => {
    passed++
  }
  const asked = originAt(url).fetch(ask('/', { onInformational }))
  await expect(asked).rejects.toThrow(/^origin-failed: .*more than 100 answers of 1xx/)
  expect(passed).toBe(100)
})

const final = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage'
const hint = 'HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n'

it.each([
  ['an unasked 100', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ['a 100 with fields and no reason', 'HTTP/1.1 100\r\ncontent-length: 0\r\nx: y\r\n\r\n'],
  ['several, between hints', `HTTP/1.1 100 Continue\r\n\r\n${hint}HTTP/1.1 100 Continue\r\n\r\n`],
  ['a 100 of HTTP/1.0', 'HTTP/1.0 100 Continue\r\n\r\n'],
  ['a 102 that says close', 'HTTP/1.1 102 Processing\r\nConnection: close\r\n\r\n'],
  ['a 1xx of no meaning', 'HTTP/1.1 199 Whatever\r\n\r\n'],
])('reads on behind %s, in one piece and byte by byte (RFC 9110 §15.2)', async (_, before) => {
  const url = await rawServer((socket) => {
    socket.write(before + final)
    socket.on('data', () => {
      const bytes = Buffer.from(before + final)
      const next = (at: number): unknown =>
        at < bytes.length && socket.write(bytes.subarray(at, at + 1), () => next(at + 1))
      next(0)
    })
  })
  const origin = originAt(url)
  for (let i = 0; i < 2; i++) {
    const seen: number[] = []
    const onInformational = (status: number) => void seen.push(status)
    const answer = await origin.fetch(ask('/', { onInformational }))
    expect((await collect(streamOf(answer))).toString()).toBe('page')
    expect(seen).not.toContain(100)
    expect(seen.filter((status) => status === 103)).toHaveLength(before.includes('103') ? 1 : 0)
  }
  await origin.close()
})

it('leaves bodies as they are, whatever they look like', async () => {
  const body = 'HTTP/1.1 100 Continue\r\n\r\n'
  const url = await rawServer((socket) => {
    socket.setNoDelay(true)
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length * 2}\r\n\r\n`)
    setImmediate(() => socket.write(body, () => setImmediate(() => socket.write(body))))
  })
  const answer = await originAt(url).fetch(ask('/'))
  expect((await collect(streamOf(answer))).toString()).toBe(body + body)
})

it('ends a flood of 100', async () => {
  const url = await rawServer((socket) =>
    pump(socket, Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000))),
  )
  const asked = originAt(url).fetch(ask('/'))
  await expect(asked).rejects.toThrow(/^origin-failed: .*more than 100 answers of 1xx/)
})

it('joins an upgrade behind a 100', async () => {
  const url = await rawServer((socket) =>
    socket.write(
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nHTTP/1.1 100 x\r\n\r\n',
    ),
  )
  const answer = await originAt(url).fetch(ask('/', { headers: { upgrade: 'websocket' } }))
  if (answer.kind !== 'upgrade') throw new Error('expected an upgrade')
  const [first] = await once(answer.socket, 'data')
  expect(String(first)).toBe('HTTP/1.1 100 x\r\n\r\n')
  answer.socket.destroy()
})

it('takes a body that comes byte by byte in larger pieces, and holds few of them', async () => {
  const url = await rawServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    socket.end(`${'1\r\na\r\n'.repeat(200_000)}0\r\n\r\n`)
  })
  const answer = await originAt(url).fetch(ask('/'))
  let pieces = 0
  let bytes = 0
  for await (const piece of streamOf(answer)) {
    pieces++
    bytes += piece.length
  }
  expect(bytes).toBe(200_000)
  expect(pieces).toBeLessThan(20_000)
})

it('closes the connection of an answer that brings a body where none may be', async () => {
  const closed = deferred()
  const url = await rawServer((socket) => {
    socket.once('close', () => closed.resolve())
    socket.write('HTTP/1.1 205 Reset Content\r\ncontent-length: 1000000000\r\n\r\n')
    pump(socket, Buffer.alloc(64 * 1024))
  })
  const answer = await originAt(url).fetch(ask('/'))
  expect(answer).toMatchObject({ status: 205, body: null })
  await closed.promise
})

it('gives up on an answer without a body that does not end', async () => {
  const closed = deferred()
  const url = await rawServer((socket) => {
    socket.once('close', () => closed.resolve())
    socket.write('HTTP/1.1 205 Reset Content\r\ncontent-length: 5\r\n\r\n')
  })
  const clock = new FakeClock()
  await originAt(url, clock).fetch(ask('/'))
  await clock.advance(5000)
  await closed.promise
})

it('names no address in what a viewer reads of a request that cannot be sent', async () => {
  const asked = originAt('http://127.0.0.1:1').fetch(ask('/a b'))
  await expect(asked).rejects.toThrow(/^bad-request: (?!.*127\.0\.0\.1)/)
})

it('serves the next request at once when an origin that hung answers again', async () => {
  const held: ServerResponse[] = []
  let hangs = true
  const full = deferred()
  const server = await startWebServer((_, response) => {
    if (!hangs) return response.end('x')
    if (held.push(response) === 256) full.resolve()
    return undefined
  })
  closing.push(() => server.close())
  const clock = new FakeClock()
  const origin = originAt(server.url, clock, 1000)
  const early = Array.from({ length: 256 }, () => origin.fetch(ask('/early')))
  await full.promise
  const late = Array.from({ length: 1000 }, () => origin.fetch(ask('/late')))
  const failed = Promise.allSettled(late)
  await clock.advance(1000)
  expect((await failed).every(({ status }) => status === 'rejected')).toBe(true)
  hangs = false
  for (const response of held) response.end('x')
  for (const answer of await Promise.all(early)) await collect(streamOf(answer))
  expect((await collect(streamOf(await origin.fetch(ask('/now'))))).toString()).toBe('x')
  expect(server.connections()).toBe(256)
  expect(server.requests).not.toContain('GET /late')
})

it('ends with the server though an origin still owes an answer', async () => {
  const asked = deferred()
  const url = await rawServer(() => asked.resolve())
  const clock = new FakeClock()
  const origin = originAt(url, clock)
  const answer = origin.fetch(ask('/'))
  answer.catch(() => {})
  await asked.promise
  const closed = origin.close()
  await clock.advance(1000)
  await closed
  await expect(answer).rejects.toMatchObject({ code: 'origin-failed' })
  await expect(origin.fetch(ask('/'))).rejects.toMatchObject({ code: 'origin-unreachable' })
})

it('finishes what runs when another origin takes its place, and answers who still holds on to it', async () => {
  const gate = deferred()
  const server = await startWebServer(async (request, response) => {
    response.write('first ')
    if (request.url === '/slow') await gate.promise
    response.end('last')
  })
  closing.push(() => server.close())
  const origin = originAt(server.url)
  const slow = await origin.fetch(ask('/slow'))
  const retired = origin.retire()
  expect((await collect(streamOf(await origin.fetch(ask('/rest'))))).toString()).toBe('first last')
  gate.resolve()
  expect((await collect(streamOf(slow))).toString()).toBe('first last')
  await retired
})
