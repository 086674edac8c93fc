import { type ClientRequest, get } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { deferred } from '../../server/lib/deferred.ts'
import type { OriginRequest } from '../../server/http/message.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'
import { type GatedStore, gatedStore } from '../support/gated-store.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

const KIB = 1024

/** A viewer whose bytes can be waited for as they come. */
function view(path: string, headers: Record<string, string> = {}) {
  const chunks: Buffer[] = []
  const ended = deferred<'whole' | 'cut'>()
  const status = deferred<number>()
  const request: ClientRequest = get(
    `${edge.url}${path}`,
    { headers, agent: false },
    (response) => {
      status.resolve(response.statusCode ?? 0)
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => ended.resolve('whole'))
      response.on('error', () => ended.resolve('cut'))
    },
  )
  request.on('error', () => ended.resolve('cut'))
  return {
    body: () => Buffer.concat(chunks),
    length: () => chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    ended: ended.promise,
    status: status.promise,
    leave: () => request.destroy(),
    pause: () => request.once('response', (response) => response.pause()),
  }
}

const bytesOf = (size: number) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 7) & 255))

async function storeEdge(
  size: number,
  options: { memoryBytes?: number; sliceBytes?: number } = {},
) {
  const bytes = bytesOf(size)
  const store: GatedStore = gatedStore({ 'film.mp4': bytes })
  edge = await startEdge({
    origins: [objectStoreOrigin('site', store)],
    sliceBytes: 4 * KIB,
    ...options,
  })
  return { bytes, store }
}

test('who asks second reads what the first is still fetching, byte by byte as it comes', async () => {
  const { bytes, store } = await storeEdge(10 * KIB)

  const first = view('/film.mp4')
  await store.release(100)
  await expect.poll(first.length).toBe(100)
  const second = view('/film.mp4')
  await expect.poll(second.length).toBe(100)
  await store.release(50)
  await expect.poll(second.length).toBe(150)
  store.open()

  expect([await first.ended, await second.ended]).toEqual(['whole', 'whole'])
  expect(first.body().equals(bytes) && second.body().equals(bytes)).toBe(true)
  expect(store.reads).toEqual(['0-'])
})

test('a viewer who leaves does not end a fill that others read; the last one does', async () => {
  const { store } = await storeEdge(64 * KIB)
  const first = view('/film.mp4')
  await store.release(100)
  await expect.poll(first.length).toBe(100)
  const second = view('/film.mp4')
  await expect.poll(second.length).toBe(100)

  first.leave()
  await store.release(200)
  await expect.poll(second.length).toBe(300)
  second.leave()

  await expect.poll(() => store.ended).toEqual([300])
})

test('a range deep in an object that is being filled is a request of its own, and no byte is fetched twice', async () => {
  const { bytes, store } = await storeEdge(64 * KIB)
  const whole = view('/film.mp4')
  await store.release(100)
  await expect.poll(whole.length).toBe(100)

  store.open()
  const deep = await edge.ask('/film.mp4', { headers: { range: 'bytes=40960-45055' } })

  expect(deep.status).toBe(206)
  expect(deep.body.equals(bytes.subarray(40960, 45056))).toBe(true)
  expect(await whole.ended).toBe('whole')
  expect(whole.body().equals(bytes)).toBe(true)
  expect(store.fetchedBytes).toBeLessThanOrEqual(64 * KIB + store.chunkBytes)
})

test('an answer whose bytes are here already is not pulled again, and its transfer is ended', async () => {
  const { bytes, store } = await storeEdge(20 * KIB)
  store.open()
  await edge.ask('/film.mp4')
  edge.invalidate('/film.mp4')

  const answer = await edge.ask('/film.mp4')

  expect(answer.body.equals(bytes)).toBe(true)
  expect(answer.headers['x-cache']).toBe('Miss from nearcast')
  expect(store.reads).toEqual(['0-', '0-'])
  expect(store.fetchedBytes).toBe(20 * KIB)
})

test('a cold range is one read of the store, exactly as asked, and a hit afterwards', async () => {
  const { bytes, store } = await storeEdge(64 * KIB)
  store.open()
  const ask = () => edge.ask('/film.mp4', { headers: { range: 'bytes=5000-5999' } })

  expect((await ask()).body.equals(bytes.subarray(5000, 6000))).toBe(true)
  const again = await ask()

  expect(again.headers['x-cache']).toBe('Hit from nearcast')
  expect(store.reads).toEqual(['5000-5999'])
})

test('an object larger than the whole cache is served, the byte bound holds', async () => {
  const { bytes, store } = await storeEdge(700 * KIB, { memoryBytes: 128 * KIB })
  store.open()

  const answer = await edge.ask('/film.mp4')

  expect(answer.body.equals(bytes)).toBe(true)
  expect(edge.cache.bytes).toBeLessThanOrEqual(128 * KIB)
  expect(store.reads).toEqual(['0-'])
})

test('an origin that dies in mid-body is asked for the rest by range where the etag is strong', async () => {
  const { bytes, store } = await storeEdge(20 * KIB)
  store.dieAfter(9000)
  store.open()

  const answer = await edge.ask('/film.mp4')

  expect(answer.body.equals(bytes)).toBe(true)
  expect(store.reads).toEqual(['0-', '9000-20479'])
})

test('a body without a strong etag that is cut short cuts the viewers, and nothing of it is kept', async () => {
  const origin = scriptedOrigin('site', (_request, count) =>
    message(200, { 'content-length': '10', 'cache-control': 'max-age=60' }, short(count)),
  )
  const gate = deferred()
  async function* short(count: number) {
    yield text('hello')
    await gate.promise
    if (count > 1) yield text('world')
  }
  edge = await startEdge({ origins: [origin] })

  const cut = view('/a')
  await expect.poll(cut.length).toBe(5)
  gate.resolve()
  expect(await cut.ended).toBe('cut')
  expect(cut.body().toString()).toBe('hello')
  expect((await edge.ask('/a')).text).toBe('helloworld')
})

test('an object that changes in the middle: nobody gets a mix of old and new', async () => {
  const { bytes, store } = await storeEdge(64 * KIB)
  const old = view('/film.mp4')
  await store.release(5000)
  await expect.poll(old.length).toBe(5000)
  store.replace('film.mp4', Buffer.alloc(100, 1), 9000)
  store.open()

  expect(await old.ended).toBe('cut')
  expect(bytes.subarray(0, old.length()).equals(old.body())).toBe(true)
  await edge.clock.advance(61_000)
  expect((await edge.ask('/film.mp4')).body.equals(Buffer.alloc(100, 1))).toBe(true)
})

test('an object that changed before anything was sent is answered as it is now', async () => {
  const { store } = await storeEdge(64 * KIB)
  store.open()
  await edge.ask('/film.mp4', { headers: { range: 'bytes=0-99' } })
  store.replace('film.mp4', Buffer.alloc(50_000, 1))

  const answer = await edge.ask('/film.mp4', { headers: { range: 'bytes=40000-40099' } })

  expect(answer.body.equals(Buffer.alloc(100, 1))).toBe(true)
  expect(answer.headers['content-range']).toBe('bytes 40000-40099/50000')
})

test('a range of an answer that cannot be asked for by range waits for its bytes', async () => {
  const gate = deferred()
  const origin = scriptedOrigin('site', () =>
    message(200, { 'content-length': '10', 'cache-control': 'max-age=60' }, slow()),
  )
  async function* slow() {
    yield text('hello')
    await gate.promise
    yield text('world')
  }
  edge = await startEdge({ origins: [origin] })

  const range = view('/a', { range: 'bytes=5-9' })
  await expect.poll(() => origin.requests.length).toBe(1)
  const start = await edge.ask('/a', { headers: { range: 'bytes=0-4' } })
  expect(start.text).toBe('hello')
  gate.resolve()

  expect(await range.ended).toBe('whole')
  expect(range.body().toString()).toBe('world')
  expect(origin.requests).toHaveLength(1)
})

test('a body of unknown length is chunked to those who come early and has a length afterwards', async () => {
  const gate = deferred()
  const origin = scriptedOrigin('site', () =>
    message(200, { 'cache-control': 'max-age=60' }, slow()),
  )
  async function* slow() {
    yield text('hello ')
    await gate.promise
    yield text('world')
  }
  edge = await startEdge({ origins: [origin] })
  const early = view('/a')
  await expect.poll(early.length).toBe(6)
  gate.resolve()
  expect(await early.ended).toBe('whole')

  const late = await edge.ask('/a')

  expect(late).toMatchObject({ text: 'hello world' })
  expect(late.headers['content-length']).toBe('11')
})

test('when everybody leaves before the origin answers, it is told', async () => {
  const asked: OriginRequest[] = []
  const never = deferred<never>()
  const origin = scriptedOrigin('site', (request) => {
    asked.push(request)
    request.signal.addEventListener('abort', () => never.reject(request.signal.reason))
    return never.promise
  })
  edge = await startEdge({ origins: [origin] })
  const viewers = [view('/a'), view('/a')]
  await expect.poll(() => asked.length).toBe(1)
  viewers[0]?.leave()
  await viewers[0]?.ended
  expect(asked[0]?.signal.aborted).toBe(false)

  viewers[1]?.leave()

  await expect.poll(() => asked[0]?.signal.aborted).toBe(true)
})

test('a viewer that takes no byte for too long is cut', async () => {
  const origin = scriptedOrigin('site', () => message(200, {}, Buffer.alloc(32 * KIB * KIB)))
  edge = await startEdge({ origins: [origin], stuckMs: 150 })
  const stuck = view('/a')
  stuck.pause()

  await expect.poll(() => edge.records.length, { timeout: 60_000 }).toBe(1)
  expect(edge.records[0]).toMatchObject({ complete: false })
})
