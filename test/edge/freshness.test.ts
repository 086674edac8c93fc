import { afterEach, expect, test } from 'vitest'
import { NearcastError } from '../../server/lib/errors.ts'
import { deferred } from '../../server/lib/deferred.ts'
import type { OriginMessage } from '../../server/http/message.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

const page = (version: string, more: Record<string, string> = {}): OriginMessage =>
  message(200, { etag: `"${version}"`, 'cache-control': 'max-age=10', ...more }, text(version))

test('a stale object is revalidated, and a 304 makes it fresh with newer fields (RFC 9111 §4.3)', async () => {
  const origin = scriptedOrigin('site', ({ headers }) =>
    headers['if-none-match'] === '"v1"'
      ? message(304, { etag: '"v1"', 'cache-control': 'max-age=20', 'x-new': 'yes' })
      : page('v1', { 'last-modified': 'Wed, 01 Jan 2025 00:00:00 GMT' }),
  )
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')

  await edge.clock.advance(11_000)
  const refreshed = await edge.ask('/a')
  await edge.clock.advance(19_000)
  const hit = await edge.ask('/a')

  expect(refreshed).toMatchObject({ status: 200, text: 'v1' })
  expect(refreshed.headers).toMatchObject({
    'x-cache': 'RefreshHit from nearcast',
    'cache-status': 'nearcast; fwd=stale; fwd-status=304; stored; ttl=20',
    'x-new': 'yes',
  })
  expect(hit.headers['x-cache']).toBe('Hit from nearcast')
  expect(origin.requests[1]?.headers).toEqual({
    'if-none-match': '"v1"',
    'if-modified-since': 'Wed, 01 Jan 2025 00:00:00 GMT',
  })
})

test('however many ask for a stale object, one revalidation goes out', async () => {
  const gate = deferred()
  const origin = scriptedOrigin('site', async (_request, count) => {
    if (count > 1) await gate.promise
    return count > 1 ? message(304, { 'cache-control': 'max-age=10' }) : page('v1')
  })
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  await edge.clock.advance(11_000)

  const asked = Promise.all(Array.from({ length: 8 }, () => edge.ask('/a')))
  await expect.poll(() => origin.requests.length).toBe(2)
  gate.resolve()

  expect((await asked).map((answer) => answer.text)).toEqual(Array(8).fill('v1'))
  expect(origin.requests).toHaveLength(2)
})

test('a new version replaces the stale one', async () => {
  const origin = scriptedOrigin('site', (_request, count) => page(`v${count}`))
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  await edge.clock.advance(11_000)

  expect((await edge.ask('/a')).text).toBe('v2')
  expect((await edge.ask('/a')).headers['x-cache']).toBe('Hit from nearcast')
})

test('a failing origin leaves the stale object to be served, and is left alone for ten seconds', async () => {
  let broken: 'no' | '503' | 'unreachable' = 'no'
  const origin = scriptedOrigin('site', () => {
    if (broken === 'unreachable') throw new NearcastError('origin-unreachable', 'site: refused')
    return broken === '503' ? message(503, {}, text('sorry')) : page('v1')
  })
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  await edge.clock.advance(11_000)

  broken = '503'
  const first = await edge.ask('/a')
  await edge.clock.advance(9000)
  const resting = await edge.ask('/a')
  await edge.clock.advance(2000)
  broken = 'unreachable'
  const third = await edge.ask('/a')

  for (const answer of [first, resting, third])
    expect(answer).toMatchObject({ status: 200, text: 'v1' })
  expect(first.headers.age).toBe('11')
  expect(origin.requests).toHaveLength(3)
})

test('stale-if-error=0 forbids it (RFC 5861 §4)', async () => {
  const origin = scriptedOrigin('site', (_request, count) =>
    count === 1 ? page('v1', { 'cache-control': 'max-age=10, stale-if-error=0' }) : message(503),
  )
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  await edge.clock.advance(11_000)

  expect((await edge.ask('/a')).status).toBe(503)
})

test('stale-while-revalidate answers at once and fetches behind (RFC 5861 §3)', async () => {
  const gate = deferred()
  const origin = scriptedOrigin('site', async (_request, count) => {
    if (count > 1) await gate.promise
    return page(`v${count}`, { 'cache-control': 'max-age=10, stale-while-revalidate=30' })
  })
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  await edge.clock.advance(11_000)

  expect((await edge.ask('/a')).text).toBe('v1')
  expect((await edge.ask('/a')).text).toBe('v1')
  expect(origin.requests).toHaveLength(2)
  gate.resolve()
  await expect.poll(async () => (await edge.ask('/a')).text).toBe('v2')
  expect(origin.requests).toHaveLength(2)
})

test('errors are kept for ten seconds, or as the behavior says; some not at all', async () => {
  const origin = scriptedOrigin('site', ({ path }) =>
    message(path.startsWith('/403') ? 403 : 404, {}, text('no')),
  )
  edge = await startEdge({
    origins: [origin],
    behaviors: [{ path: '/long/*', errors: { 404: { ttl: 300 } } }, {}],
  })
  const count = () => origin.requests.length

  await edge.ask('/a')
  expect((await edge.ask('/a')).headers['x-cache']).toBe('Error from nearcast')
  expect(count()).toBe(1)
  await edge.clock.advance(11_000)
  await edge.ask('/a')
  expect(count()).toBe(2)

  await edge.ask('/long/a')
  await edge.clock.advance(299_000)
  await edge.ask('/long/a')
  expect(count()).toBe(3)

  await edge.ask('/403')
  await edge.ask('/403')
  expect(count()).toBe(5)
})

test('what an origin throws is answered with its status and kept like an answer', async () => {
  const origin = scriptedOrigin('site', ({ path }) => {
    throw path === '/a'
      ? new NearcastError('object-not-found', 'a: no object has this name')
      : new NearcastError('store-denied', 's3://secret-bucket refused')
  })
  edge = await startEdge({ origins: [origin] })

  const missing = await edge.ask('/a')
  await edge.ask('/a')
  const denied = await edge.ask('/b')

  expect(missing.status).toBe(404)
  expect(JSON.parse(missing.text)).toMatchObject({
    code: 'object-not-found',
    message: 'a: no object has this name',
  })
  expect(denied.status).toBe(502)
  expect(denied.text).not.toContain('secret-bucket')
  expect(origin.requests).toHaveLength(2)
})

test('a behavior whose TTL changes works at once on what is stored', async () => {
  const origin = scriptedOrigin('site', () => message(200, {}, text('x')))
  edge = await startEdge({
    origins: [origin],
    behaviors: [{ ttl: { min: 0, default: 60, max: 60 } }],
  })
  await edge.ask('/a')
  await edge.clock.advance(5000)

  edge.setBehaviors([{ ttl: { min: 0, default: 2, max: 60 } }])
  await edge.ask('/a')

  expect(origin.requests).toHaveLength(2)
})

test('min above 0 keeps what the origin forbids to keep (CloudFront)', async () => {
  const origin = scriptedOrigin('site', () =>
    message(200, { 'cache-control': 'no-store' }, text('x')),
  )
  edge = await startEdge({
    origins: [origin],
    behaviors: [{ ttl: { min: 5, default: 5, max: 60 } }],
  })
  await edge.ask('/a')

  expect((await edge.ask('/a')).headers['x-cache']).toBe('Hit from nearcast')
  await edge.clock.advance(6000)
  await edge.ask('/a')
  expect(origin.requests).toHaveLength(2)
})

test('viewers of what may not be kept do not wait for each other (hit-for-miss)', async () => {
  const gates = [deferred(), deferred(), deferred(), deferred()]
  const origin = scriptedOrigin('site', async (_request, count) => {
    await gates[count - 1]?.promise
    return message(200, { 'cache-control': 'private' }, text(`for ${count}`))
  })
  edge = await startEdge({ origins: [origin] })

  const waiting = [edge.ask('/a'), edge.ask('/a'), edge.ask('/a')]
  await expect.poll(() => origin.requests.length).toBe(1)
  gates[0]?.resolve()
  // Those who waited for the first now ask side by side.
  await expect.poll(() => origin.requests.length).toBe(3)
  for (const gate of gates) gate.resolve()

  const answers = await Promise.all(waiting)
  expect(answers.map((answer) => answer.text).sort()).toEqual(['for 1', 'for 2', 'for 3'])
  expect(edge.cache.stats().objects).toBe(0)
})

test('semantics rfc: the viewer may ask for validation, and for the cache alone (RFC 9111 §5.2.1)', async () => {
  const origin = scriptedOrigin('site', ({ headers }) =>
    headers['if-none-match'] === undefined ? page('v1') : message(304, {}),
  )
  edge = await startEdge({ origins: [origin], behaviors: [{ semantics: 'rfc' }] })
  const ask = (control: string) => edge.ask('/a', { headers: { 'cache-control': control } })

  expect((await ask('only-if-cached')).status).toBe(504)
  await edge.ask('/a')
  expect((await ask('only-if-cached')).text).toBe('v1')
  await ask('no-cache')

  expect(origin.requests).toHaveLength(2)
})
