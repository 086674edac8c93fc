import { once } from 'node:events'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { type ClosableOrigin, httpOrigin } from '../../server/edge/http-origin.ts'
import { listenHttp } from '../../server/edge/listen-http.ts'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { readRequestHead } from '../../server/edge/request-head.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { openFileStore } from '../../server/storage/file.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function edgeOf(options: Parameters<typeof startEdge>[0]): Promise<EdgeFixture> {
  const edge = await startEdge(options)
  ends.push(() => edge.close())
  return edge
}

const FRESH = { 'cache-control': 'max-age=60' }
const cached = () =>
  scriptedOrigin('site', ({ path }) => message(200, FRESH, text(`body of ${path}`)))

/** Everything that comes back until the connection ends. */
async function talk(port: number, ...packets: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  ends.push(() => socket.destroy())
  let answer = ''
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1')
  })
  const closed = once(socket, 'close')
  for (const packet of packets.slice(0, -1)) {
    const came = once(socket, 'data')
    socket.write(packet, 'latin1')
    await came
  }
  const last = packets.at(-1) ?? ''
  if (last.includes('Connection: close')) socket.write(last, 'latin1')
  else socket.end(last, 'latin1')
  await closed
  return answer
}

const answersIn = (bytes: string) => bytes.match(/HTTP\/1\.1 \d{3}(?= )/g) ?? []
const hit = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n'
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'

// RFC 9112 §6.3, §2.2, §5.1, §5.2; RFC 9110 §9.1
describe('what two parsers could read differently', () => {
  const head = (method: string, lines: string) => `${method} /a HTTP/1.1\r\nHost: x\r\n${lines}\r\n`
  test.each([
    ['both lengths', head('POST', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n')],
    ['the same the other way', head('GET', 'Transfer-Encoding: chunked\r\nContent-Length: 0\r\n')],
    ['two lengths', head('POST', 'Content-Length: 0\r\nContent-Length: 5\r\n')],
    ['a length with a sign', head('POST', 'Content-Length: +0\r\n')],
    ['a list of lengths', head('POST', 'Content-Length: 0, 0\r\n')],
    ['an unknown coding', head('POST', 'Transfer-Encoding: xchunked\r\n')],
    ['a chunk size that is none', `${head('POST', 'Transfer-Encoding: chunked\r\n')}0x0\r\n\r\n`],
    ['a bare line feed between fields', 'GET /a HTTP/1.1\r\nHost: x\nX: y\r\n\r\n'],
    ['a bare line feed at the end', 'GET /a HTTP/1.1\r\nHost: x\r\n\n'],
    ['a bare carriage return', head('GET', 'X: a\rTransfer-Encoding: chunked\r\n')],
    ['a folded field', head('GET', 'X: a\r\n Transfer-Encoding: chunked\r\n')],
    ['a folded first line', 'GET /a HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n'],
    ['a space before the colon', head('GET', 'Transfer-Encoding : chunked\r\n')],
    ['a NUL in a value', head('GET', 'X: a\0b\r\n')],
    ['a method in lower case', 'get /a HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a method in mixed case', 'Get /a HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['two hosts', head('GET', 'Host: y\r\n')],
  ])('%s: 400, also behind a hit, and nothing behind it is answered', async (_what, bytes) => {
    const origin = cached()
    const edge = await edgeOf({
      origins: [origin],
      behaviors: [{ methods: 'all', semantics: 'rfc' }],
    })
    expect(answersIn(await talk(edge.port, bytes + smuggled))).toEqual(['HTTP/1.1 400'])
    await edge.ask('/a')
    expect(answersIn(await talk(edge.port, hit, bytes + smuggled))).toEqual([
      'HTTP/1.1 200',
      'HTTP/1.1 400',
    ])
    expect(origin.requests.map(({ path }) => path)).not.toContain('/smuggled')
  })

  // RFC 9112 §9.6
  test('what comes behind a request that ends the connection is not processed', async () => {
    const origin = cached()
    const edge = await edgeOf({ origins: [origin] })
    const last = 'GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    expect(answersIn(await talk(edge.port, last + smuggled))).toEqual(['HTTP/1.1 200'])
    expect(origin.requests.map(({ path }) => path)).toEqual(['/a'])
  })

  test('what cannot be read does not get into the answer before it', async () => {
    const rest = deferred<void>()
    async function* body() {
      yield text('first ')
      await rest.promise
      yield text('second')
    }
    const origin = scriptedOrigin('site', () =>
      message(200, { ...FRESH, 'content-length': '12' }, body()),
    )
    const edge = await edgeOf({ origins: [origin] })
    const socket = connect(edge.port, '127.0.0.1')
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1')
    })
    const closed = once(socket, 'close')
    socket.write(`${hit}get nonsense\r\n\r\n`)
    await once(socket, 'data')
    rest.resolve()
    await closed
    expect(answer).toContain('\r\n\r\nfirst second')
    expect(answersIn(answer)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400'])
  })

  test('a body behind a hit is no request', async () => {
    const origin = cached()
    const edge = await edgeOf({ origins: [origin] })
    await edge.ask('/a')
    const body = `GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`
    expect(answersIn(await talk(edge.port, hit, body))).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200'])
    expect(origin.requests.map(({ path }) => path)).toEqual(['/a'])
  })

  test('many hits and a half one in one packet are answered in order, and the half when it is whole', async () => {
    const edge = await edgeOf({ origins: [cached()] })
    await edge.ask('/a')
    const [half, rest] = [hit.slice(0, 20), hit.slice(20)]
    const answer = await talk(edge.port, hit, hit.repeat(20) + half, rest)
    expect(answersIn(answer)).toHaveLength(22)
    expect(answer.match(/body of \/a/g)).toHaveLength(22)
  })
})

describe('header bombs', () => {
  test.each([
    ['one long field', `X: ${'a'.repeat(40_000)}\r\n`],
    ['many fields', Array.from({ length: 5000 }, (_, i) => `X${i}: a\r\n`).join('')],
    ['a long target', undefined],
  ])('%s is 431, also behind a hit', async (_what, lines) => {
    const edge = await edgeOf({ origins: [cached()] })
    await edge.ask('/a')
    const bomb =
      lines === undefined
        ? `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`
        : `GET /a HTTP/1.1\r\nHost: x\r\n${lines}\r\n`
    expect(answersIn(await talk(edge.port, bomb))).toEqual(['HTTP/1.1 431'])
    expect(answersIn(await talk(edge.port, hit, bomb))).toEqual(['HTTP/1.1 200', 'HTTP/1.1 431'])
  })

  test('a head of spaces costs as little as one of letters', () => {
    const cpuOf = (filler: string) => {
      const head = `GET / HTTP/1.1\r\nHost: a\r\nX:${filler.repeat(4000)}\u0001\r\n\r\n`
      const before = process.cpuUsage().user
      for (let i = 0; i < 20; i++) expect(readRequestHead(head)).toBe(undefined)
      return process.cpuUsage().user - before
    }
    cpuOf('a')
    // Trying each division of the spaces took 27 ms a head, and so more than half a second here.
    expect(cpuOf(' ')).toBeLessThan(cpuOf('a') + 100_000)
  })
})

describe('paths', () => {
  test('are written in one way for matching, key and origin (RFC 3986 §6.2.2)', async () => {
    const origin = cached()
    const edge = await edgeOf({
      origins: [origin],
      behaviors: [{ path: '/film/*', ttl: { min: 0, default: 60, max: 600 } }, { path: '*' }],
    })
    for (const path of ['/film/~a%c3%bc', '/%66ilm/%7Ea%C3%BC', '/film/%7ea%C3%bc'])
      expect((await edge.ask(path)).text).toBe('body of /film/~a%C3%BC')
    expect(origin.requests).toHaveLength(1)
    expect(origin.requests[0]?.path).toBe('/film/~a%C3%BC')
  })

  test('an escape is read once: what comes out of it is no escape', async () => {
    const origin = cached()
    const edge = await edgeOf({ origins: [origin] })
    expect((await edge.ask('/%2561')).text).toBe('body of /%2561')
    expect((await edge.ask('/%252e%252e/a')).text).toBe('body of /%252e%252e/a')
  })

  test.each([
    '//private/a',
    '/x//private',
    '/private%2Fa',
    '/private%5ca',
    '/private\\a',
    '/%2fprivate/a',
  ])('%s does not get past the behavior of /private/*', async (path) => {
    const open = scriptedOrigin('open', () => message(200, FRESH, text('open')))
    const closed = scriptedOrigin('closed', () => message(403, {}, text('closed')))
    const edge = await edgeOf({
      origins: [open, closed],
      behaviors: [
        { path: '/private/*', origin: 'closed' },
        { path: '/x/private', origin: 'closed' },
        { path: '*', origin: 'open' },
      ],
    })
    const answer = await talk(edge.port, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect(answersIn(answer)).toEqual(['HTTP/1.1 400'])
    expect(open.requests).toEqual([])
  })

  test('nothing outside the root of a file origin is read, and no link leads there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bad-input-'))
    ends.push(() => rm(folder, { recursive: true }))
    await mkdir(join(folder, 'root/a'), { recursive: true })
    await writeFile(join(folder, 'secret'), 'SECRET')
    await writeFile(join(folder, 'root/a/b'), 'inside')
    await symlink(join(folder, 'secret'), join(folder, 'root/link'))
    await symlink(folder, join(folder, 'root/up'))
    const store = openFileStore(join(folder, 'root'), { clock: new FakeClock() })
    const edge = await edgeOf({ origins: [objectStoreOrigin('site', store)] })
    const climbs = [
      '/../secret',
      '/a/../../secret',
      '/%2e%2e/secret',
      '/..%2fsecret',
      '/a/..\\..\\secret',
    ]
    const others = [
      `/${folder}/secret`,
      `//${folder}/secret`,
      '/..%00/secret',
      '/link',
      '/up/secret',
    ]
    for (const path of [...climbs, ...others]) {
      const answer = await talk(
        edge.port,
        `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      )
      expect(answer).toMatch(/^HTTP\/1\.1 40[034] /)
      expect(answer).not.toContain('SECRET')
    }
    expect((await edge.ask('/a/b')).text).toBe('inside')
  })
})

describe('poisoning', () => {
  const SPOOFS: Readonly<Record<string, string>> = {
    'X-Forwarded-Host': 'evil.test',
    'X-Forwarded-Proto': 'http',
    'X-Forwarded-For': '127.0.0.1',
    Forwarded: 'host=evil.test',
    'X-Original-URL': '/evil',
    'X-Rewrite-URL': '/evil',
    'X-Host': 'evil.test',
    'X-HTTP-Method-Override': 'DELETE',
    'True-Client-IP': '127.0.0.1',
  }
  const mirror = () =>
    scriptedOrigin('site', ({ headers }) =>
      message(200, FRESH, text(JSON.stringify({ ...headers, host: undefined }))),
    )

  test.each(['cloudfront', 'rfc'] as const)(
    'a field that is not in the key changes nothing that is stored, under %s',
    async (semantics) => {
      const edge = await edgeOf({ origins: [mirror()], behaviors: [{ semantics }] })
      const first = await edge.ask('/a', { headers: SPOOFS })
      expect(first.text).not.toMatch(/evil|127\.0\.0\.1|DELETE/)
      expect((await edge.ask('/a')).text).toBe(first.text)
    },
  )

  test('a key that names such a field has an answer for each value', async () => {
    const key = {
      query: 'none',
      queryOrder: 'kept',
      headers: ['X-Forwarded-Host'],
      cookies: 'none',
    } as const
    const edge = await edgeOf({ origins: [mirror()], behaviors: [{ semantics: 'rfc', key }] })
    expect((await edge.ask('/a', { headers: SPOOFS })).text).toContain('evil.test')
    expect((await edge.ask('/a')).text).not.toContain('evil.test')
  })

  test('a body with a GET is not seen by the origin', async () => {
    const origin = mirror()
    const edge = await edgeOf({ origins: [origin], behaviors: [{ semantics: 'rfc' }] })
    const fat = 'GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nevil'
    expect(answersIn(await talk(edge.port, fat))).toEqual(['HTTP/1.1 200'])
    expect(origin.requests.map(({ body }) => body)).toEqual([null])
  })

  test('answers to different viewers under rfc stay apart, by each way', async () => {
    const origin = scriptedOrigin('site', ({ headers }) =>
      message(200, { ...FRESH, vary: 'Cookie' }, text(`for ${String(headers['cookie'])}`)),
    )
    const edge = await edgeOf({ origins: [origin], behaviors: [{ semantics: 'rfc' }] })
    const as = (cookie: string) => `GET /a HTTP/1.1\r\nHost: x\r\nCookie: ${cookie}\r\n\r\n`
    for (const cookie of ['id=1,2', 'id=1, 2', 'id=3'])
      for (let i = 0; i < 2; i++) {
        const answer = await talk(edge.port, as(cookie), as(cookie))
        expect(answer.match(/for .*/g)).toEqual(
          [`for ${cookie}`, `for ${cookie}`].map((s) => expect.stringContaining(s)),
        )
      }
    expect(origin.requests).toHaveLength(3)
  })

  test('what was answered with Authorization is for this viewer alone unless it says otherwise (RFC 9111 §3.5)', async () => {
    const origin = scriptedOrigin('site', ({ headers }) =>
      message(200, FRESH, text(`for ${String(headers['authorization'])}`)),
    )
    const edge = await edgeOf({ origins: [origin], behaviors: [{ semantics: 'rfc' }] })
    for (const authorization of ['Bearer a', 'Bearer b'])
      expect((await edge.ask('/a', { headers: { authorization } })).text).toBe(
        `for ${authorization}`,
      )
    expect((await edge.ask('/a')).text).toBe('for undefined')
  })

  test('a field value that could become another line is left out, by each way', async () => {
    const origin = scriptedOrigin('site', () =>
      message(200, { ...FRESH, 'x-a': 'a\u010aX-Evil: 1', 'x-b': 'gr\u00fc\u00df' }, text('ok')),
    )
    const edge = await edgeOf({ origins: [origin] })
    expect((await edge.ask('/a')).status).toBe(200)
    const answer = await talk(edge.port, hit, hit)
    expect(answer).toContain('X-B: gr\u00fc\u00df\r\n')
    expect(answer).not.toContain('Evil')
  })
})

/** An origin that says these bytes to whoever connects, and ends. */
async function rawOrigin(answer: (request: string) => string): Promise<ClosableOrigin> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    let got = ''
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1')
      if (got.includes('\r\n\r\n')) socket.end(answer(got), 'latin1')
    })
  })
  return originAt(server)
}

async function originAt(server: Server, responseMs = 5000): Promise<ClosableOrigin> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const origin = httpOrigin(
    'site',
    {
      kind: 'http',
      url: `http://127.0.0.1:${port}`,
      headers: {},
      timeouts: { connectMs: 5000, responseMs },
    },
    { clock: systemClock, log: silentLog },
  )
  ends.push(
    () => new Promise((resolve) => server.close(resolve)),
    () => {
      for (const socket of sockets) socket.destroy()
    },
    () => origin.close(),
  )
  return origin
}

describe('an origin that lies', () => {
  const OK = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n'

  test.each([
    ['fewer bytes than its length', `${OK}Content-Length: 20\r\n\r\nhello`],
    ['chunks that do not end', `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`],
  ])('%s: the viewer sees a cut connection, and nothing is kept', async (_what, bytes) => {
    let asked = 0
    const origin = await rawOrigin(() => {
      asked++
      return bytes
    })
    const edge = await edgeOf({ origins: [origin] })
    await expect(edge.ask('/a')).rejects.toThrow()
    const before = asked
    await expect(edge.ask('/a')).rejects.toThrow()
    expect(asked).toBeGreaterThan(before)
  })

  test.each([
    [
      'more bytes than its length',
      `${OK}Content-Length: 5\r\n\r\nhello, and HTTP/1.1 200 OK`,
      [200],
      'hello',
    ],
    [
      'both lengths',
      `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      [502],
      '',
    ],
    ['two lengths', `${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`, [502], ''],
    ['a header bomb', `${OK}X: ${'a'.repeat(50_000)}\r\n\r\n`, [502], ''],
    ['a bare line feed', `${OK}X: a\nX-Evil: b\r\nContent-Length: 0\r\n\r\n`, [502], ''],
  ])('%s does no harm', async (_what, bytes, statuses, body) => {
    const origin = await rawOrigin(() => bytes)
    const edge = await edgeOf({ origins: [origin] })
    const answer = await edge.ask('/a')
    expect(statuses).toContain(answer.status)
    if (answer.status === 200) expect(answer.text).toBe(body)
  })

  const part = (range: string, etag: string, body: string) =>
    `HTTP/1.1 206 P\r\nETag: ${etag}\r\nCache-Control: max-age=60\r\nContent-Range: bytes ${range}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  test.each([
    ['another part than it was asked for', () => part('0-4/20', '"e"', 'wrong')],
    [
      'another length in each part',
      (request: string) =>
        request.includes('=5-') ? part('5-9/20', '"e"', 'right') : part('0-4/10', '"e"', 'wrong'),
    ],
    [
      'another etag in each part',
      (request: string) =>
        request.includes('=5-') ? part('5-9/20', '"e"', 'right') : part('0-4/20', '"f"', 'wrong'),
    ],
    ['a part that is no part', () => part('9-5/20', '"e"', 'wrong')],
  ])('%s: no viewer gets a mix', async (_what, answer) => {
    const edge = await edgeOf({ origins: [await rawOrigin(answer)] })
    const ask = (range: string) =>
      edge.ask('/a', { headers: { range } }).then(
        ({ status, headers, text: body }) => ({ status, body, range: headers['content-range'] }),
        () => undefined,
      )
    for (const range of ['bytes=5-9', 'bytes=0-9']) {
      let over = false
      const asked = ask(range).finally(() => {
        over = true
      })
      // Who has the first bytes already waits while the origin is asked again, after pauses.
      while (!over) await edge.clock.advance(100)
      const got = await asked
      // A part that cannot be trusted goes on as it is, to him who asked alone.
      if (got?.status === 206 && got.range === 'bytes 5-9/20') expect(got.body).toBe('right')
      expect(got?.body ?? '').not.toMatch(/wrongright|rightwrong/)
      expect(got?.status === 206 && got.range === 'bytes 0-9/20').toBe(false)
    }
  })
})

describe('uploads and slowness', () => {
  test('of a POST of 10 GB no more is taken than the origin reads', async () => {
    let upload: Socket | undefined
    const server = createServer((socket) => {
      upload = socket
      socket.on('error', () => {})
      socket.pause()
    })
    const edge = await edgeOf({
      origins: [await originAt(server)],
      behaviors: [{ methods: 'all' }],
    })
    const { socket, taken } = await flood(edge.port, 'Content-Length: 10737418240')
    expect(taken()).toBeLessThan(32 * 1024 * 1024)
    expect(upload).toBeDefined()
    socket.destroy()
  })

  test('a POST of 10 GB that is not allowed is refused, and its bytes are not waited for', async () => {
    const edge = await edgeOf({ origins: [cached()] })
    const answer = await talk(
      edge.port,
      `POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10737418240\r\n\r\n${'x'.repeat(1000)}`,
    )
    expect(answersIn(answer)).toEqual(['HTTP/1.1 405'])
    expect(answer).toMatch(/^connection: close\r$/im)
  })

  const slow = (behind: (socket: Socket) => Promise<unknown>) => async () => {
    const listener = await listenHttp({
      host: '127.0.0.1',
      port: 0,
      headersMs: 50,
      clock: systemClock,
      handle: (_request, response) => response.end('hello'),
      upgrade: (_request, socket) => socket.destroy(),
    })
    ends.push(() => listener.close(0))
    const socket = connect(listener.port, '127.0.0.1')
    ends.push(() => socket.destroy())
    socket.on('error', () => {})
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1')
    })
    const closed = once(socket, 'close')
    await behind(socket)
    await closed
    return answer
  }

  test('a viewer whose header does not end is cut', async () => {
    const answer = await slow(async (socket) => socket.write('GET /a HTTP/1.1\r\nX: '))()
    expect(answersIn(answer)).toEqual(['HTTP/1.1 408'])
  })

  test('so is one whose second header does not', async () => {
    const answer = await slow(async (socket) => {
      socket.write(hit)
      await once(socket, 'data')
      socket.write('GET /a HT')
    })()
    expect(answersIn(answer)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 408'])
  })

  test('an origin that begins an answer and says no more is given up', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nX: '))
    })
    const edge = await edgeOf({ origins: [await originAt(server, 50)] })
    expect((await edge.ask('/a')).status).toBe(504)
  })
})

/** Sends without end until the connection takes no more for a while of the event loop. */
async function flood(port: number, field: string) {
  const socket = connect(port, '127.0.0.1')
  ends.push(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(`POST /a HTTP/1.1\r\nHost: x\r\n${field}\r\n\r\n`)
  const chunk = Buffer.alloc(64 * 1024)
  const pour = () => {
    while (socket.bytesWritten - socket.writableLength < 256 * 1024 * 1024 && socket.write(chunk));
  }
  socket.on('drain', pour)
  pour()
  let before = -1
  for (let still = 0; still < 200; still++) {
    await new Promise((resolve) => setImmediate(resolve))
    const now = socket.bytesWritten - socket.writableLength
    if (now !== before) still = 0
    before = now
  }
  return { socket, taken: () => socket.bytesWritten - socket.writableLength }
}
