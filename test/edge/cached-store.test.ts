import { expect, test } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import { createCachedStore } from '../../server/edge/cached-store.ts'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { collect } from '../../server/lib/bytes.ts'
import type { ObjectStore, ReadRange } from '../../server/storage/object-store.ts'
import { startEdge } from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { gatedStore } from '../support/gated-store.ts'

const KIB = 1024
const signal = () => new AbortController().signal
const bytesOf = (size: number) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 7) & 255))

function setUp(size = 1024 * KIB) {
  const film = bytesOf(size)
  const store = gatedStore({ 'film.mp4': film }, 16 * KIB)
  store.open()
  const cache = new Cache({ memoryBytes: 64 * KIB * KIB, sliceBytes: 64 * KIB })
  const clock = new FakeClock()
  let seq = 0
  const cached = createCachedStore({
    originId: 'media',
    store,
    cache,
    clock,
    invalidationSeq: () => seq,
  })
  return { film, store, cache, clock, cached, invalidate: () => void seq++ }
}

async function readBytes(store: ObjectStore, range?: ReadRange, ifMatch?: string): Promise<Buffer> {
  const read = await store.read('film.mp4', { range, ifMatch, signal: signal() })
  return collect(read.body)
}

test('head and tail at once, then a segment: three reads of the store, as they were asked', async () => {
  const { cached, store, film } = setUp()

  const [head, tail] = await Promise.all([
    readBytes(cached, { start: 0, end: 65_535 }),
    readBytes(cached, { suffix: 100_000 }),
  ])
  const segment = await readBytes(cached, { start: 300_000, end: 499_999 }, 'v1')

  expect(head.equals(film.subarray(0, 65_536))).toBe(true)
  expect(tail.equals(film.subarray(-100_000))).toBe(true)
  expect(segment.equals(film.subarray(300_000, 500_000))).toBe(true)
  expect(store.reads).toEqual(['0-65535', '-100000', '300000-499999'])
  expect(store.stats).toEqual([])
})

test('what was read once is not read again; of a range that is partly here only the gap is', async () => {
  const { cached, store, film } = setUp()
  await readBytes(cached, { start: 0, end: 99_999 })

  expect((await readBytes(cached, { start: 10, end: 50 })).equals(film.subarray(10, 51))).toBe(true)
  const wider = await readBytes(cached, { start: 50_000, end: 149_999 })

  expect(wider.equals(film.subarray(50_000, 150_000))).toBe(true)
  expect(store.reads).toEqual(['0-99999', '100000-149999'])
})

test('several who ask for the same at once share one read, and one who leaves does not end it', async () => {
  const { cached, store, film } = setUp()
  const leaver = new AbortController()
  const range = { start: 1000, end: 200_999 }

  const left = cached.read('film.mp4', { range, signal: leaver.signal })
  const others = Promise.all([readBytes(cached, range), readBytes(cached, range)])
  leaver.abort(new Error('gone'))

  await expect(left).rejects.toThrow('gone')
  for (const bytes of await others) expect(bytes.equals(film.subarray(1000, 201_000))).toBe(true)
  expect(store.reads).toEqual(['1000-200999'])
})

test('an edge before the same store, and RTMP or vod behind it, use the same bytes', async () => {
  const film = bytesOf(300_000)
  const store = gatedStore({ 'film.mp4': film }, 16 * KIB)
  store.open()
  const edge = await startEdge({ origins: [objectStoreOrigin('site', store)] })
  try {
    await edge.ask('/film.mp4')
    const { cache, clock } = edge
    const cached = createCachedStore({ originId: 'site', store, cache, clock })

    expect((await readBytes(cached, { start: 0, end: 9 }, 'v1')).length).toBe(10)
    const bytes = await readBytes(cached, { start: 0, end: 199_999 }, 'v1')
    expect(bytes.equals(film.subarray(0, 200_000))).toBe(true)
    expect(store.reads).toEqual(['0-', '0-9'])
  } finally {
    await edge.close()
  }
})

test('stat is kept for its time, and asked again after an invalidation', async () => {
  const { cached, store, clock, invalidate } = setUp()
  const stat = () => cached.stat('film.mp4', signal())

  await Promise.all([stat(), stat()])
  await stat()
  expect(store.stats).toHaveLength(1)
  await clock.advance(61_000)
  await stat()
  expect(store.stats).toHaveLength(2)
  invalidate()
  expect(await stat()).toMatchObject({ etag: 'v1', size: 1024 * KIB })
  expect(store.stats).toHaveLength(3)
})

test('after its time a read that is all here costs a stat, no read', async () => {
  const { cached, store, clock } = setUp()
  await readBytes(cached, { start: 0, end: 999 })
  await clock.advance(61_000)

  await readBytes(cached, { start: 0, end: 999 })

  expect([store.reads.length, store.stats.length]).toEqual([1, 1])
})

test('a changed object is object-changed to who holds the old etag, and new to everyone else', async () => {
  const { cached, store, clock } = setUp()
  await readBytes(cached, { start: 0, end: 999 })
  store.replace('film.mp4', Buffer.alloc(5000, 1))

  await expect(readBytes(cached, { start: 500_000, end: 500_999 }, 'v1')).rejects.toMatchObject({
    code: 'object-changed',
  })
  await clock.advance(61_000)
  expect(await readBytes(cached)).toEqual(Buffer.alloc(5000, 1))
  await expect(readBytes(cached, { start: 0, end: 9 }, 'v1')).rejects.toMatchObject({
    code: 'object-changed',
  })
})

test('what is not there, and a range outside, fail as the store says', async () => {
  const { cached } = setUp()
  const missing = cached.read('none', { signal: signal() })
  await expect(missing).rejects.toMatchObject({ code: 'object-not-found' })
  expect(await cached.stat('none', signal())).toBeUndefined()

  await expect(readBytes(cached, { start: 2_000_000 })).rejects.toMatchObject({
    code: 'range-not-satisfiable',
  })
  await cached.stat('film.mp4', signal())
  await expect(readBytes(cached, { start: 2_000_000 })).rejects.toMatchObject({
    code: 'range-not-satisfiable',
  })
})

test('a body that nobody reads does not pin its bytes for ever', async () => {
  const { cached, cache, clock } = setUp()
  const read = await cached.read('film.mp4', { range: { start: 0, end: 99 }, signal: signal() })
  const generation = cache.findGeneration('media\nfilm.mp4\nv1')
  expect(generation?.readerCount).toBe(1)

  await clock.advance(11_000)

  expect(generation?.readerCount).toBe(0)
  expect((await collect(read.body)).length).toBe(100)
})

function setUpWeak() {
  const store = gatedStore({ 'film.mp4': bytesOf(400 * KIB) }, 16 * KIB, true)
  store.open()
  const cache = new Cache({ memoryBytes: 64 * KIB * KIB, sliceBytes: 64 * KIB })
  const cached = createCachedStore({ originId: 'media', store, cache, clock: new FakeClock() })
  return { store, cached }
}

test('under a weak etag each read is of its own, and none is put together with another (RFC 9110 §8.8.1)', async () => {
  const { cached, store } = setUpWeak()
  const film = bytesOf(400 * KIB)
  const head = await readBytes(cached, { start: 0, end: 99_999 })
  expect(head.equals(film.subarray(0, 100_000))).toBe(true)
  const other = Buffer.alloc(400 * KIB, 'o')
  store.replace('film.mp4', other)
  expect(
    (await readBytes(cached, { start: 0, end: 99_999 })).equals(other.subarray(0, 100_000)),
  ).toBe(true)
  expect((await readBytes(cached)).equals(other)).toBe(true)
  await expect(readBytes(cached, { start: 0, end: 9 }, 'v2')).rejects.toThrow(/^object-changed/)
})

test('a viewer sees a weak etag of a store as weak, and each range of it comes from one read', async () => {
  const film = bytesOf(400 * KIB)
  const store = gatedStore({ 'film.mp4': film }, 16 * KIB, true)
  store.open()
  const edge = await startEdge({
    origins: [objectStoreOrigin('site', store)],
    sliceBytes: 64 * KIB,
  })
  try {
    const part = await edge.ask('/film.mp4', { headers: { range: 'bytes=100-70000' } })
    expect([part.status, part.headers.etag]).toEqual([206, 'W/"v1"'])
    expect(part.body.equals(film.subarray(100, 70_001))).toBe(true)
    for (const tag of ['"v1"', 'W/"v1"']) {
      const headers = { range: 'bytes=100-199', 'if-range': tag }
      const whole = await edge.ask('/film.mp4', { headers })
      expect([whole.status, whole.body.equals(film)]).toEqual([200, true])
    }
    const next = await edge.ask('/film.mp4', { headers: { range: 'bytes=5-9' } })
    expect([next.status, next.headers['x-cache']]).toEqual([206, 'Hit from nearcast'])
  } finally {
    await edge.close()
  }
})

test('a part that does not fit If-Range is no answer, though nothing is stored yet (RFC 9110 §13.1.5)', async () => {
  const film = bytesOf(4 * KIB)
  const store = gatedStore({ 'film.mp4': film }, 16 * KIB, true)
  store.open()
  const edge = await startEdge({ origins: [objectStoreOrigin('site', store)] })
  try {
    const headers = { range: 'bytes=100-199', 'if-range': 'W/"v1"' }
    const whole = await edge.ask('/film.mp4', { headers })
    expect([whole.status, whole.body.equals(film)]).toEqual([200, true])
  } finally {
    await edge.close()
  }
})
