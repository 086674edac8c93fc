import { afterEach, expect, test } from 'vitest'
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
