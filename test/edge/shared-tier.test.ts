import { afterEach, expect, it } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import { createSharedTier } from '../../server/edge/shared-tier.ts'
import type { EdgeState } from '../../server/edge/edge-context.ts'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import type { Behavior } from '../../server/distribution/types.ts'
import type { Fields, Origin } from '../../server/http/message.ts'
import { deferred } from '../../server/lib/deferred.ts'
import {
  behavior,
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
} from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { rangeOrigin } from '../support/range-origin.ts'

const MIB = 1024 * 1024
const edges: EdgeFixture[] = []
afterEach(async () => {
  for (const edge of edges.splice(0)) await edge.close()
})

/** Two edges whose origin is asked through one tier; each has a cache and a clock of its own. */
async function startTwo(origin: Origin, part: Partial<Behavior> = {}) {
  const behaviors = [{ origin: origin.id, ...part }]
  const clock = new FakeClock()
  const invalidations = new InvalidationIndex()
  let seq = 1
  const site = { kind: 'web', id: 'default', enabled: true, hosts: ['*'] } as const
  const distributions = [
    { ...site, defaultRootObject: 'index.html', behaviors: behaviors.map(behavior) },
  ]
  const state = (): EdgeState => ({ distributions, invalidations, position: `e1:${seq}`, seq })
  const cache = new Cache({ memoryBytes: 16 * MIB, sliceBytes: 64 * 1024 })
  const shared = createSharedTier({ cache, clock, state })(origin)
  const first = await startEdge({ origins: [shared], behaviors })
  const second = await startEdge({ origins: [shared], behaviors })
  edges.push(first, second)
  return {
    first,
    second,
    cache,
    invalidate: (path: string) => {
      seq++
      invalidations.add({ seq, at: clock.now(), distribution: 'default', paths: [path] })
      for (const edge of [first, second]) edge.invalidate(path)
    },
    pass: async (ms: number) => {
      for (const one of [clock, first.clock, second.clock]) await one.advance(ms)
    },
  }
}

const site = (fields: Fields = {}) =>
  scriptedOrigin('site', (_, count) =>
    message(200, { 'cache-control': 'max-age=60', ...fields }, Buffer.from(`answer ${count}`)),
  )

it('asks the origin once for what both want, and the second sees its age', async () => {
  const origin = site()
  const { first, second, pass } = await startTwo(origin)
  expect((await first.ask('/a')).text).toBe('answer 1')
  await pass(40_000)
  const later = await second.ask('/a')
  expect(later.text).toBe('answer 1')
  expect(later.headers.age).toBe('40')
  expect(origin.requests).toHaveLength(1)
  await pass(21_000)
  expect((await second.ask('/a')).text).toBe('answer 2')
  expect((await first.ask('/a')).text).toBe('answer 2')
  expect(origin.requests).toHaveLength(2)
})

it('gives the second what the first is still being given', async () => {
  const more = deferred<void>()
  async function* slow() {
    yield Buffer.from('begun ')
    await more.promise
    yield Buffer.from('ended')
  }
  const origin = scriptedOrigin('site', () =>
    message(200, { 'cache-control': 'max-age=60' }, slow()),
  )
  const { first, second } = await startTwo(origin)
  const both = [first.ask('/a'), second.ask('/a')]
  await expect.poll(() => origin.requests.length).toBe(1)
  more.resolve()
  for (const { text } of await Promise.all(both)) expect(text).toBe('begun ended')
  expect(origin.requests).toHaveLength(1)
})

it('fetches each byte of an object once, whatever ranges are asked for', async () => {
  const bytes = Buffer.from(Array.from({ length: MIB }, (_, at) => (at * 7 + (at >> 9)) & 255))
  const origin = rangeOrigin('site', bytes)
  const { first, second } = await startTwo(origin)
  const asks = [first, second].flatMap((edge) =>
    ['bytes=100000-299999', 'bytes=200000-400000', 'bytes=-1000'].map(async (range) => {
      const answer = await edge.ask('/film', { headers: { range } })
      expect(answer.status).toBe(206)
      const [, from, to] = /bytes (\d+)-(\d+)/.exec(answer.headers['content-range'] ?? '') ?? []
      expect(answer.body.equals(bytes.subarray(Number(from), Number(to) + 1))).toBe(true)
    }),
  )
  await Promise.all(asks)
  for (const edge of [first, second])
    expect((await edge.ask('/film')).body.equals(bytes)).toBe(true)
  expect(origin.fetched).toBe(bytes.length)
})

it('takes what was invalidated from the origin again', async () => {
  const origin = site()
  const { first, second, invalidate } = await startTwo(origin)
  await first.ask('/a')
  invalidate('/a')
  expect((await second.ask('/a')).text).toBe('answer 2')
  expect((await first.ask('/a')).text).toBe('answer 2')
  expect(origin.requests).toHaveLength(2)
})

it('keeps variants apart by Vary', async () => {
  const origin = scriptedOrigin('site', ({ headers }) =>
    message(
      200,
      { 'cache-control': 'max-age=60', vary: 'accept-language' },
      Buffer.from(String(headers['accept-language'])),
    ),
  )
  const { first, second } = await startTwo(origin, { semantics: 'rfc' })
  for (const edge of [first, second])
    for (const language of ['de', 'fr'])
      expect((await edge.ask('/a', { headers: { 'accept-language': language } })).text).toBe(
        language,
      )
  expect(origin.requests).toHaveLength(2)
})

it('gives nobody an answer to a request with Authorization, nor a private one', async () => {
  for (const [fields, headers] of [
    [{}, { authorization: 'Basic YTpi' }],
    [{ 'cache-control': 'private, max-age=60' }, {}],
  ] as const) {
    const origin = site(fields)
    const { first, second } = await startTwo(origin, { semantics: 'rfc' })
    expect((await first.ask('/a', { headers })).text).toBe('answer 1')
    expect((await second.ask('/a', { headers: {} })).text).toBe('answer 2')
  }
})

it('sends a viewer who insists on it to the origin (RFC 9111 §5.2.1.4)', async () => {
  const origin = site()
  const { first, second } = await startTwo(origin, { semantics: 'rfc' })
  await first.ask('/a')
  const asked = await second.ask('/a', { headers: { 'cache-control': 'no-cache' } })
  expect(asked.text).toBe('answer 2')
})

it('forgets a path that was changed through it (RFC 9111 §4.4)', async () => {
  const origin = site()
  const { first } = await startTwo(origin, { methods: 'all' })
  await first.ask('/a')
  await first.ask('/a', { method: 'POST', body: 'x' })
  expect((await first.ask('/a')).text).toBe('answer 3')
})

it('answers 304 to an edge whose copy is the same, without asking the origin', async () => {
  const origin = site({ etag: '"v"' })
  const { first, second, pass } = await startTwo(origin)
  await second.ask('/a')
  await pass(61_000)
  await first.ask('/a')
  expect(origin.requests).toHaveLength(2)
  const again = await second.ask('/a')
  expect(again.status).toBe(200)
  expect(origin.requests).toHaveLength(2)
})

it('does not make an error last longer than the edge keeps it', async () => {
  const origin = scriptedOrigin('site', (_, count) => {
    if (count === 1) throw new Error('down')
    return message(200, { 'cache-control': 'max-age=60' }, Buffer.from('up'))
  })
  const { first, second } = await startTwo(origin)
  expect((await first.ask('/a')).status).toBe(502)
  expect((await second.ask('/a')).text).toBe('up')
})

it('keeps nothing of a request with no-store, and leaves If-Match to the origin, under the standard alone (RFC 9111 §4.3.2, §5.2.1.5)', async () => {
  const origin = scriptedOrigin('site', ({ headers }) =>
    headers['if-match'] === undefined
      ? message(200, { 'cache-control': 'max-age=60', etag: '"v1"' }, Buffer.from('x'))
      : message(412, {}),
  )
  const { first, second, cache } = await startTwo(origin, { semantics: 'rfc' })
  await first.ask('/a', { headers: { 'cache-control': 'no-store' } })
  expect(cache.stats().objects).toBe(0)
  await first.ask('/a')
  expect(cache.stats().objects).toBe(1)
  expect((await second.ask('/a', { headers: { 'if-match': '"v2"' } })).status).toBe(412)
  expect(origin.requests).toHaveLength(3)
})
