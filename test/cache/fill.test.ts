import { expect, test } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import { RefusedForNow, type Source } from '../../server/cache/fill.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { FakeClock } from '../support/fake-clock.ts'

const KIB = 1024
const SIZE = 64 * KIB

const settle = async () => {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve))
}

/** An origin whose first body dies after 8 KiB; `later` says what comes of the question of this number, from 2 on. */
function mortal(later: (count: number) => 'gives' | NearcastError) {
  const clock = new FakeClock()
  const asked: { readonly start: number; readonly at: number }[] = []
  const source: Source = {
    clock,
    async open(start, end) {
      asked.push({ start, at: clock.now() })
      const answer = asked.length === 1 ? 'dies' : later(asked.length)
      if (answer instanceof NearcastError) throw answer
      async function* body() {
        yield Buffer.alloc(answer === 'dies' ? 8 * KIB : end - start, 1)
        if (answer === 'dies') throw new NearcastError('origin-failed', 'it died')
      }
      return { start, body: body() }
    },
  }
  const cache = new Cache({ memoryBytes: 1024 * KIB, sliceBytes: 64 * KIB })
  const generation = cache.sharedGeneration('o', { etag: 'a', size: SIZE, rangeable: true })
  return { clock, asked, source, generation }
}

const down = new NearcastError('origin-unreachable', 'it restarts')

test('an origin that is away for a moment after its body died is asked again after growing pauses', async () => {
  const { clock, asked, source, generation } = mortal((count) => (count < 5 ? down : 'gives'))
  const began = clock.now()
  let length = 0
  const reading = (async () => {
    for await (const chunk of generation.read(0, SIZE, source).chunks()) length += chunk.length
  })()

  await settle()
  expect(asked).toHaveLength(2)
  await clock.advance(3000)
  await reading

  expect(length).toBe(SIZE)
  expect(asked.map(({ at }) => at - began)).toEqual([0, 0, 100, 500, 2100])
  expect(asked.slice(1).every(({ start }) => start === 8 * KIB)).toBe(true)
})

test('an origin that stays away is asked four times more and no further', async () => {
  const { clock, asked, source, generation } = mortal(() => down)
  const reading = (async () => {
    for await (const _ of generation.read(0, SIZE, source).chunks());
  })()
  const failed = expect(reading).rejects.toThrow(/it restarts/)

  await settle()
  await clock.advance(60_000)
  await failed

  expect(asked).toHaveLength(6)
  expect(generation.usable).toBe(true)
  expect(generation.holds(0, 8 * KIB)).toBe(true)
})

test('a pause ends at once when nobody reads any more, and nothing is asked after it', async () => {
  const { clock, asked, source, generation } = mortal(() => down)
  const reader = generation.read(0, SIZE, source)
  await reader.ready()
  await settle()
  expect(clock.pending).toBe(1)

  reader.close()
  await settle()

  expect(clock.pending).toBe(0)
  expect(generation.fillCount).toBe(0)
  await clock.advance(60_000)
  expect(asked).toHaveLength(2)
})

test.each([
  ['says when to come again', new RefusedForNow('origin-failed', 'later')],
  ['refuses the credentials', new NearcastError('store-denied', 'no')],
  ['has other bytes by now', new NearcastError('object-changed', 'others')],
])('an origin that %s is not asked again', async (_, refusal) => {
  const { clock, asked, source, generation } = mortal(() => refusal)
  const reading = (async () => {
    for await (const _chunk of generation.read(0, SIZE, source).chunks());
  })()

  await expect(reading).rejects.toBe(refusal)

  await clock.advance(60_000)
  expect(asked).toHaveLength(2)
})

test('a first question that fails is an error at once', async () => {
  const clock = new FakeClock()
  const source: Source = { clock, open: () => Promise.reject(down) }
  const cache = new Cache({ memoryBytes: 1024 * KIB })
  const generation = cache.sharedGeneration('o', { etag: 'a', size: SIZE, rangeable: true })
  const reader = generation.read(0, SIZE, source)

  await expect(reader.ready()).rejects.toBe(down)

  expect(clock.pending).toBe(0)
  reader.close()
})

test('who is in the midst of a body is not cut because the next part of it is first asked for while the origin is away', async () => {
  const clock = new FakeClock()
  const asked: { readonly start: number; readonly at: number }[] = []
  let away = false
  const source: Source = {
    clock,
    async open(start, end) {
      asked.push({ start, at: clock.now() })
      if (away) throw down
      async function* body() {
        yield Buffer.alloc(end - start, 1)
      }
      return { start, body: body() }
    },
  }
  const cache = new Cache({ memoryBytes: 1024 * KIB, sliceBytes: 64 * KIB })
  const generation = cache.sharedGeneration('o', { etag: 'a', size: 2 * SIZE, rangeable: true })
  for await (const _ of generation.read(0, SIZE, source).chunks());
  const began = clock.now()
  away = true
  let length = 0
  const reading = (async () => {
    for await (const chunk of generation.read(0, 2 * SIZE, source).chunks()) length += chunk.length
  })()
  await settle()
  expect(length).toBe(SIZE)

  await clock.advance(400)
  away = false
  await clock.advance(5000)
  await reading

  expect(length).toBe(2 * SIZE)
  expect(asked.slice(1)).toEqual([0, 100, 500].map((after) => ({ start: SIZE, at: began + after })))
})
