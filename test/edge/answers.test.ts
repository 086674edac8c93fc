import { get } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

test('the second viewer of a page is answered from the cache with Age and Cache-Status', async () => {
  const origin = scriptedOrigin('site', () =>
    message(200, { 'content-type': 'text/html', 'cache-control': 'max-age=60' }, text('hello')),
  )
  edge = await startEdge({ origins: [origin] })

  const first = await edge.ask('/a.html')
  await edge.clock.advance(5000)
  const second = await edge.ask('/a.html')

  expect(first).toMatchObject({ status: 200, text: 'hello' })
  expect(first.headers).toMatchObject({
    'content-type': 'text/html',
    'content-length': '5',
    'cache-status': 'nearcast; fwd=uri-miss; stored; ttl=60',
    'x-cache': 'Miss from nearcast',
    via: '1.1 nearcast',
  })
  expect(first.headers.age).toBeUndefined()
  expect(second).toMatchObject({ status: 200, text: 'hello' })
  expect(second.headers).toMatchObject({
    age: '5',
    'cache-status': 'nearcast; hit; ttl=55',
    'x-cache': 'Hit from nearcast',
    date: first.headers.date,
  })
  expect(second.headers['x-nearcast-request-id']).not.toBe(first.headers['x-nearcast-request-id'])
  expect(origin.requests).toHaveLength(1)
})

test.each([
  [
    'a list',
    'OriginCache; hit; ttl=30, "Shield"; fwd=miss',
    'OriginCache; hit; ttl=30, "Shield"; fwd=miss, ',
  ],
  ['two lines', ['OriginCache; hit', 'Shield; fwd=miss'], 'OriginCache; hit, Shield; fwd=miss, '],
  ['no list', 'HIT from cache.example (squid)', ''],
])(
  'what caches behind it said stands before its own member: %s (RFC 9211 §2)',
  async (_, said, kept) => {
    const origin = scriptedOrigin('site', ({ path }) =>
      message(
        200,
        { 'cache-status': said, 'cache-control': path === '/a' ? 'max-age=60' : 'no-store' },
        text('hello'),
      ),
    )
    edge = await startEdge({ origins: [origin] })

    const statusOf = async (path: string) => (await edge.ask(path)).headers['cache-status']
    expect(await statusOf('/a')).toBe(`${kept}nearcast; fwd=uri-miss; stored; ttl=60`)
    expect(await statusOf('/a')).toBe(`${kept}nearcast; hit; ttl=60`)
    expect(await statusOf('/b')).toBe(`${kept}nearcast; fwd=uri-miss`)
  },
)

test('HEAD on a cold object asks the origin for its head only, and GET afterwards is a fetch of its own', async () => {
  const origin = scriptedOrigin('site', ({ method }) =>
    message(
      200,
      { 'content-type': 'text/plain', 'content-length': '5' },
      method === 'HEAD' ? null : text('hello'),
    ),
  )
  edge = await startEdge({ origins: [origin] })

  const head = await edge.ask('/a', { method: 'HEAD' })
  const get = await edge.ask('/a')
  const warmHead = await edge.ask('/a', { method: 'HEAD' })

  expect(head).toMatchObject({ status: 200, text: '' })
  expect(head.headers['content-length']).toBe('5')
  expect(get.text).toBe('hello')
  expect(warmHead.headers).toMatchObject({ 'content-length': '5', 'x-cache': 'Hit from nearcast' })
  expect(origin.requests.map((request) => request.method)).toEqual(['HEAD', 'GET'])
})

test('HEAD of an object with a strong etag is remembered, and GET then fills it', async () => {
  const store = openMemoryStore({ clock: new FakeClock() })
  await store.write('a.bin', Buffer.alloc(5000, 7), { signal: new AbortController().signal })
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)] })

  await edge.ask('/a.bin', { method: 'HEAD' })
  const again = await edge.ask('/a.bin', { method: 'HEAD' })
  const get = await edge.ask('/a.bin')

  expect(again.headers).toMatchObject({
    'x-cache': 'Hit from nearcast',
    'content-length': '5000',
  })
  expect(get.body.equals(Buffer.alloc(5000, 7))).toBe(true)
})

// RFC 9110 §14.
test.each([
  ['bytes=0-1', 206, 'he', 'bytes 0-1/11'],
  ['bytes=6-', 206, 'world', 'bytes 6-10/11'],
  ['bytes=-5', 206, 'world', 'bytes 6-10/11'],
  ['bytes=8-99', 206, 'rld', 'bytes 8-10/11'],
  ['bytes=4-5,0-1', 200, 'hello world', undefined],
  ['bytes=5-2', 200, 'hello world', undefined],
  ['items=0-1', 200, 'hello world', undefined],
  ['bytes=11-', 416, undefined, 'bytes */11'],
  ['bytes=-0', 416, undefined, 'bytes */11'],
])('Range: %s is answered %i, cold and warm', async (range, status, body, contentRange) => {
  const store = openMemoryStore({ clock: new FakeClock() })
  await store.write('a.txt', text('hello world'), { signal: new AbortController().signal })
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)] })

  for (const _ of ['cold', 'warm']) {
    const answer = await edge.ask('/a.txt', { headers: { range } })
    expect(answer.status).toBe(status)
    if (body !== undefined) expect(answer.text).toBe(body)
    expect(answer.headers['content-range']).toBe(contentRange)
  }
  const whole = await edge.ask('/a.txt')
  expect(whole).toMatchObject({ status: 200, text: 'hello world' })
})

// RFC 9110 §14.6.
test('several ranges are answered in parts, cold and warm', async () => {
  const store = openMemoryStore({ clock: new FakeClock() })
  await store.write('a.txt', text('hello world'), { signal: new AbortController().signal })
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)] })

  for (const _ of ['cold', 'warm']) {
    const answer = await edge.ask('/a.txt', { headers: { range: 'bytes=0-1,4-5,-3' } })
    expect(answer.status).toBe(206)
    expect(answer.headers['content-range']).toBeUndefined()
    const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(
      String(answer.headers['content-type']),
    )?.[1]
    const part = (range: string, bytes: string) =>
      `--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes ${range}/11\r\n\r\n${bytes}\r\n`
    const parts = part('0-1', 'he') + part('4-5', 'o ') + part('8-10', 'rld')
    expect(answer.text).toBe(`${parts}--${boundary}--\r\n`)
    expect(answer.headers['content-length']).toBe(`${answer.text.length}`)
  }
})

describe('a cold range at a web server', () => {
  const whole = text('hello world')
  const ranged = (fields: Record<string, string>) =>
    scriptedOrigin('site', ({ headers }) => {
      const match = /^bytes=(\d+)-(\d+)$/.exec(String(headers['range']))
      if (!match) return message(200, { 'cache-control': 'max-age=60', ...fields }, whole)
      const [start, end] = [Number(match[1]), Number(match[2])]
      const range = { 'content-range': `bytes ${start}-${end}/11`, 'cache-control': 'max-age=60' }
      return message(206, { ...range, ...fields }, whole.subarray(start, end + 1))
    })

  test('is asked for as it is, kept, and completed by its strong etag', async () => {
    const origin = ranged({ etag: '"e"' })
    edge = await startEdge({ origins: [origin] })
    expect((await edge.ask('/a', { headers: { range: 'bytes=6-8' } })).text).toBe('wor')
    expect((await edge.ask('/a', { headers: { range: 'bytes=7-8' } })).text).toBe('or')
    const all = await edge.ask('/a')
    expect(all).toMatchObject({ status: 200, text: 'hello world' })
    expect(all.headers['content-range']).toBeUndefined()
    expect(origin.requests.map((request) => request.headers['range'])).toEqual([
      'bytes=6-8',
      'bytes=0-5',
      'bytes=9-10',
    ])
  })

  test('without a strong etag goes to the one who asked', async () => {
    const origin = ranged({})
    edge = await startEdge({ origins: [origin] })
    for (const _ of [1, 2]) {
      const answer = await edge.ask('/a', { headers: { range: 'bytes=6-8' } })
      expect(answer).toMatchObject({ status: 206, text: 'wor' })
      expect(answer.headers['content-range']).toBe('bytes 6-8/11')
    }
    expect(origin.requests).toHaveLength(2)
    expect((await edge.ask('/a')).text).toBe('hello world')
  })

  test('with If-Range is fetched whole, since the edge decides whether it holds', async () => {
    const origin = ranged({})
    edge = await startEdge({ origins: [origin] })
    const headers = { range: 'bytes=6-8', 'if-range': '"other"' }
    expect(await edge.ask('/a', { headers })).toMatchObject({ status: 200, text: 'hello world' })
    expect(origin.requests.map((request) => request.headers['range'])).toEqual([undefined])
  })
})

describe('with semantics: rfc', () => {
  const behaviors = [{ semantics: 'rfc' as const, methods: 'all' as const }]

  test('everything of the request reaches the origin, and its Vary chooses', async () => {
    const origin = scriptedOrigin('site', ({ headers }) =>
      message(200, { 'cache-control': 'max-age=60', vary: 'Foo' }, text(String(headers['foo']))),
    )
    edge = await startEdge({ origins: [origin], behaviors })
    const ask = (foo: string) => edge.ask('/a', { headers: { foo, 'x-other': foo } })
    expect((await ask('1')).text).toBe('1')
    expect((await ask('2')).text).toBe('2')
    expect((await ask('1')).headers['x-cache']).toBe('Hit from nearcast')
    expect(origin.requests[0]?.headers).toMatchObject({ foo: '1', 'x-other': '1' })
    expect(origin.requests).toHaveLength(2)
  })

  test('requests that mean the same share a variant', async () => {
    const origin = scriptedOrigin('site', () =>
      message(200, { 'cache-control': 'max-age=60', vary: 'Accept-Language, Foo' }, text('x')),
    )
    edge = await startEdge({ origins: [origin], behaviors })
    const ask = async (language: string, foo: string) =>
      (await edge.ask('/a', { headers: { 'accept-language': language, foo } })).headers['x-cache']
    expect(await ask('en, de;q=0.5', 'a, b')).toBe('Miss from nearcast')
    expect(await ask('DE;q=0.50,EN', 'a,b')).toBe('Hit from nearcast')
    expect(await ask('de, en;q=0.5', 'a,b')).toBe('Miss from nearcast')
  })

  test('CDN-Cache-Control decides in place of Cache-Control, and both are passed on', async () => {
    const origin = scriptedOrigin('site', () =>
      message(200, { 'cache-control': 'no-store', 'cdn-cache-control': 'max-age=60' }, text('x')),
    )
    edge = await startEdge({ origins: [origin], behaviors })
    await edge.ask('/a')
    const again = await edge.ask('/a')
    expect(again.headers).toMatchObject({
      'x-cache': 'Hit from nearcast',
      'cache-control': 'no-store',
      'cdn-cache-control': 'max-age=60',
    })
  })

  test('a method that nobody here knows goes to the origin and invalidates', async () => {
    let made = 0
    const origin = scriptedOrigin('site', () =>
      message(200, { 'cache-control': 'max-age=60' }, text(`${++made}`)),
    )
    edge = await startEdge({ origins: [origin], behaviors })
    expect((await edge.ask('/a')).text).toBe('1')
    expect((await edge.ask('/a', { method: 'M-SEARCH' })).status).toBe(200)
    expect((await edge.ask('/a')).text).toBe('3')
  })
})

test('hints that come before a kept answer reach the viewer who waits for it', async () => {
  const origin = scriptedOrigin('site', (request) => {
    request.onInformational?.(103, { link: '</a.css>; rel=preload', 'x-more': '1' })
    return message(200, { 'cache-control': 'max-age=60' }, text('x'))
  })
  edge = await startEdge({ origins: [origin] })
  const hints: unknown[] = []
  const request = get(`${edge.url}/a`)
  request.on('information', ({ statusCode, headers }) => hints.push([statusCode, headers]))
  await new Promise((resolve) => request.on('response', (r) => r.resume().on('end', resolve)))
  expect(hints).toEqual([[103, { link: '</a.css>; rel=preload', 'x-more': '1' }]])
})

test('If-Range with another etag or date is answered with the whole (RFC 9110 §13.1.5)', async () => {
  const store = openMemoryStore({ clock: new FakeClock() })
  await store.write('a.txt', text('hello world'), { signal: new AbortController().signal })
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)] })
  const whole = await edge.ask('/a.txt')
  const etag = String(whole.headers.etag)

  const holds = await edge.ask('/a.txt', { headers: { range: 'bytes=0-1', 'if-range': etag } })
  const fails = await edge.ask('/a.txt', { headers: { range: 'bytes=0-1', 'if-range': '"no"' } })

  expect(holds).toMatchObject({ status: 206, text: 'he' })
  expect(fails).toMatchObject({ status: 200, text: 'hello world' })
})

test('conditions are evaluated at the edge: 304 without content fields, 412 (RFC 9110 §13)', async () => {
  const origin = scriptedOrigin('site', () =>
    message(
      200,
      {
        etag: '"v1"',
        'last-modified': 'Wed, 01 Jan 2025 00:00:00 GMT',
        'content-type': 'text/plain',
        'cache-control': 'max-age=60',
      },
      text('hello'),
    ),
  )
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  const ask = (headers: Record<string, string>) => edge.ask('/a', { headers })

  const match = await ask({ 'if-none-match': 'W/"v0", W/"v1"' })
  const since = await ask({ 'if-modified-since': 'Wed, 01 Jan 2025 00:00:00 GMT' })
  const newer = await ask({ 'if-none-match': '"v0"' })
  const failed = await ask({ 'if-match': '"v0"' })

  expect(match).toMatchObject({ status: 304, text: '' })
  expect(match.headers).toMatchObject({ etag: '"v1"', 'cache-control': 'max-age=60' })
  expect(match.headers['content-type']).toBeUndefined()
  expect(since.status).toBe(304)
  expect(newer).toMatchObject({ status: 200, text: 'hello' })
  expect(failed.status).toBe(412)
  expect(origin.requests).toHaveLength(1)
})

test('hop-by-hop fields and those that Connection lists stay behind, in both directions (RFC 9110 §7.6.1)', async () => {
  const origin = scriptedOrigin('site', () =>
    message(
      200,
      { connection: 'x-secret', 'x-secret': '1', 'keep-alive': 'timeout=5', 'x-kept': '1' },
      text('x'),
    ),
  )
  edge = await startEdge({
    origins: [origin],
    behaviors: [
      { key: { query: 'none', queryOrder: 'kept', headers: ['x-a', 'te'], cookies: 'none' } },
    ],
  })

  const answer = await edge.ask('/a', { headers: { 'x-a': '1', 'x-b': '2', cookie: 'c=1' } })

  expect(answer.headers['x-secret']).toBeUndefined()
  expect(answer.headers['x-kept']).toBe('1')
  expect(origin.requests[0]?.headers).toMatchObject({ 'x-a': '1' })
  expect(origin.requests[0]?.headers['x-b']).toBeUndefined()
  expect(origin.requests[0]?.headers['cookie']).toBeUndefined()
})

test('stores and built-in origins may be read from any page; other origins say so themselves', async () => {
  const answer = () => message(200, { 'cache-control': 'max-age=60' }, text('x'))
  edge = await startEdge({
    origins: [scriptedOrigin('vod', answer), scriptedOrigin('app', answer)],
    behaviors: [
      { path: '/vod/*', origin: 'vod' },
      { path: '*', origin: 'app' },
    ],
  })
  const preflight = {
    origin: 'https://page.example',
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'range',
  }

  const open = await edge.ask('/vod/a')
  const options = await edge.ask('/vod/a', { method: 'OPTIONS', headers: preflight })
  const closed = await edge.ask('/a')
  const refused = await edge.ask('/a', { method: 'OPTIONS', headers: preflight })

  expect(open.headers).toMatchObject({
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'Age, Date, Content-Length, Content-Range',
  })
  expect(options.status).toBe(204)
  expect(options.headers['access-control-allow-methods']).toContain('GET')
  expect(options.headers['access-control-allow-headers']).toContain('Range')
  expect(closed.headers['access-control-allow-origin']).toBeUndefined()
  expect(refused.status).toBe(405)
})

test('a method that the behavior does not allow is 405 with Allow', async () => {
  edge = await startEdge({ origins: [scriptedOrigin('site', () => message(200))] })

  const answer = await edge.ask('/a', { method: 'POST', body: 'x' })

  expect(answer.status).toBe(405)
  expect(answer.headers.allow).toBe('GET, HEAD')
  expect(JSON.parse(answer.text)).toMatchObject({ code: 'method-not-allowed' })
})

test('`/` is the default root object, other folders are what the origin says', async () => {
  const origin = scriptedOrigin('site', ({ path }) => message(200, {}, text(path)))
  edge = await startEdge({ origins: [origin] })

  expect((await edge.ask('/')).text).toBe('/index.html')
  expect((await edge.ask('/index.html')).headers['x-cache']).toBe('Hit from nearcast')
  expect((await edge.ask('/folder/')).text).toBe('/folder/')
})

test('the default root object is asked for as a path is spelt, however it is configured', async () => {
  const origin = scriptedOrigin('site', ({ path }) => message(200, {}, text(path)))
  edge = await startEdge({ origins: [origin], defaultRootObject: 'café home.html' })

  expect((await edge.ask('/')).text).toBe('/caf%C3%A9%20home.html')
  expect((await edge.ask('/caf%c3%a9%20home.html')).headers['x-cache']).toBe('Hit from nearcast')
})

test('the first behavior that matches chooses the origin, and takes `strip` off the path', async () => {
  const media = scriptedOrigin('media', ({ path }) => message(200, {}, text(`media ${path}`)))
  const site = scriptedOrigin('site', ({ path }) => message(200, {}, text(`site ${path}`)))
  edge = await startEdge({
    origins: [media, site],
    behaviors: [
      { path: '/media/*', origin: 'media', strip: '/media' },
      { path: '*', origin: 'site' },
    ],
  })

  expect((await edge.ask('/media/a/b.mp4')).text).toBe('media /a/b.mp4')
  expect((await edge.ask('/mediafile')).text).toBe('site /mediafile')
})

test('an unknown host is told so, a browser with a page, a program with JSON', async () => {
  edge = await startEdge({ origins: [], hosts: ['cdn.example.com'] })

  const program = await edge.ask('/a', { headers: { host: 'other.example' } })
  const browser = await edge.ask('/a', { headers: { accept: 'text/html,*/*' } })

  expect(program.status).toBe(404)
  expect(JSON.parse(program.text)).toMatchObject({
    code: 'not-found',
    message: 'no distribution has this host name',
    requestId: program.headers['x-nearcast-request-id'],
  })
  expect(browser.headers['content-type']).toBe('text/html; charset=utf-8')
  expect(browser.text).toContain('<h1>404 Not Found</h1>')
})

test.each(['/a/../b', '/%2e%2E/b', '/a%00b', '/%zz', '/a%2f..%2fb', '/a\\..\\b', '/a/./b'])(
  'the path %s is refused before anybody reads it',
  async (path) => {
    const origin = scriptedOrigin('site', () => message(200))
    edge = await startEdge({ origins: [origin] })

    expect((await edge.ask(path)).status).toBe(400)
    expect(origin.requests).toHaveLength(0)
  },
)

test('Vary on a field that the origin never sees does not split what is stored', async () => {
  const origin = scriptedOrigin('site', () =>
    message(200, { vary: 'Accept-Encoding, Origin', 'cache-control': 'max-age=60' }, text('x')),
  )
  edge = await startEdge({ origins: [origin] })

  await edge.ask('/a', { headers: { 'accept-encoding': 'gzip' } })
  const second = await edge.ask('/a', { headers: { 'accept-encoding': 'br', origin: 'null' } })

  expect(second.headers['x-cache']).toBe('Hit from nearcast')
  expect(origin.requests[0]?.headers['accept-encoding']).toBeUndefined()
})

test('a header in the key is forwarded and has its own answers; conditions never reach the origin, ranges when cold', async () => {
  const origin = scriptedOrigin('site', ({ headers }) =>
    message(
      200,
      { vary: 'Accept-Language', 'cache-control': 'max-age=60' },
      text(`lang ${String(headers['accept-language'])}`),
    ),
  )
  edge = await startEdge({
    origins: [origin],
    behaviors: [
      {
        key: {
          query: 'none',
          queryOrder: 'kept',
          headers: ['Accept-Language', 'Range'],
          cookies: 'none',
        },
      },
    ],
  })
  const ask = (lang: string) =>
    edge.ask('/a', {
      headers: { 'accept-language': lang, range: 'bytes=0-3', 'if-none-match': '"x"' },
    })

  expect((await ask('de')).text).toBe('lang')
  expect((await ask('fr')).status).toBe(206)
  expect((await ask('de')).headers['x-cache']).toBe('Hit from nearcast')
  expect(origin.requests.map((r) => r.headers)).toEqual([
    { 'accept-language': 'de', range: 'bytes=0-3' },
    { 'accept-language': 'fr', range: 'bytes=0-3' },
  ])
})

test('an answer with Vary: * is for one viewer', async () => {
  const origin = scriptedOrigin('site', () => message(200, { vary: '*' }, text('x')))
  edge = await startEdge({ origins: [origin] })

  await edge.ask('/a')
  const second = await edge.ask('/a')

  expect(second.headers['cache-status']).toBe('nearcast; fwd=uri-miss')
  expect(origin.requests).toHaveLength(2)
})

test('an error page stands in for an error under the status that was chosen', async () => {
  const origin = scriptedOrigin('site', ({ path }) =>
    path === '/404.html'
      ? message(200, { 'content-type': 'text/html' }, text('<p>gone</p>'))
      : message(404, { 'content-type': 'text/plain' }, text('not here')),
  )
  edge = await startEdge({
    origins: [origin],
    behaviors: [
      { path: '/app/*', errors: { 404: { page: '/404.html', as: 200 } } },
      { path: '*', errors: { 404: { page: '/404.html', ttl: 30 } } },
    ],
  })

  const page = await edge.ask('/x')
  const app = await edge.ask('/app/x')
  await edge.clock.advance(29_000)
  await edge.ask('/x')

  expect(page).toMatchObject({ status: 404, text: '<p>gone</p>' })
  expect(page.headers['x-cache']).toBe('Error from nearcast')
  expect(page.headers['content-type']).toBe('text/html')
  expect(app).toMatchObject({ status: 200, text: '<p>gone</p>' })
  expect(origin.requests.filter((request) => request.path === '/x')).toHaveLength(1)
})

test('what only the first viewer may see is not given to the others', async () => {
  const origin = scriptedOrigin('site', () =>
    message(200, { 'set-cookie': 'id=1', 'cache-control': 'max-age=60' }, text('x')),
  )
  edge = await startEdge({ origins: [origin] })

  const first = await edge.ask('/a')
  const second = await edge.ask('/a')

  expect(first.headers['set-cookie']).toEqual(['id=1'])
  expect(second.headers['x-cache']).toBe('Hit from nearcast')
  expect(second.headers['set-cookie']).toBeUndefined()
})

test('the access log has a record of each request', async () => {
  edge = await startEdge({ origins: [scriptedOrigin('site', () => message(200, {}, text('abc')))] })

  await edge.ask('/a?b=1', { headers: { 'user-agent': 'test/1', range: 'bytes=0-1' } })
  await expect.poll(() => edge.records.length).toBe(1)

  expect(edge.records[0]).toMatchObject({
    edge: 'test',
    method: 'GET',
    target: '/a?b=1',
    status: 206,
    bytes: 2,
    result: 'Miss',
    complete: true,
    userAgent: 'test/1',
    range: 'bytes=0-1',
  })
})

test.each([
  ['none', {}],
  ['one that is no range', { 'content-range': 'bytes 5-2/9' }],
  ['parts of several', { 'content-type': 'multipart/byteranges; boundary=b' }],
])(
  'a part whose place is not said (%s) is no answer: the whole is asked for',
  async (_, fields) => {
    const origin = scriptedOrigin('site', ({ headers }) =>
      headers['range'] === undefined
        ? message(200, { 'cache-control': 'max-age=60' }, text('hello world'))
        : message(206, { ...fields, etag: '"v"' }, text('wor')),
    )
    edge = await startEdge({ origins: [origin] })
    const answer = await edge.ask('/a', { headers: { range: 'bytes=6-8' } })
    expect(answer).toMatchObject({ status: 206, text: 'wor' })
    expect(answer.headers['content-range']).toBe('bytes 6-8/11')
    expect(origin.requests).toHaveLength(2)
  },
)

test.each([206, 304])('an origin that answers %i unasked has failed', async (status) => {
  const origin = scriptedOrigin('site', () =>
    message(status, { 'content-range': 'bytes 0-4/99' }, status === 304 ? null : text('hello')),
  )
  edge = await startEdge({ origins: [origin] })

  expect(await edge.ask('/a')).toMatchObject({ status: 502 })
})

// RFC 9110 §10.2.3.
test('an origin that asks to be left alone is, with the stale answer and without', async () => {
  let up = true
  const origin = scriptedOrigin('site', () =>
    up
      ? message(200, { 'cache-control': 'max-age=1' }, text('good'))
      : message(503, { 'retry-after': '120' }, text('busy')),
  )
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  up = false
  await edge.clock.advance(2000)
  expect((await edge.ask('/a')).text).toBe('good')
  expect((await edge.ask('/b')).status).toBe(503)
  up = true
  await edge.clock.advance(100_000)
  await edge.ask('/a')
  expect((await edge.ask('/b')).headers['retry-after']).toBe('120')
  expect(origin.requests).toHaveLength(3)
  await edge.clock.advance(21_000)
  expect((await edge.ask('/b')).text).toBe('good')
})
