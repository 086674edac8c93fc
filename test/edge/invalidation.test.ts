import { afterEach, expect, test } from 'vitest'
import { previewInvalidation } from '../../server/edge/preview-invalidation.ts'
import { deferred } from '../../server/lib/deferred.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

const counting = () =>
  scriptedOrigin('site', (_request, count) =>
    message(200, { 'cache-control': 'max-age=60' }, text(`v${count}`)),
  )

test('an invalidated path is fetched anew, with any query; others stay', async () => {
  edge = await startEdge({
    origins: [counting()],
    behaviors: [{ key: { query: 'all', queryOrder: 'kept', headers: 'none', cookies: 'none' } }],
  })
  const ask = async (path: string) => (await edge.ask(path)).text
  expect([await ask('/a'), await ask('/a?x=1'), await ask('/b')]).toEqual(['v1', 'v2', 'v3'])

  edge.invalidate('/a')

  expect([await ask('/a'), await ask('/a?x=1'), await ask('/b')]).toEqual(['v4', 'v5', 'v3'])
})

test('prefix* takes everything that begins so', async () => {
  edge = await startEdge({ origins: [counting()] })
  const ask = async (path: string) => (await edge.ask(path)).text
  await ask('/img/a')
  await ask('/other')

  edge.invalidate('/img/*')

  expect(await ask('/img/a')).toBe('v3')
  expect(await ask('/other')).toBe('v2')
})

test('a fill in flight cannot bring the old body back', async () => {
  const gate = deferred()
  const origin = scriptedOrigin('site', async (_request, count) => {
    if (count === 1) await gate.promise
    return message(200, { 'cache-control': 'max-age=60' }, text(`v${count}`))
  })
  edge = await startEdge({ origins: [origin] })

  const before = edge.ask('/a')
  await expect.poll(() => origin.requests.length).toBe(1)
  edge.invalidate('/a')
  const after = edge.ask('/a')
  await expect.poll(() => origin.requests.length).toBe(2)
  expect((await after).text).toBe('v2')
  gate.resolve()

  expect((await before).text).toBe('v1')
  const later = await edge.ask('/a')
  expect(later.text).not.toBe('v1')
})

test('an invalidated object is not served when the origin fails', async () => {
  const origin = scriptedOrigin('site', (_request, count) =>
    count === 1 ? message(200, { 'cache-control': 'max-age=60' }, text('old')) : message(503),
  )
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')

  edge.invalidate('/a')

  expect((await edge.ask('/a')).status).toBe(503)
})

test('another log epoch makes every entry old: a log was lost, so nobody knows what was invalidated', async () => {
  edge = await startEdge({ origins: [counting()] })
  await edge.ask('/a')

  edge.setEpoch('e2')

  expect((await edge.ask('/a')).text).toBe('v2')
})

test('origins are told which change they must know', async () => {
  const origin = counting()
  edge = await startEdge({ origins: [origin] })
  edge.invalidate('/a')

  await edge.ask('/a')

  expect(origin.requests[0]?.minChange).toBe('e1:2')
})

// RFC 9111 §4.4.
test('an unsafe method that succeeds invalidates its path, and Location on the same host', async () => {
  const origin = scriptedOrigin('site', ({ method, path }, count) => {
    if (method === 'POST' && path === '/fails') return message(500)
    if (method === 'POST') return message(201, { location: '/b' })
    return message(200, { 'cache-control': 'max-age=60' }, text(`v${count}`))
  })
  edge = await startEdge({ origins: [origin], behaviors: [{ methods: 'all' }] })
  const ask = async (path: string) => (await edge.ask(path)).text
  expect([await ask('/a'), await ask('/b'), await ask('/fails')]).toEqual(['v1', 'v2', 'v3'])

  await edge.ask('/a', { method: 'POST', body: 'x' })
  await edge.ask('/fails', { method: 'POST', body: 'x' })

  expect([await ask('/a'), await ask('/b'), await ask('/fails')]).toEqual(['v6', 'v7', 'v3'])
})

const tagged = (tags: (count: number) => string, more: Readonly<Record<string, string>> = {}) =>
  scriptedOrigin('site', (_request, count) =>
    message(
      200,
      { 'cache-control': 'max-age=60', 'cache-tag': tags(count), ...more },
      text(`v${count}`),
    ),
  )

test('a tag takes every answer that has it', async () => {
  edge = await startEdge({ origins: [tagged((count) => (count === 2 ? 'hats' : 'Shoes, all'))] })
  const ask = async (path: string) => (await edge.ask(path)).text
  expect([await ask('/a'), await ask('/b'), await ask('/c')]).toEqual(['v1', 'v2', 'v3'])

  edge.invalidate('#shoes')

  expect([await ask('/a'), await ask('/b'), await ask('/c')]).toEqual(['v4', 'v2', 'v5'])
})

test('a fill in flight whose tags nobody knows yet is not joined after an invalidation by tag', async () => {
  const gate = deferred()
  const origin = scriptedOrigin('site', async (_request, count) => {
    if (count === 1) await gate.promise
    return message(200, { 'cache-control': 'max-age=60', 'cache-tag': 't' }, text(`v${count}`))
  })
  edge = await startEdge({ origins: [origin] })
  const before = edge.ask('/a')
  await expect.poll(() => origin.requests.length).toBe(1)

  edge.invalidate('#t')

  expect((await edge.ask('/a')).text).toBe('v2')
  gate.resolve()
  expect((await before).text).toBe('v1')
  expect((await edge.ask('/a')).text).not.toBe('v1')
})

test('softly invalidated, it is revalidated, and counts again when it is still the same', async () => {
  const origin = scriptedOrigin('site', ({ headers }) =>
    headers['if-none-match'] === '"e"'
      ? message(304, { 'cache-control': 'max-age=60', etag: '"e"' })
      : message(200, { 'cache-control': 'max-age=60', etag: '"e"' }, text('one')),
  )
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')

  edge.invalidateSoftly('/a')

  expect((await edge.ask('/a')).headers['x-cache']).toBe('RefreshHit from nearcast')
  expect((await edge.ask('/a')).headers['x-cache']).toBe('Hit from nearcast')
  expect(origin.requests).toHaveLength(2)
})

test('softly invalidated, it is served while it is fetched anew, where stale may be, and not longer', async () => {
  edge = await startEdge({
    origins: [tagged(() => 't', { 'cache-control': 'max-age=60, stale-while-revalidate=10' })],
  })
  await edge.ask('/a')
  await edge.ask('/b')

  edge.invalidateSoftly('#t')

  expect((await edge.ask('/a')).text).toBe('v1')
  await expect.poll(async () => (await edge.ask('/a')).text).toBe('v3')
  await edge.clock.advance(11_000)
  expect((await edge.ask('/b')).text).toBe('v4')
})

test('softly invalidated, it is served when the origin fails, unless it says otherwise', async () => {
  const control = (path: string) => (path === '/a' ? 'max-age=60' : 'max-age=60, stale-if-error=0')
  const seen = new Set<string>()
  const origin = scriptedOrigin('site', ({ path }) => {
    if (seen.has(path)) return message(503)
    seen.add(path)
    return message(200, { 'cache-control': control(path), etag: '"e"' }, text('old'))
  })
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/a')
  await edge.ask('/b')

  edge.invalidateSoftly('/*')

  expect((await edge.ask('/a')).text).toBe('old')
  expect((await edge.ask('/b')).status).toBe(503)
})

test('undone, what is still stored counts again and what was fetched since stays', async () => {
  edge = await startEdge({ origins: [counting()] })
  const ask = async (path: string) => (await edge.ask(path)).text
  expect([await ask('/a'), await ask('/b')]).toEqual(['v1', 'v2'])
  const seq = edge.invalidate('/*')
  expect(await ask('/a')).toBe('v3')

  edge.undo(seq, '/*')

  expect([await ask('/a'), await ask('/b')]).toEqual(['v3', 'v2'])
})

test('a dry run counts what would go and is not gone already, and takes nothing', async () => {
  edge = await startEdge({ origins: [tagged((count) => (count === 3 ? 'hats' : 'shoes'))] })
  for (const path of ['/a', '/b', '/c', '/d']) await edge.ask(path)
  edge.invalidate('/d')
  const preview = (paths: string[], examples = 10) =>
    previewInvalidation(
      edge,
      { distribution: '*', paths },
      { examples, signal: new AbortController().signal },
    )

  expect(await preview(['#shoes'])).toEqual({ objects: 2, bytes: 4, examples: ['/a', '/b'] })
  expect(await preview(['/*'], 1)).toEqual({ objects: 3, bytes: 6, examples: ['/a'] })
  expect(await preview(['/c', '#none'])).toMatchObject({ objects: 1 })
  expect((await edge.ask('/a')).text).toBe('v1')
})
