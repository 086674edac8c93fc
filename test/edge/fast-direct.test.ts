import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { deferred } from '../../server/lib/deferred.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import type { OriginMessage, OriginRequest } from '../../server/http/message.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'
import { get, lasting, type Line, openLine } from '../support/raw-line.ts'

let edge: EdgeFixture
const open: Socket[] = []
afterEach(async () => {
  for (const socket of open.splice(0)) socket.destroy()
  await edge.close()
})

async function line(): Promise<Line> {
  const opened = await openLine(edge.port)
  open.push(opened.socket)
  return opened
}

const PLAYLIST = { 'content-type': 'application/vnd.apple.mpegurl', 'cache-control': 'max-age=6' }

const REFUSAL = {
  'content-type': 'application/json',
  'content-length': '45',
  'cache-control': 'no-store',
}

function live(
  answer: (request: OriginRequest, count: number) => OriginMessage | Promise<OriginMessage>,
) {
  return scriptedOrigin('live', answer, { caching: 'none' })
}

const startLive = (...[answer]: Parameters<typeof live>) =>
  startEdge({ origins: [live(answer)], behaviors: [{ origin: 'live' }] })

/** The same request in words that node:http has to read. */
const slowly = (path: string, more = '') => get(path, `If-None-Match: "x"\r\n${more}`)

test.each([
  ['a playlist', '/a.m3u8?_HLS_msn=1', () => message(200, PLAYLIST, [text('#EXT'), text('M3U')])],
  ['media', '/a.m4s', () => message(200, { 'content-type': 'video/mp4' }, text('bytes'))],
  ['a refusal', '/b.m3u8', () => message(404, { 'cache-control': 'no-store' }, text('{}'))],
  [
    'a refusal with a reason',
    '/g.m3u8',
    () => message(404, REFUSAL, text('{"code":"stream-not-live","message":"nobody"}')),
  ],
  ['nothing', '/c.m4s', () => message(200, {}, null)],
  [
    'a body that comes bit by bit',
    '/d.m4s',
    () => message(200, { 'content-length': '4' }, pieces('ab', 'cd')),
  ],
  [
    'an origin that is ill',
    '/e.m3u8',
    () => {
      throw new NearcastError('unavailable', 'later')
    },
  ],
  [
    'a defect',
    '/f.m3u8',
    () => {
      throw new TypeError('no such thing')
    },
  ],
] as const)(
  '%s of a live stream is answered as node:http answers it, field for field',
  async (_, path, answer) => {
    edge = await startLive(answer)
    const [slow, fast] = [await line(), await line()]
    const [usual] = await slow.ask(slowly(path))
    const [quick] = await fast.ask(get(path))
    const [again] = await fast.ask(get(path))
    if (!usual || !quick || !again) throw new Error('no answers')
    const timeless = (fields: readonly string[]) =>
      fields.filter((field) => !field.startsWith('Date: '))
    for (const one of [quick, again]) {
      expect(lasting(one).body).toBe(lasting(usual).body)
      expect(one.status).toBe(usual.status)
      expect(timeless(lasting(one).fields)).toEqual(timeless(lasting(usual).fields))
      expect(one.fields.some((field) => field.startsWith('Date: '))).toBe(true)
    }
    expect(edge.records.map(({ status, bytes, result }) => ({ status, bytes, result }))).toEqual(
      Array.from(
        { length: 3 },
        () => edge.records.map(({ status, bytes, result }) => ({ status, bytes, result }))[0],
      ),
    )
  },
)

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const one of texts) yield text(one)
}

test('a blocked reload holds its connection and no other', async () => {
  const gate = deferred()
  edge = await startLive(async ({ query }) => {
    if (query !== '') await gate.promise
    return message(200, PLAYLIST, text(query === '' ? 'now' : 'later'))
  })
  const [waiting, other] = [await line(), await line()]
  const held = waiting.ask(get('/a.m3u8?_HLS_msn=7') + get('/a.m3u8'), 2)
  expect((await other.ask(get('/a.m3u8')))[0]?.body).toBe('now')
  gate.resolve()
  expect((await held).map(({ body }) => body)).toEqual(['later', 'now'])
})

test('a viewer who leaves a blocked reload is gone to the origin too, and logged as one who got nothing', async () => {
  const asked = deferred<OriginRequest>()
  edge = await startLive(async (request) => {
    asked.resolve(request)
    await once(request.signal, 'abort')
    throw request.signal.reason
  })
  const { socket } = await line()
  socket.write(get('/a.m3u8?_HLS_msn=7'))
  const { signal } = await asked.promise
  socket.destroy()
  if (!signal.aborted) await once(signal, 'abort')
  await expect.poll(() => edge.records).toMatchObject([{ status: 0, bytes: 0, complete: false }])
})

test('a body that is shorter than was said cuts the connection', async () => {
  edge = await startLive(() => message(200, { 'content-length': '4' }, pieces('ab')))
  const { socket } = await line()
  socket.write(get('/a.m4s'))
  await once(socket, 'close')
  await expect.poll(() => edge.records).toMatchObject([{ bytes: 2, complete: false }])
})

test('changed behaviors count at once for words that were said before', async () => {
  const site = scriptedOrigin('site', () => message(200, {}, text('site')))
  const stream = live(() => message(200, PLAYLIST, text('live')))
  edge = await startEdge({ origins: [stream, site], behaviors: [{ origin: 'live' }] })
  const fast = await line()
  expect((await fast.ask(get('/a.m3u8')))[0]?.body).toBe('live')
  edge.setBehaviors([{ origin: 'site' }])
  expect((await fast.ask(get('/a.m3u8')))[0]?.body).toBe('site')
})

test('five hundred answers at once come whole, and none before its turn', async () => {
  const gate = deferred()
  edge = await startLive(async ({ path }) => {
    await gate.promise
    return message(200, PLAYLIST, text(path))
  })
  const lines = await Promise.all(Array.from({ length: 500 }, line))
  const asked = lines.map(({ ask }, n) => ask(get(`/${n}.m3u8`)))
  gate.resolve()
  const answers = await Promise.all(asked)
  expect(answers.map(([one]) => one?.body)).toEqual(lines.map((_, n) => `/${n}.m3u8`))
})
