import { expect, test } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import type { ObjectFacts } from '../../server/cache/stored-object.ts'
import { Resting } from '../../server/cache/tier/resting.ts'

const KIB = 1024

const facts = (more: Partial<ObjectFacts> = {}): ObjectFacts => ({
  distribution: 'd',
  path: '/a',
  method: 'GET',
  status: 200,
  responseFields: {},
  requestTime: 0,
  responseTime: 0,
  authorized: false,
  flat: [],
  stamp: { epoch: 'e', seq: 1, localSeq: 0 },
  ...more,
})

function keep(cache: Cache, key: string, more: Partial<ObjectFacts> = {}) {
  const generation = cache.ownGeneration({ etag: undefined, size: 0, rangeable: false })
  return cache.store(key, [], {}, facts(more), generation)
}

test('fields that no viewer is sent, and tags, count in the bound', () => {
  const cache = new Cache({ memoryBytes: 1024 * KIB })
  const long = 'x'.repeat(15 * KIB)
  for (let i = 0; i < 100; i++) keep(cache, `k${i}`, { responseFields: { 'cache-status': long } })
  expect(cache.stats().objects).toBeLessThan(70)
  for (let i = 0; i < 100; i++)
    keep(cache, `t${i}`, { tags: Array.from({ length: 50 }, () => long) })
  expect(cache.stats().objects).toBeLessThan(10)
})

test('a 304 that brings longer fields makes an object cost more, and the bound holds', () => {
  const cache = new Cache({ memoryBytes: 256 * KIB })
  const objects = Array.from({ length: 100 }, (_, i) => keep(cache, `k${i}`))
  const before = cache.bytes
  const long = 'x'.repeat(10 * KIB)
  objects[0]?.refresh(facts({ responseFields: { 'x-long': long } }))
  expect(cache.bytes - before).toBeGreaterThanOrEqual(10 * KIB)
  for (const object of objects) {
    object.refresh(facts({ responseFields: { 'x-long': long } }))
    expect(cache.bytes).toBeLessThanOrEqual(256 * KIB)
  }
})

/** A tier that says what it was given; `refuses` a kind of record as one that is too busy does. */
function tier(refuses?: string) {
  const told: string[] = []
  const hash = (key: string) => ({ high: 0, low: key.length })
  const disk: ConstructorParameters<typeof Resting>[0]['disk'] = {
    stats: {
      bytes: 0,
      diskBytes: 0,
      records: 0,
      indexBytes: 0,
      dropped: 0,
      on: true,
      loading: false,
    },
    hash,
    has: () => false,
    visit: () => false,
    read: () => Promise.resolve(undefined),
    write(_, { kind, key }) {
      told.push(`${kind} ${key}`)
      return kind !== refuses
    },
    forget: ({ low }) => void told.push(`forget ${low}`),
    close: () => Promise.resolve(),
  }
  return { told, resting: new Resting({ disk, run: 'r' }) }
}

test('what was replaced under its key does not take the newer one with it when it is removed', () => {
  const { told, resting } = tier()
  const cache = new Cache({ memoryBytes: 256 * KIB, resting })
  const older = keep(cache, 'k')
  const newer = keep(cache, 'k')
  told.length = 0
  cache.remove(older)
  expect(told).toEqual([])
  expect(cache.find('k', {})).toBe(newer)
  cache.remove(newer)
  expect(told).toEqual(['forget 2'])
})

test('when a tier cannot be told by which fields a key is chosen now, what it held of the key is forgotten', () => {
  const { told, resting } = tier('vary')
  const name = { key: 'key', vary: ['accept'], variant: '1:x' }
  resting.keep(name, facts(), { kind: 'whole', etag: undefined }, [])
  expect(told).toContain('vary okey')
  expect(told).toContain('forget 4')
})
