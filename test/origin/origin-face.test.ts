import { once } from 'node:events'
import { createServer, request as requestHttp } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { connectParent, type Parent, type ParentDeps } from '../../server/edge/connect-parent.ts'
import type {
  Fields,
  Origin,
  OriginMessage,
  OriginRequest,
  OriginResponse,
} from '../../server/http/message.ts'
import { collect } from '../../server/lib/bytes.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { silentLog } from '../../server/lib/log.ts'
import { type OriginFaceDeps, startOriginFace } from '../../server/origin/origin-face.ts'
import { headText } from '../../server/origin/write-answer.ts'
import { FakeClock } from '../support/fake-clock.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startPair(
  deps: Partial<OriginFaceDeps> = {},
  parentDeps: Partial<ParentDeps> = {},
): Promise<{ parent: Parent; url: string }> {
  const face = await startOriginFace({
    host: '127.0.0.1',
    port: 0,
    token: 'secret',
    origins: () => [],
    tail: () => undefined,
    changes: async function* () {},
    clock: systemClock,
    log: silentLog,
    ...deps,
  })
  const url = `http://127.0.0.1:${face.port}`
  const parent = connectParent({
    url,
    token: 'secret',
    clock: systemClock,
    log: silentLog,
    ...parentDeps,
  })
  cleanups.push(() => face.close())
  cleanups.push(() => parent.close())
  return { parent, url }
}

const originOf = (fetch: Origin['fetch']): Origin => ({
  id: 'my site',
  fetch,
  caching: 'shared',
  ranges: true,
  keyQuery: ['from'],
})
const ask = (more: Partial<OriginRequest> = {}): OriginRequest => ({
  method: 'GET',
  path: '/',
  query: '',
  headers: {},
  body: null,
  signal: new AbortController().signal,
  ...more,
})
const answer = (
  body: OriginMessage['body'],
  headers: Fields = {},
  status = 200,
): OriginMessage => ({
  kind: 'message',
  status,
  headers,
  body,
})

/** The one origin of `fetch`, as a remote edge sees it. */
async function remote(fetch: Origin['fetch'], parentDeps: Partial<ParentDeps> = {}) {
  const { parent } = await startPair({ origins: () => [originOf(fetch)] }, parentDeps)
  const [origin] = await parent.origins()
  if (!origin) throw new Error('no origin')
  return origin
}

function bodyOf(response: OriginResponse): AsyncIterable<Uint8Array> {
  if (response.kind !== 'message' || response.body === null) throw new Error('no body')
  if (response.body instanceof Uint8Array || Array.isArray(response.body))
    throw new Error('a remote body is a stream')
  return response.body as AsyncIterable<Uint8Array>
}

describe('an origin at the other end of the wire', () => {
  it('is listed with its traits', async () => {
    const origin = await remote(async () => answer(null))
    expect(origin).toMatchObject({
      id: 'my site',
      caching: 'shared',
      ranges: true,
      keyQuery: ['from'],
    })
  })

  it('sees the request as the viewer sent it, and no field of the wire', async () => {
    const seen: OriginRequest[] = []
    const origin = await remote(async (request) => {
      seen.push(request)
      return answer(Buffer.from('ok'))
    })
    const response = await origin.fetch(
      ask({
        path: '/a%2Fb//c%20d',
        query: 'x=1&&y=%C3%A9',
        headers: {
          host: 'films.example',
          range: 'bytes=5-',
          'if-match': '"e1"',
          cookie: 'a=1',
          'x-two': ['1', '2'],
          connection: 'x-hop',
          'x-hop': '1',
          'nearcast-token': 'forged',
        },
        minChange: 'abc:7',
      }),
    )
    expect((await collect(bodyOf(response))).toString()).toBe('ok')
    expect(seen[0]).toMatchObject({
      method: 'GET',
      path: '/a%2Fb//c%20d',
      query: 'x=1&&y=%C3%A9',
      minChange: 'abc:7',
    })
    expect(seen[0]?.body).toBeNull()
    expect(seen[0]?.headers).toEqual({
      host: 'films.example',
      range: 'bytes=5-',
      'if-match': '"e1"',
      cookie: 'a=1',
      'x-two': '1, 2',
    })
  })

  it('answers with its own status, fields and bytes', async () => {
    const origin = await remote(async () =>
      answer(
        [Buffer.from('ab'), Buffer.from('cd')],
        {
          etag: '"e"',
          'content-range': 'bytes 0-3/9',
          'set-cookie': ['a=1', 'b=2'],
          connection: 'close',
          'nearcast-error': 'internal',
        },
        206,
      ),
    )
    const response = await origin.fetch(ask())
    expect(response).toMatchObject({
      status: 206,
      headers: { etag: '"e"', 'content-range': 'bytes 0-3/9', 'content-length': '4' },
    })
    expect(response.headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(response.headers['date']).toBeUndefined()
    expect(response.headers['connection']).toBeUndefined()
    expect((await collect(bodyOf(response))).toString()).toBe('abcd')
  })

  it('answers HEAD and 304 without a body and keeps the connection', async () => {
    const origin = await remote(async ({ method }) =>
      method === 'HEAD' ? answer(null, { 'content-length': '12345' }) : answer(null, {}, 304),
    )
    const head = await origin.fetch(ask({ method: 'HEAD' }))
    expect(head).toMatchObject({ status: 200, body: null, headers: { 'content-length': '12345' } })
    expect(await origin.fetch(ask())).toMatchObject({ status: 304, body: null })
  })

  it('gets a streamed upload and answers while it runs', async () => {
    const origin = await remote(async ({ body, method }) => answer(body, { 'x-method': method }))
    const upload = new PassThrough()
    upload.write('first ')
    const response = await origin.fetch(ask({ method: 'PUT', body: upload }))
    upload.end('second')
    expect((await collect(bodyOf(response))).toString()).toBe('first second')
    expect(response.headers['x-method']).toBe('PUT')
  })

  it('passes early hints on before the answer', async () => {
    const origin = await remote(async ({ onInformational }) => {
      onInformational?.(103, { link: '</a.css>; rel=preload', 'x-bad': 'a\r\nx-evil: 1' })
      return answer(Buffer.from('x'))
    })
    const hints: [number, Fields][] = []
    const response = await origin.fetch(
      ask({ onInformational: (status, fields) => hints.push([status, fields]) }),
    )
    await collect(bodyOf(response))
    expect(hints).toEqual([[103, { link: '</a.css>; rel=preload' }]])
  })

  it('throws the same error here as there, without saying its code twice', async () => {
    const origin = await remote(async () => {
      throw new NearcastError('object-changed', 'intro.mp4: expected "a1", got "b2"')
    })
    await expect(origin.fetch(ask())).rejects.toMatchObject({
      code: 'object-changed',
      message: 'object-changed: intro.mp4: expected "a1", got "b2"',
    })
    await expect(origin.fetch(ask({ method: 'HEAD' }))).rejects.toMatchObject({
      code: 'object-changed',
    })
  })

  it('hides what broke inside it', async () => {
    const origin = await remote(async () => {
      throw new Error('password is 123')
    })
    await expect(origin.fetch(ask())).rejects.toMatchObject({
      message: 'internal: the origin could not answer',
    })
  })

  it('is told when the viewer leaves before the answer', async () => {
    const began = deferred<AbortSignal>()
    const origin = await remote(async ({ signal }) => {
      began.resolve(signal)
      await once(signal, 'abort')
      throw signal.reason
    })
    const leaving = new AbortController()
    const asked = origin.fetch(ask({ signal: leaving.signal }))
    const theirs = await began.promise
    leaving.abort(new Error('the viewer left'))
    await expect(asked).rejects.toThrow('the viewer left')
    if (!theirs.aborted) await once(theirs, 'abort')
  })

  it('lets go of a body that nobody may read', async () => {
    const body = new PassThrough()
    const origin = await remote(async () => answer(body))
    await origin.fetch(ask({ method: 'HEAD' }))
    expect(body.destroyed).toBe(true)
  })

  it('is told when the viewer leaves in the middle of the body', async () => {
    const stopped = deferred<string>()
    const origin = await remote(async ({ signal }) => {
      const endless = async function* () {
        try {
          while (!signal.aborted) {
            yield Buffer.alloc(64 * 1024)
            await new Promise((resolve) => setImmediate(resolve))
          }
        } finally {
          stopped.resolve('stopped')
        }
      }
      return answer(endless())
    })
    for await (const _ of bodyOf(await origin.fetch(ask()))) break
    expect(await stopped.promise).toBe('stopped')
  })

  it('waits for its viewer instead of filling memory', async () => {
    const MIB = 1024 * 1024
    let given = 0
    const origin = await remote(async () => {
      const large = async function* () {
        for (; given < 64 * MIB; given += MIB) yield Buffer.alloc(MIB)
      }
      return answer(large())
    })
    let taken = 0
    let ahead = 0
    for await (const bytes of bodyOf(await origin.fetch(ask()))) {
      taken += bytes.length
      ahead = Math.max(ahead, given - taken)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(taken).toBe(64 * MIB)
    // What the sockets of both ends hold.
    expect(ahead).toBeLessThan(24 * MIB)
  })

  it.each([
    ['shorter', '10', /^(.*\r\n\r\nabcdef)?$/s],
    ['longer', '2', /^$/],
  ])('breaks a body that is %s than its Content-Length says', async (_, length, sent) => {
    const { url } = await startPair({
      origins: () => [
        originOf(async () =>
          answer(
            (async function* () {
              yield Buffer.from('abcdef')
            })(),
            { 'content-length': length },
          ),
        ),
      ],
    })
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.write('GET /v1/o/my%20site/ HTTP/1.1\r\nhost: a\r\nnearcast-token: secret\r\n\r\n')
    const text = await collect(socket)
    // More than was announced would be the beginning of the next answer (RFC 9112 §6.3).
    expect(text.toString()).toMatch(sent)
  })

  it('breaks the body here when it breaks there', async () => {
    const arrived = deferred<void>()
    const origin = await remote(async () => {
      const cut = async function* () {
        yield Buffer.from('half')
        await arrived.promise
        throw new NearcastError('store-failed', 'cut short')
      }
      return answer(cut())
    })
    const response = await origin.fetch(ask())
    arrived.resolve()
    await expect(collect(bodyOf(response))).rejects.toMatchObject({ code: 'origin-failed' })
  })

  it('switches protocols through both processes', async () => {
    const echo = createServer()
    echo.on('upgrade', (_, socket) => {
      socket.write('HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n')
      socket.pipe(socket)
    })
    echo.listen(0, '127.0.0.1')
    await once(echo, 'listening')
    cleanups.push(async () => echo.close())
    const origin = await remote(
      ({ headers }) =>
        new Promise((resolve) => {
          const sent = requestHttp({
            port: (echo.address() as AddressInfo).port,
            headers: { connection: 'upgrade', upgrade: String(headers['upgrade']) },
          })
          sent.on('upgrade', (_, socket, head) =>
            resolve({ kind: 'upgrade', headers: { 'sec-websocket-accept': 'x' }, socket, head }),
          )
          sent.end()
        }),
    )
    const response = await origin.fetch(ask({ headers: { upgrade: 'websocket' } }))
    if (response.kind !== 'upgrade') throw new Error('no upgrade')
    expect(response.headers).toEqual({ 'sec-websocket-accept': 'x', upgrade: 'websocket' })
    response.socket.write('hello')
    const [echoed] = await once(response.socket, 'data')
    expect(String(echoed)).toBe('hello')
    response.socket.destroy()
  })

  it('ends an upgrade that its origin has not answered when the face closes', async () => {
    const began = deferred<AbortSignal>()
    const face = await startOriginFace({
      host: '127.0.0.1',
      port: 0,
      token: 'secret',
      origins: () => [
        originOf(async ({ signal }) => {
          began.resolve(signal)
          await once(signal, 'abort')
          throw signal.reason
        }),
      ],
      tail: () => undefined,
      changes: async function* () {},
      clock: { ...systemClock, after: (_, task) => systemClock.after(1, task) },
      log: silentLog,
    })
    const socket = connect(face.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(
      'GET /v1/o/my%20site/ HTTP/1.1\r\nhost: a\r\nnearcast-token: secret\r\n' +
        'connection: upgrade\r\nupgrade: websocket\r\n\r\n',
    )
    const signal = await began.promise
    await face.close()
    if (!signal.aborted) await once(signal, 'abort')
  })

  it('may refuse to switch protocols with a status of its own', async () => {
    const origin = await remote(async () => answer(Buffer.from('no'), {}, 403))
    const response = await origin.fetch(ask({ headers: { upgrade: 'websocket' } }))
    expect(response).toMatchObject({ kind: 'message', status: 403 })
  })
})

describe('the wire between two processes', () => {
  it('leaves out a field that would break out of its line, also one that becomes so as latin1', () => {
    const fields = { a: '1', b: '2\r\nx: 1', c: '3\u010d\u010ax: 1', d: 'caf\u00e9\t4' }
    const text = Buffer.from(headText(103, fields), 'latin1').toString('latin1')
    expect(text).toBe('HTTP/1.1 103 Early Hints\r\na: 1\r\nd: caf\u00e9\t4\r\n\r\n')
  })

  it('lets nobody in without the token', async () => {
    const { url } = await startPair()
    for (const headers of [{}, { 'nearcast-token': 'secre' }, { 'nearcast-token': '' }]) {
      const response = await fetch(`${url}/v1/origins`, { headers })
      expect(response.status).toBe(401)
    }
    const { parent } = await startPair({}, { token: 'wrong' })
    await expect(parent.origins()).rejects.toMatchObject({ code: 'origin-failed' })
  })

  it('does not listen to an upload without the token until it ends', async () => {
    const { url } = await startPair()
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.write('PUT /v1/o/x/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n')
    expect((await collect(socket)).toString()).toMatch(/^HTTP\/1\.1 401 /)
  })

  it('says where the parent was looked for when nobody is there', async () => {
    const parent = connectParent({
      url: 'http://127.0.0.1:1',
      token: 'secret',
      clock: systemClock,
      log: silentLog,
    })
    cleanups.push(() => parent.close())
    await expect(parent.origins()).rejects.toMatchObject({
      code: 'origin-unreachable',
      message: expect.stringContaining('127.0.0.1:1'),
    })
  })

  it('answers what it does not know with not-found', async () => {
    const { url } = await startPair()
    const headers = { 'nearcast-token': 'secret' }
    expect((await fetch(`${url}/`, { headers })).status).toBe(404)
    expect((await fetch(`${url}/v1/o/nope/x`, { headers })).status).toBe(404)
    expect((await fetch(`${url}/v1/o/%E0%A4%A/x`, { headers })).status).toBe(400)
    expect((await fetch(`${url}/v1/changes?after=%00`, { headers })).status).toBe(400)
  })
})

describe('a live tail', () => {
  it('brings the same bytes, whatever the names and the pieces', async () => {
    const pieces = [
      Buffer.from('header'),
      Buffer.alloc(0),
      Buffer.alloc(300_000, 7),
      Buffer.from('x'),
    ]
    const { parent } = await startPair({
      tail: (name) =>
        name === 'a/ü'
          ? (async function* () {
              yield* pieces
            })()
          : undefined,
    })
    const tail = await parent.tail('a/ü', new AbortController().signal)
    if (!tail) throw new Error('no tail')
    expect(Buffer.compare(await collect(tail), Buffer.concat(pieces))).toBe(0)
    expect(await parent.tail('other', new AbortController().signal)).toBeUndefined()
  })

  it('beats while the stream is silent', async () => {
    const clock = new FakeClock()
    const more = deferred<void>()
    const { url } = await startPair({
      clock,
      tail: () =>
        (async function* () {
          yield Buffer.from('a')
          await more.promise
        })(),
    })
    const response = await fetch(`${url}/v1/live/main/tail`, {
      headers: { 'nearcast-token': 'secret' },
    })
    const reader = response.body?.getReader()
    expect(Buffer.from((await reader?.read())?.value ?? [])).toEqual(Buffer.from([0, 0, 0, 1, 97]))
    await clock.advance(5000)
    expect(Buffer.from((await reader?.read())?.value ?? [])).toEqual(Buffer.alloc(4))
    more.resolve()
    expect((await reader?.read())?.done).toBe(true)
  })

  it('is given up when the parent does not even beat', async () => {
    const { parent } = await startPair(
      {
        clock: new FakeClock(),
        tail: (_, signal) =>
          (async function* () {
            yield Buffer.from('a')
            await once(signal, 'abort')
          })(),
      },
      { stallMs: 500 },
    )
    const tail = await parent.tail('main', new AbortController().signal)
    if (!tail) throw new Error('no tail')
    await expect(collect(tail)).rejects.toMatchObject({ code: 'origin-timeout' })
  })

  it('ends there when the edge leaves it', async () => {
    const ended = deferred<void>()
    const { parent } = await startPair({
      tail: (_, signal) =>
        (async function* () {
          signal.addEventListener('abort', () => ended.resolve())
          yield Buffer.from('a')
          await ended.promise
        })(),
    })
    const tail = await parent.tail('main', new AbortController().signal)
    for await (const _ of tail ?? []) break
    await ended.promise
  })
})

describe('what an edge has applied', () => {
  it('is told to whoever wants to know, and to nobody without the token', async () => {
    const said: unknown[] = []
    const { parent, url } = await startPair({ applied: (one) => said.push(one) })
    const { signal } = new AbortController()
    await parent.acknowledge({ edge: 'perth', by: 'a1', at: 'e1:12', leaving: false }, signal)
    expect(said).toEqual([{ edge: 'perth', process: 'a1', epoch: 'e1', seq: 12 }])
    const path = `${url}/v1/edges/perth/applied?at=e1:13&by=a1`
    expect((await fetch(path, { method: 'PUT' })).status).toBe(401)
    const headers = { 'nearcast-token': 'secret' }
    expect((await fetch(path, { headers })).status).toBe(405)
    const wrong = path.replace('e1:13', '13')
    expect((await fetch(wrong, { method: 'PUT', headers })).status).toBe(400)
    expect(said).toHaveLength(1)
  })
})
