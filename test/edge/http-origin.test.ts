import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type ClosableOrigin, httpOrigin } from '../../server/edge/http-origin.ts'
import type { OriginMessage, OriginRequest, OriginResponse } from '../../server/http/message.ts'
import { collect } from '../../server/lib/bytes.ts'
import { type Clock, systemClock } from '../../server/lib/clock.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type WebServer, startWebServer } from '../support/web-server.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown

async function serve(answer: Answer): Promise<WebServer> {
  const server = await startWebServer(answer)
  closing.push(() => server.close())
  return server
}

interface Settings {
  readonly headers?: Record<string, string>
  readonly connectMs?: number
  readonly responseMs?: number
  readonly clock?: Clock
  readonly resolve?: (hostname: string) => Promise<readonly string[]>
}

function originAt(url: string, settings: Settings = {}): ClosableOrigin {
  const { headers = {}, connectMs = 5000, responseMs = 5000, clock = systemClock } = settings
  const origin = httpOrigin(
    'app',
    { kind: 'http', url, headers, timeouts: { connectMs, responseMs } },
    { clock, log: silentLog, resolve: settings.resolve },
  )
  return origin
}

function ask(path: string, more: Partial<OriginRequest> = {}): OriginRequest {
  const signal = new AbortController().signal
  return { method: 'GET', path, query: '', headers: {}, body: null, signal, ...more }
}

function message(answer: OriginResponse): OriginMessage {
  if (answer.kind === 'message') return answer
  throw new Error('expected a message')
}

async function textOf(answer: OriginResponse): Promise<string> {
  const { body } = message(answer)
  if (body === null) return ''
  if (!(Symbol.asyncIterator in body)) throw new Error('expected a stream')
  return (await collect(body)).toString()
}

async function* repeat(chunk: Uint8Array, times: number) {
  for (let i = 0; i < times; i++) yield chunk
}

function iteratorOf(answer: OriginResponse): AsyncIterator<Uint8Array> {
  const { body } = message(answer)
  if (body === null || !(Symbol.asyncIterator in body)) throw new Error('expected a stream')
  return body[Symbol.asyncIterator]()
}

describe('what is sent', () => {
  it('puts the path behind the prefix of the URL, query and escapes as they were', async () => {
    const server = await serve((_, response) => response.end('ok'))
    const origin = originAt(`${server.url}/base/`)
    await textOf(await origin.fetch(ask('/a%20b/%C3%BC', { query: 'x=1&y=%2F' })))
    expect(server.requests).toEqual(['GET /base/a%20b/%C3%BC?x=1&y=%2F'])
  })

  it('names the origin as host, adds the configured fields, leaves out what is of one connection', async () => {
    const server = await serve((request, response) =>
      response.end(JSON.stringify([request.headers, request.headers.host])),
    )
    const origin = originAt(server.url, { headers: { 'X-Origin-Auth': 'secret' } })
    const headers = {
      host: 'www.example.com',
      te: 'trailers',
      connection: 'x-hop',
      'x-hop': '1',
      'keep-alive': 'timeout=5',
      expect: '100-continue',
      accept: ['a/b', 'c/d'],
    }
    const [seen, host] = JSON.parse(await textOf(await origin.fetch(ask('/', { headers }))))
    expect(host).toBe(new URL(server.url).host)
    expect(seen).toEqual({
      host,
      connection: 'keep-alive',
      accept: 'a/b, c/d',
      'x-origin-auth': 'secret',
      via: '1.1 nearcast',
    })
  })

  it('adds itself to the gateways on the way (RFC 9110 §7.6.3)', async () => {
    const server = await serve((request, response) => response.end(request.headers.via))
    const headers = { via: '1.0 fred, 1.1 example.com' }
    const answer = await originAt(server.url).fetch(ask('/', { headers }))
    expect(await textOf(answer)).toBe('1.0 fred, 1.1 example.com, 1.1 nearcast')
  })

  it('names another host when one is configured', async () => {
    const server = await serve((request, response) => response.end(request.headers.host))
    const origin = originAt(server.url, { headers: { Host: 'shop.example.com' } })
    expect(await textOf(await origin.fetch(ask('/')))).toBe('shop.example.com')
  })

  it('streams a body of unknown length and one in memory', async () => {
    const server = await serve(async (request, response) => {
      const hash = createHash('sha1')
      for await (const chunk of request) hash.update(chunk)
      const framing = request.headers['content-length'] ?? request.headers['transfer-encoding']
      response.end(`${framing} ${hash.digest('hex')}`)
    })
    const origin = originAt(server.url)
    const megabyte = Buffer.alloc(1024 * 1024, 7)
    const sum = createHash('sha1')
      .update(Buffer.alloc(3 * 1024 * 1024, 7))
      .digest('hex')
    const streamed = ask('/', { method: 'POST', body: repeat(megabyte, 3) })
    expect(await textOf(await origin.fetch(streamed))).toBe(`chunked ${sum}`)
    const listed = ask('/', { method: 'PUT', body: [megabyte, megabyte, megabyte] })
    expect(await textOf(await origin.fetch(listed))).toBe(`3145728 ${sum}`)
  })

  it('takes no more of an upload than the origin reads', async () => {
    const server = await serve(() => {})
    const origin = originAt(server.url)
    let given = 0
    const stuck = deferred()
    async function* endless() {
      for (;;) {
        given++
        if (given > 2000) stuck.resolve()
        yield Buffer.alloc(64 * 1024)
      }
    }
    const controller = new AbortController()
    const sent = origin.fetch(
      ask('/', { method: 'POST', body: endless(), signal: controller.signal }),
    )
    sent.catch(() => {})
    await once(server.server, 'request')
    const before = await settledCount(() => given)
    expect(before).toBeLessThan(2000)
    controller.abort(new Error('enough'))
    await expect(sent).rejects.toThrow('enough')
  })

  it('refuses what cannot be sent', async () => {
    const origin = originAt('http://127.0.0.1:1')
    await expect(origin.fetch(ask('/a b'))).rejects.toMatchObject({ code: 'bad-request' })
    const headers = { 'x-a': 'b\r\nc: d' }
    await expect(origin.fetch(ask('/', { headers }))).rejects.toMatchObject({ code: 'bad-request' })
  })
})

/** The value when it stands still over many turns of the event loop. */
async function settledCount(read: () => number): Promise<number> {
  for (let still = 0, last = -1; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    still = read() === last ? still + 1 : 0
    last = read()
    if (still === 20) return last
  }
}

describe('what comes back', () => {
  it('gives status, repeated fields and bytes as they are, redirects and compressed bodies too', async () => {
    const server = await serve((_, response) => {
      response.writeHead(302, [
        ['Location', '/there'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
        ['Content-Encoding', 'gzip'],
      ])
      response.end('not really gzip')
    })
    const answer = message(await originAt(server.url).fetch(ask('/')))
    expect(answer.status).toBe(302)
    expect(answer.headers).toMatchObject({
      location: '/there',
      'set-cookie': ['a=1', 'b=2'],
      'content-encoding': 'gzip',
    })
    expect(answer.headers).not.toHaveProperty('connection')
    expect(answer.headers).not.toHaveProperty('transfer-encoding')
    expect(await textOf(answer)).toBe('not really gzip')
  })

  it('has no body for HEAD, 204 and an empty answer', async () => {
    const server = await serve((request, response) => {
      if (request.url === '/204') response.writeHead(204)
      else if (request.method === 'HEAD') response.setHeader('content-length', '5')
      response.end()
    })
    const origin = originAt(server.url)
    const head = message(await origin.fetch(ask('/', { method: 'HEAD' })))
    expect([head.headers['content-length'], head.body]).toEqual(['5', null])
    expect(message(await origin.fetch(ask('/204'))).body).toBeNull()
    expect(message(await origin.fetch(ask('/'))).body).toBeNull()
  })

  it('passes on early hints before the answer', async () => {
    const server = await serve((_, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' })
      response.end('page')
    })
    const seen: unknown[] = []
    const onInformational = (status: number, headers: unknown) => seen.push([status, headers])
    const answer = await originAt(server.url).fetch(ask('/', { onInformational }))
    expect(seen).toEqual([[103, { link: '</a.css>; rel=preload' }]])
    expect(await textOf(answer)).toBe('page')
  })

  it('reads a chunked answer and drops its trailers', async () => {
    const server = await serve((_, response) => {
      response.setHeader('trailer', 'x-sum')
      response.write('one ')
      response.write('two')
      response.addTrailers({ 'x-sum': '1' })
      response.end()
    })
    const answer = message(await originAt(server.url).fetch(ask('/')))
    expect(answer.headers).not.toHaveProperty('trailer')
    expect(await textOf(answer)).toBe('one two')
  })

  it('streams 64 MiB without holding them', async () => {
    const chunk = Buffer.alloc(256 * 1024, 1)
    let written = 0
    const server = await serve(async (_, response) => {
      response.setHeader('content-length', String(64 * 1024 * 1024))
      while (written < 64 * 1024 * 1024) {
        written += chunk.length
        if (!response.write(chunk)) await once(response, 'drain')
      }
      response.end()
    })
    const iterator = iteratorOf(await originAt(server.url).fetch(ask('/')))
    await iterator.next()
    // What the kernel's socket buffers take is not ours.
    expect(await settledCount(() => written)).toBeLessThan(24 * 1024 * 1024)
    let rest = 0
    for (let next = await iterator.next(); !next.done; next = await iterator.next())
      rest += next.value.length
    expect(written).toBe(64 * 1024 * 1024)
    expect(rest).toBeGreaterThan(63 * 1024 * 1024)
  })

  it('lets go of the connection when the reader leaves', async () => {
    const gone = deferred()
    const server = await serve((_, response) => {
      response.write('first')
      response.once('close', () => gone.resolve())
    })
    const iterator = iteratorOf(await originAt(server.url).fetch(ask('/')))
    await iterator.next()
    await iterator.return?.()
    await gone.promise
  })

  it('uses a connection again', async () => {
    const server = await serve((_, response) => response.end('x'))
    const origin = originAt(server.url)
    for (let i = 0; i < 20; i++) await textOf(await origin.fetch(ask('/')))
    expect(server.connections()).toBeLessThan(4)
  })

  it('speaks WebSocket through an upgrade, bytes behind the header first', async () => {
    const server = await serve(() => {})
    server.server.on('upgrade', (request, socket) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${request.headers['sec-websocket-key']}\r\n\r\nhello `,
      )
      socket.pipe(socket)
    })
    const headers = { upgrade: 'websocket', connection: 'upgrade', 'sec-websocket-key': 'abc' }
    const answer = await originAt(server.url).fetch(ask('/ws', { headers }))
    if (answer.kind !== 'upgrade') throw new Error('expected an upgrade')
    expect(answer.headers['sec-websocket-accept']).toBe('abc')
    let got = Buffer.from(answer.head).toString()
    answer.socket.write('echo')
    for await (const chunk of answer.socket) {
      got += String(chunk)
      if (got === 'hello echo') break
    }
    expect(got).toBe('hello echo')
  })

  it('gives the answer that refuses an upgrade', async () => {
    const server = await serve(() => {})
    server.server.on('upgrade', (_, socket) => {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
    })
    const headers = { upgrade: 'websocket' }
    const answer = await originAt(server.url).fetch(ask('/ws', { headers }))
    expect(message(answer).status).toBe(403)
    expect(await textOf(answer)).toBe('no')
  })
})

describe('when the origin fails', () => {
  it('says that it cannot be reached', async () => {
    const server = await startWebServer(() => {})
    await server.close()
    const asked = originAt(server.url).fetch(ask('/'))
    await expect(asked).rejects.toMatchObject({ code: 'origin-unreachable' })
    await expect(asked).rejects.toThrow(/origin app \(127\.0\.0\.1:\d+\): .*ECONNREFUSED/)
  })

  it('says so when a name has no address', async () => {
    const asked = originAt('http://nothing.invalid').fetch(ask('/'))
    await expect(asked).rejects.toMatchObject({ code: 'origin-unreachable' })
  })

  it('gives up on a connection that is not made in time', async () => {
    const clock = new FakeClock()
    const origin = originAt('http://192.0.2.1', { connectMs: 3000, clock })
    const asked = origin.fetch(ask('/'))
    asked.catch(() => {})
    await clock.advance(3000)
    await expect(asked).rejects.toMatchObject({ code: expect.stringMatching(/^origin-unr/) })
  })

  it('gives up on an answer that does not begin, or does not go on', async () => {
    const server = await serve((request, response) => {
      if (request.url === '/half') response.write('half')
    })
    const clock = new FakeClock()
    const origin = originAt(server.url, { responseMs: 3000, clock })
    const asked = origin.fetch(ask('/'))
    asked.catch(() => {})
    await once(server.server, 'request')
    await clock.advance(3000)
    await expect(asked).rejects.toThrow(/^origin-timeout: .*no answer within 3000 ms/)
    const iterator = iteratorOf(await origin.fetch(ask('/half')))
    await iterator.next()
    // A reader that takes its time is not an origin that does.
    await clock.advance(60_000)
    const next = iterator.next()
    next.catch(() => {})
    await clock.advance(3000)
    await expect(next).rejects.toThrow(/^origin-timeout: .*no byte of the answer/)
    expect(clock.pending).toBe(0)
  })

  it('throws where a body is cut short', async () => {
    const server = await serve((request, response) => {
      if (request.url === '/length') response.setHeader('content-length', '10')
      response.write('12345', () => response.destroy())
    })
    for (const path of ['/length', '/chunked']) {
      const answer = await originAt(server.url).fetch(ask(path))
      await expect(textOf(answer)).rejects.toMatchObject({ code: 'origin-failed' })
    }
  })

  it('sends a GET once more when the connection broke, a POST never', async () => {
    const server = await serve((request, response) => {
      if (server.requests.length === 1 || request.method === 'POST') request.socket.destroy()
      else response.end('second')
    })
    const origin = originAt(server.url)
    expect(await textOf(await origin.fetch(ask('/a')))).toBe('second')
    const post = origin.fetch(ask('/b', { method: 'POST', body: Buffer.from('x') }))
    await expect(post).rejects.toMatchObject({ code: 'origin-failed' })
    expect(server.requests).toEqual(['GET /a', 'GET /a', 'POST /b'])
  })

  it('throws what the upload threw', async () => {
    const server = await serve((request) => void request.resume())
    async function* broken() {
      yield Buffer.from('a')
      throw new Error('viewer left')
    }
    const asked = originAt(server.url).fetch(ask('/', { method: 'POST', body: broken() }))
    await expect(asked).rejects.toThrow('viewer left')
  })

  it('stops with the reason of the signal, before and during the answer', async () => {
    const server = await serve((request, response) => {
      if (request.url === '/half') response.write('half')
    })
    const origin = originAt(server.url)
    const early = new AbortController()
    const asked = origin.fetch(ask('/', { signal: early.signal }))
    asked.catch(() => {})
    await once(server.server, 'request')
    early.abort(new Error('nobody waits'))
    await expect(asked).rejects.toThrow('nobody waits')
    const late = new AbortController()
    const answer = await origin.fetch(ask('/half', { signal: late.signal }))
    const iterator = iteratorOf(answer)
    await iterator.next()
    late.abort(new Error('viewer gone'))
    await expect(iterator.next()).rejects.toThrow('viewer gone')
  })

  it.each([
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['an endless header', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(64 * 1024)}\r\n\r\n`],
  ])('refuses %s', async (_, bytes) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(bytes))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(async () => void server.close())
    const origin = originAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    await expect(origin.fetch(ask('/'))).rejects.toMatchObject({ code: 'origin-failed' })
  })
})

it('makes new connections when the name has other addresses', async () => {
  const server = await serve((_, response) => response.end('x'))
  const clock = new FakeClock()
  let addresses = ['192.0.2.1']
  const url = server.url.replace('127.0.0.1', 'localhost')
  const origin = originAt(url, { clock, resolve: async () => addresses })
  const get = async () => {
    for (let i = 0; i < 10; i++) await textOf(await origin.fetch(ask('/')))
    return server.connections()
  }
  const before = await get()
  await clock.advance(30_000)
  expect(await get()).toBe(before)
  addresses = ['192.0.2.2']
  await clock.advance(30_000)
  expect(await get()).toBeGreaterThan(before)
})
