import { describe, expect, it } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import { KnownValid } from '../../server/cache/known-valid.ts'
import type { ObjectFacts, StoredObject } from '../../server/cache/stored-object.ts'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import { type Changes, validityOf } from '../../server/edge/decide.ts'

const FACTS: ObjectFacts = {
  distribution: 'd',
  path: '/a',
  method: 'GET',
  status: 200,
  responseFields: {},
  requestTime: 0,
  responseTime: 0,
  authorized: false,
  flat: [],
  stamp: { epoch: 'e', seq: 0, localSeq: 0 },
}
const VALID = { kind: 'valid' } as const

describe('what is known to be valid', () => {
  const hash = { high: 0xdead_beef, low: 0x1234_5678 }
  const stand = { log: {}, local: {} }

  it('is of one answer, while the invalidations stand as they did', () => {
    const known = new KnownValid(2 ** 30)
    expect(known.of(hash, FACTS)).toBeUndefined()
    known.learn(hash, { facts: FACTS, ...stand, validity: VALID })
    expect(known.of(hash, FACTS)).toEqual({ facts: FACTS, ...stand, validity: VALID })
    expect(known.of({ ...hash, high: 1 }, FACTS)).toBeUndefined()
    known.learn({ high: 7, low: 7 }, { facts: FACTS, log: {}, local: {}, validity: VALID })
    expect(known.of(hash, FACTS)).toBeUndefined()
  })

  it('ends with the answer, and with the word that it is not', () => {
    const known = new KnownValid(2 ** 20)
    known.learn(hash, { facts: FACTS, ...stand, validity: VALID })
    known.forget({ ...hash, high: 1 })
    expect(known.of(hash, FACTS)).toBeDefined()
    known.forget(hash)
    expect(known.of(hash, FACTS)).toBeUndefined()
    known.learn(hash, { facts: FACTS, ...stand, validity: VALID })
    known.learn(hash, { facts: FACTS, ...stand, validity: { kind: 'gone' } })
    expect(known.of(hash, FACTS)).toBeUndefined()
  })

  it('takes 2 MiB at most, and of a small cache 0.4 % at most', () => {
    expect(new KnownValid(64 * 2 ** 30).bytes).toBe(2 * 2 ** 20)
    expect(new KnownValid(2 ** 20).bytes).toBeLessThanOrEqual(4096)
  })
})

describe('a packed answer', () => {
  /** Invalidations that count how often they are asked. */
  function changesOf(index: InvalidationIndex): Changes & { asked: number } {
    const changes = {
      asked: 0,
      epoch: 'e',
      local: new InvalidationIndex(),
      log: {
        get state() {
          return index.state
        },
        check: (...what: Parameters<InvalidationIndex['check']>) => {
          changes.asked += 1
          return index.check(...what)
        },
      },
    }
    return changes
  }

  /** A cache that holds so many that the first are packed. */
  function crowded(): Cache {
    const cache = new Cache({ memoryBytes: 8 * 2 ** 20 })
    for (let n = 0; n < 20_000; n += 1) put(cache, n)
    return cache
  }

  function put(cache: Cache, n: number, seq = 0): StoredObject {
    const generation = cache.ownGeneration({ etag: undefined, size: 0, rangeable: false })
    const facts = { ...FACTS, path: `/${n}`, stamp: { ...FACTS.stamp, seq } }
    return cache.store(`key ${n}`, [], {}, facts, generation)
  }

  const packed = (cache: Cache) => {
    const at = Array.from({ length: 20_000 }, (_, n) => n).find(
      (n) => cache.find(`key ${n}`, {})?.passing,
    )
    if (at === undefined) throw new Error('none is packed')
    return at
  }

  it('is looked up among the invalidations once, whoever asks for it', () => {
    const cache = crowded()
    const n = packed(cache)
    const index = new InvalidationIndex()
    index.add({ seq: 1, distribution: 'd', paths: ['/other'] })
    const changes = changesOf(index)
    for (let times = 0; times < 3; times += 1) {
      const found = cache.find(`key ${n}`, {})
      expect(found && validityOf(found, changes)).toEqual(VALID)
    }
    expect(changes.asked).toBe(1)
  })

  it('that was valid is gone with the next invalidation of it', () => {
    const cache = crowded()
    const n = packed(cache)
    const index = new InvalidationIndex()
    index.add({ seq: 1, distribution: 'd', paths: ['/other'] })
    const changes = changesOf(index)
    const before = cache.find(`key ${n}`, {})
    expect(before && validityOf(before, changes)).toEqual(VALID)
    index.add({ seq: 2, distribution: 'd', paths: [`/${n}`] })
    const after = cache.find(`key ${n}`, {})
    expect(after && validityOf(after, changes)).toEqual({ kind: 'gone' })
  })
})
