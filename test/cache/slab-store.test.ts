import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SlabStore } from '../../server/cache/tier/slab-store.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const KIB = 1024

function slabs(slabBytes = 4 * KIB, count = 4) {
  const store = new SlabStore({ slabBytes, seed: 7, shardBits: 1 })
  let taken = 0
  const mayGrow = () => taken++ < count
  const put = (key: string, text: string) =>
    store.write({ kind: 'object', key, meta: `of ${key}`, body: [Buffer.from(text)] }, mayGrow)
  const get = (key: string) => store.read(key)?.body.toString()
  return { store, put, get }
}

test('a record is read back with its meta, and the newest of a name is the one', () => {
  const { store, put, get } = slabs()
  put('a', 'one')
  put('b', 'other')
  put('a', 'two')
  expect(store.read('a')).toEqual({
    kind: 'object',
    key: 'a',
    meta: 'of a',
    body: Buffer.from('two'),
  })
  expect([get('b'), get('c'), store.records]).toEqual(['other', undefined, 2])
})

test('when no slab more may be taken the oldest is written over; what was asked for in it stays', () => {
  const { store, put, get } = slabs()
  put('wanted', 'x'.repeat(500))
  put('once', 'y'.repeat(500))
  for (let i = 0; i < 500; i++) {
    put(`k${i}`, 'z'.repeat(200))
    expect(get('wanted')).toBe('x'.repeat(500))
  }
  expect(get('once')).toBeUndefined()
  expect(get('k499')).toBe('z'.repeat(200))
  expect(store.bytes - store.indexBytes).toBe(4 * 4 * KIB)
})

test('giving up slabs keeps what was asked for as long as it fits, and at last holds nothing', () => {
  const { store, put, get } = slabs()
  put('wanted', 'x')
  for (let i = 0; i < 30; i++) put(`k${i}`, 'z'.repeat(200))
  get('wanted')
  expect(store.shrink()).toBe(true)
  expect(get('wanted')).toBe('x')
  expect(get('k0')).toBeUndefined()
  while (store.shrink());
  expect([store.records, store.bytes]).toEqual([0, 0])
})

test('a record longer than a quarter of a slab is not taken', () => {
  const { put } = slabs()
  expect(put('long', 'x'.repeat(1000))).toBe(false)
  expect(put('short', 'x'.repeat(900))).toBe(true)
})

const step = fc.record({
  kind: fc.constantFrom('put', 'put', 'put', 'get', 'forget', 'shrink'),
  name: fc.nat(40),
  length: fc.nat(900),
})

test('whatever is written, forgotten and given up, what is found is the newest of its name', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.nat(5), (steps, count) => {
      const { store, put, get } = slabs(4 * KIB, count)
      const model = new Map<string, string>()
      for (const [i, { kind, name, length }] of steps.entries()) {
        const key = `k${name}`
        if (kind === 'put') {
          const text = `${i} `.repeat(length).slice(0, length)
          if (put(key, text)) model.set(key, text)
        } else if (kind === 'forget') {
          store.forget(key)
          model.delete(key)
        } else if (kind === 'shrink') store.shrink()
        const found = get(key)
        if (found !== undefined) expect(found).toBe(model.get(key))
      }
      const all = [...store.all()].flatMap((record) => record ?? [])
      for (const { key, body } of all) expect(body.toString()).toBe(model.get(key))
      expect(all).toHaveLength(store.records)
    }),
    { numRuns: FUZZ_RUNS },
  )
})
