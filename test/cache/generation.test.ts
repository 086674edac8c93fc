import { expect, test } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import type { Source } from '../../server/cache/fill.ts'
import { NearcastError } from '../../server/lib/errors.ts'

const KIB = 1024
const settle = async () => {
  for (let n = 0; n < 50; n++) await new Promise((resolve) => setImmediate(resolve))
}

/** An origin that gives all it is asked for in chunks of 1 KiB, as fast as it is pulled. */
function fastSource(size: number, options: { probation?: boolean } = {}) {
  const asked: [start: number, end: number][] = []
  const source: Source & { asked: typeof asked; fetched: number } = {
    ...options,
    asked,
    fetched: 0,
    open(start, end, signal) {
      asked.push([start, end])
      async function* body() {
        for (let at = start; at < end; at += KIB) {
          await new Promise((resolve) => setImmediate(resolve))
          signal.throwIfAborted()
          const length = Math.min(KIB, end - at)
          source.fetched += length
          yield Buffer.alloc(length, 1)
        }
      }
      return Promise.resolve({ start, body: body() })
    },
  }
  return { source, size }
}

function shared(cache: Cache, size: number, id = 'o') {
  return cache.sharedGeneration(id, { etag: 'a', size, rangeable: true })
}

async function readAll(
  cache: Cache,
  size: number,
  source: Source,
  range: [number, number] = [0, size],
  id = 'o',
): Promise<number> {
  let length = 0
  for await (const chunk of shared(cache, size, id).read(range[0], range[1], source).chunks())
    length += chunk.length
  return length
}

test('a fill runs four slices ahead of its fastest reader and no further', async () => {
  const cache = new Cache({ memoryBytes: 1024 * KIB, sliceBytes: 4 * KIB })
  const { source, size } = fastSource(256 * KIB)
  const reader = shared(cache, size).read(0, size, source)
  await reader.ready()
  await settle()
  expect(source.fetched).toBeLessThanOrEqual(17 * KIB)

  for (let taken = 0; taken < 8 * KIB; ) taken += reader.take()?.length ?? 0
  await settle()
  expect(source.fetched).toBeLessThanOrEqual(25 * KIB)
  expect(source.fetched).toBeGreaterThan(20 * KIB)
  reader.close()
})

test('a body that was on its way goes on for its readers when the origin says that it has another one by now', async () => {
  const size = 64 * KIB
  const cache = new Cache({ memoryBytes: 1024 * KIB, sliceBytes: 4 * KIB })
  const { source } = fastSource(size)
  const changed = new NearcastError('object-changed', 'it has other bytes')
  const generation = shared(cache, size)
  const first = generation.read(0, size, source)
  await first.ready()
  const later: Source = { open: () => Promise.reject(changed) }
  const far = generation.read(48 * KIB, size, later)
  await expect(far.ready()).rejects.toBe(changed)
  far.close()
  expect([generation.usable, generation.outdated]).toEqual([false, true])
  expect(shared(cache, size)).not.toBe(generation)

  let length = 0
  for await (const chunk of first.chunks()) length += chunk.length

  expect(length).toBe(size)
  expect(source.asked).toEqual([[0, size]])
  await settle()
  expect(generation.empty).toBe(true)
})

test('the fastest reader sets the pace; a slow one changes nothing for it', async () => {
  const cache = new Cache({ memoryBytes: 64 * KIB, sliceBytes: 4 * KIB })
  const { source, size } = fastSource(512 * KIB)
  const slow = shared(cache, size).read(0, size, source)
  await slow.ready()
  slow.take()

  expect(await readAll(cache, size, source)).toBe(size)
  expect(cache.bytes).toBeLessThanOrEqual(64 * KIB)
  // What was given up under the slow one is fetched again when it comes to it.
  await slow.ready()
  expect(slow.take()?.length).toBeGreaterThan(0)
  slow.close()
})

test('a run of missing slices between two that are here is one request', async () => {
  const cache = new Cache({ memoryBytes: 1024 * KIB, sliceBytes: 4 * KIB })
  const { source, size } = fastSource(64 * KIB)
  await readAll(cache, size, source, [0, 8 * KIB])
  await readAll(cache, size, source, [40 * KIB, 44 * KIB])

  await readAll(cache, size, source)

  expect(source.asked).toEqual([
    [0, 8 * KIB],
    [40 * KIB, 44 * KIB],
    [8 * KIB, 40 * KIB],
    [44 * KIB, 64 * KIB],
  ])
  expect(source.fetched).toBe(size)
})

test('tiny ranges cannot shatter a cell: after four pieces the whole gap is fetched', async () => {
  const cache = new Cache({ memoryBytes: 1024 * KIB, sliceBytes: 64 * KIB })
  const { source, size } = fastSource(64 * KIB)

  for (let at = 0; at < 400; at += 2) await readAll(cache, size, source, [at * 100, at * 100 + 1])

  expect(source.asked.length).toBeLessThan(8)
  expect(source.fetched).toBeLessThanOrEqual(size)
})

test('nobody reads any more: a slice that is half there is finished, else the fill stops at once', async () => {
  const cache = new Cache({ memoryBytes: 1024 * KIB, sliceBytes: 16 * KIB })
  const { source, size } = fastSource(64 * KIB)
  const reader = shared(cache, size).read(0, size, source)
  await reader.ready()
  reader.close()
  await settle()
  expect(source.fetched).toBeLessThanOrEqual(3 * KIB)

  const second = shared(cache, size).read(0, size, source)
  while (second.position < 10 * KIB) if (!second.take()) await second.ready()
  second.close()
  await settle()
  expect(shared(cache, size).holds(0, 16 * KIB)).toBe(true)
  expect(source.fetched).toBeLessThanOrEqual(18 * KIB)
})

test('bytes read on probation go first, unless they are read again', async () => {
  const cache = new Cache({ memoryBytes: 200 * KIB, sliceBytes: 4 * KIB })
  const kept = fastSource(64 * KIB)
  const probed = fastSource(40 * KIB, { probation: true })
  await readAll(cache, kept.size, kept.source, undefined, 'kept')
  await readAll(cache, probed.size, probed.source, [0, 8 * KIB], 'probed')
  await readAll(cache, probed.size, probed.source, [0, 8 * KIB], 'probed')
  await readAll(cache, probed.size, probed.source, [8 * KIB, 40 * KIB], 'probed')

  const more = fastSource(90 * KIB, { probation: true })
  await readAll(cache, more.size, more.source, undefined, 'more')

  expect(shared(cache, kept.size, 'kept').holds(0, kept.size)).toBe(true)
  expect(shared(cache, probed.size, 'probed').holds(0, 8 * KIB)).toBe(true)
  expect(shared(cache, probed.size, 'probed').holds(8 * KIB, 40 * KIB)).toBe(false)
})

test('the byte bound holds with many tiny objects, bookkeeping counted', () => {
  const cache = new Cache({ memoryBytes: 256 * KIB })
  let most = 0
  for (let n = 0; n < 5000; n++) {
    const generation = cache.ownGeneration({ etag: undefined, size: 0, rangeable: false })
    cache.store(`key ${n}`, [], {}, facts(), generation)
    most = Math.max(most, cache.bytes)
  }
  expect(most).toBeLessThanOrEqual(256 * KIB)
  const { objects, keys, packedRecords, packedBytes } = cache.stats()
  expect(objects).toBe(keys)
  expect(objects * 1024 + packedBytes).toBeLessThanOrEqual(256 * KIB)
  expect(objects + packedRecords).toBeGreaterThan(200)
})

test('many fills at once in a cache with room for few wait their turn, and all come through', async () => {
  const cache = new Cache({ memoryBytes: 16 * KIB, sliceBytes: 2 * KIB })
  const films = Array.from({ length: 20 }, (_, n) => ({ n, ...fastSource(20 * KIB) }))

  const lengths = await Promise.all(
    films.map(({ n, source, size }) => readAll(cache, size, source, undefined, `film ${n}`)),
  )

  expect(lengths).toEqual(Array(20).fill(20 * KIB))
  expect(cache.bytes).toBeLessThanOrEqual(16 * KIB)
})

test('variants of one key are found by what Vary names, and the oldest goes', () => {
  const cache = new Cache({ memoryBytes: 1024 * KIB })
  const store = (lang: string) =>
    cache.store(
      'k',
      ['Accept-Language'],
      { 'accept-language': lang },
      facts(),
      cache.ownGeneration({ etag: undefined, size: 0, rangeable: false }),
    )
  const de = store('de')
  const fr = store('fr')

  expect(cache.find('k', { 'accept-language': 'de' })).toBe(de)
  expect(cache.find('k', { 'accept-language': 'fr' })).toBe(fr)
  expect(cache.find('k', {})).toBeUndefined()
  for (let n = 0; n < 100; n++) store(`x${n}`)
  expect(cache.stats()).toMatchObject({ keys: 1, objects: 32 })
  expect(cache.find('k', { 'accept-language': 'de' })).toBeUndefined()
})

test('a generation that its origin does not have any more is closed: nobody new finds it', async () => {
  const cache = new Cache({ memoryBytes: 1024 * KIB, sliceBytes: 4 * KIB })
  const generation = shared(cache, 64 * KIB)
  const changed = new NearcastError('object-changed', 'film.mp4: expected "a", got "b"')
  const source: Source = { open: () => Promise.reject(changed) }
  const reader = generation.read(0, 100, source)

  await expect(reader.ready()).rejects.toBe(changed)
  reader.close()

  expect(generation.usable).toBe(false)
  expect(cache.findGeneration('o')).toBeUndefined()
})

function facts() {
  return {
    distribution: 'default',
    path: '/',
    method: 'GET',
    status: 200,
    responseFields: {},
    requestTime: 0,
    responseTime: 0,
    authorized: false,
    flat: ['Content-Type', 'text/plain'],
    stamp: { epoch: 'e', seq: 0, localSeq: 0 },
  }
}
