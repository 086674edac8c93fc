import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
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
const cached = () =>
  scriptedOrigin('site', ({ path }) =>
    message(200, { 'cache-control': 'max-age=60', etag: '"e"' }, text(`body of ${path}`)),
  )

test('a hit is answered as node:http answers it, field for field', async () => {
  edge = await startEdge({ origins: [cached()] })
  const slow = await line()
  const [, second] = [...(await slow.ask(get('/a'))), ...(await slow.ask(get('/a')))]
  const fast = await line()
  const [third] = await fast.ask(get('/a'))
  const [fourth] = await fast.ask(get('/a'))
  if (!second || !third || !fourth) throw new Error('no answers')
  expect(lasting(third)).toEqual(lasting(second))
  expect(lasting(fourth)).toEqual(lasting(second))
  expect(third.body).toBe('body of /a')
  expect(third.fields).toContain('X-Cache: Hit from nearcast')
})

test('ranges of a hit are answered as node:http answers them', async () => {
  edge = await startEdge({ origins: [cached()], sliceBytes: 1024 })
  await edge.ask('/a')
  const fast = await line()
  const slow = await line()
  // A miss hands the connection to node:http.
  await slow.ask(get('/b'))
  for (const range of ['0-3', '5-', '-2', '8-99', '0-0', '0-1,4-5', '99-', '5-2', 'x']) {
    const bytes = get('/a', `Range: bytes=${range}\r\n`)
    const [[quick], [usual]] = [await fast.ask(bytes), await slow.ask(bytes)]
    if (!quick || !usual) throw new Error('no answers')
    if (range.includes(',')) expect(quick.status).toBe(usual.status)
    else expect(lasting(quick)).toEqual(lasting(usual))
  }
  const [middle] = await (await line()).ask(get('/a', 'Range: bytes=2-5\r\n'))
  expect(middle?.status).toBe('HTTP/1.1 206 Partial Content')
  expect(middle?.body).toBe('dy o')
  expect(middle?.fields).toContain('Content-Range: bytes 2-5/10')
})

test('many requests on one connection: hits, a miss, ranges and errors in turn', async () => {
  const origin = cached()
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  const { ask } = await line()
  expect((await ask(get('/a')))[0]?.body).toBe('body of /a')
  expect((await ask(get('/b')))[0]?.body).toBe('body of /b')
  expect((await ask(get('/a', 'Range: bytes=0-3\r\n')))[0]?.body).toBe('body')
  expect((await ask(get('/b')))[0]?.body).toBe('body of /b')
  expect((await ask(get('/%zz')))[0]?.status).toContain('400')
  expect(origin.requests).toHaveLength(2)
})

test('requests in one packet are answered in order', async () => {
  edge = await startEdge({ origins: [cached()] })
  for (const path of ['/a', '/b', '/c']) await edge.ask(path)
  const { ask } = await line()
  const answers = await ask(get('/a') + get('/b') + get('/c'), 3)
  expect(answers.map(({ body }) => body)).toEqual(['body of /a', 'body of /b', 'body of /c'])
})

test('a request that comes in pieces is answered', async () => {
  edge = await startEdge({ origins: [cached()] })
  await edge.ask('/a')
  const { socket, ask } = await line()
  socket.write('GET /a HT')
  await new Promise((resolve) => setImmediate(resolve))
  expect((await ask('TP/1.1\r\nHost: a.test\r\n\r\n'))[0]?.body).toBe('body of /a')
})

test('what was invalidated, changed or has expired is not a hit any more', async () => {
  let made = 0
  const origin = scriptedOrigin('site', () =>
    message(200, { 'cache-control': 'max-age=60' }, text(`${++made}`)),
  )
  edge = await startEdge({ origins: [origin] })
  const bodyOf = async () => {
    const { ask } = await line()
    await ask(get('/a'))
    return (await ask(get('/a')))[0]?.body
  }
  expect(await bodyOf()).toBe('1')
  edge.invalidate('/a')
  expect(await bodyOf()).toBe('2')
  await edge.clock.advance(61_000)
  expect(await bodyOf()).toBe('3')
  edge.setBehaviors([{ ttl: { min: 0, default: 0, max: 0 } }])
  expect(await bodyOf()).toBe('5')
})

test('Age and ttl go on while the same request comes again', async () => {
  edge = await startEdge({ origins: [cached()] })
  await edge.ask('/a')
  const { ask } = await line()
  expect((await ask(get('/a')))[0]?.fields).toContain('Cache-Status: nearcast; hit; ttl=60')
  await edge.clock.advance(10_000)
  const [later] = await ask(get('/a'))
  expect(later?.fields).toEqual(
    expect.arrayContaining(['Age: 10', 'Cache-Status: nearcast; hit; ttl=50']),
  )
})

test('a body of many slices goes out whole, and slices given up meanwhile are had again', async () => {
  const clock = new FakeClock()
  const store = openMemoryStore({ clock })
  const bytes = Buffer.alloc(3_000_000, 'abcdefg')
  await store.write('big.bin', bytes, { signal: new AbortController().signal })
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)], sliceBytes: 65_536 })
  await edge.ask('/big.bin')
  const { ask } = await line()
  const answers = await Promise.all([ask(get('/big.bin')), (await line()).ask(get('/big.bin'))])
  for (const [answer] of answers) expect(answer?.body === bytes.toString('latin1')).toBe(true)
  // A connection that takes it all at once is given it all at once.
  for (let again = 0; again < 4; again += 1)
    expect((await ask(get('/big.bin')))[0]?.body === bytes.toString('latin1')).toBe(true)
  const across = await ask(get('/big.bin', 'Range: bytes=60000-200000\r\n'))
  expect(across[0]?.body === bytes.subarray(60_000, 200_001).toString('latin1')).toBe(true)
})

test('each answer is counted and logged once, with what the viewer said', async () => {
  edge = await startEdge({ origins: [cached()] })
  await edge.ask('/a')
  edge.records.length = 0
  const { ask } = await line()
  await ask(get('/a', 'User-Agent: player\r\nReferer: http://b.test/\r\n'))
  expect(edge.records).toEqual([
    expect.objectContaining({
      result: 'Hit',
      status: 200,
      bytes: 10,
      target: '/a',
      host: 'a.test',
      userAgent: 'player',
      referer: 'http://b.test/',
      complete: true,
    }),
  ])
})

test('a viewer who half-closes gets his answer; one who leaves costs nothing', async () => {
  edge = await startEdge({ origins: [cached()] })
  await edge.ask('/a')
  const { socket, ask } = await line()
  const answer = ask(get('/a'))
  socket.end()
  expect((await answer)[0]?.body).toBe('body of /a')
  await once(socket, 'close')
  const gone = await line()
  gone.socket.write(get('/a'))
  gone.socket.destroy()
  expect((await (await line()).ask(get('/a')))[0]?.body).toBe('body of /a')
})
