import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HashIndex, hashKey, type KeyHash, type Place } from '../../server/cache/tier/hash-index.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

// Few homes, all in one shard, so that entries push each other along and round the end.
const hashes: fc.Arbitrary<KeyHash> = fc.record({
  high: fc.integer({ min: 0, max: 3 }),
  low: fc.oneof(
    fc.integer({ min: 0, max: 20 }),
    fc.integer({ min: 0xffffff00, max: 0xffffffff }),
    fc.integer({ min: 0, max: 0xffffffff }),
  ),
})

const steps = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('set' as const),
        hash: hashes,
        place: fc.record({
          segment: fc.integer({ min: 0, max: 0xffffffff }),
          offset: fc.integer({ min: 0, max: 0xffffffff }),
          length: fc.integer({ min: 1, max: 0x7fffffff }),
        }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), hash: hashes }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('visit' as const), hash: hashes }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('takeVisit' as const), hash: hashes }) },
  ),
  { maxLength: 300 },
)

const nameOf = ({ high, low }: KeyHash) => `${high}:${low}`

test('an index holds what a Map holds, whatever is set, removed and visited', () => {
  fc.assert(
    fc.property(steps, (plan) => {
      const index = new HashIndex()
      const model = new Map<string, { hash: KeyHash; place: Place; visited: boolean }>()
      for (const step of plan) {
        const { hash } = step
        const name = nameOf(hash)
        const known = model.get(name)
        if (step.kind === 'set') {
          index.set(hash, step.place)
          model.set(name, { hash, place: step.place, visited: false })
        } else if (step.kind === 'remove') {
          expect(index.remove(hash)).toBe(model.delete(name))
        } else if (step.kind === 'visit') {
          index.visit(hash)
          if (known) known.visited = true
        } else {
          expect(index.takeVisit(hash)).toBe(known?.visited ?? false)
          if (known) known.visited = false
        }
        expect(index.find(hash)).toEqual(model.get(name)?.place)
      }
      expect(index.size).toBe(model.size)
      for (const { hash, place } of model.values()) {
        expect(index.find(hash)).toEqual(place)
        expect(index.isAt(hash, place.segment, place.offset)).toBe(true)
      }
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('200,000 entries take at most 40 bytes each and are all found', () => {
  const index = new HashIndex()
  const place = (i: number) => ({ segment: i >>> 16, offset: i & 0xffff, length: 1 + i })
  for (let i = 0; i < 200_000; i++) {
    index.set(hashKey(`default/films/${i}.mp4`, 7), place(i))
    if (i > 20_000 && i % 1000 === 0) expect(index.bytes / index.size).toBeLessThanOrEqual(40)
  }
  expect(index.size).toBe(200_000)
  for (let i = 0; i < 200_000; i += 7)
    expect(index.find(hashKey(`default/films/${i}.mp4`, 7))).toEqual(place(i))
})

test('keys that differ in one character spread over both halves of the hash', () => {
  const halves = ['high', 'low'] as const
  for (const half of halves) {
    const buckets = new Uint32Array(1024)
    for (let i = 0; i < 102_400; i++) {
      const bucket = hashKey(`d/a?${i}`, 1)[half] >>> 22
      buckets[bucket] = (buckets[bucket] ?? 0) + 1
    }
    // 100 expected in each: 5 standard deviations either way.
    expect(Math.min(...buckets)).toBeGreaterThan(50)
    expect(Math.max(...buckets)).toBeLessThan(150)
  }
  expect(hashKey('a', 1)).not.toEqual(hashKey('a', 2))
})
