import { afterEach, describe, expect, test, vi } from 'vitest'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { type LogFields, silentLog } from '../../server/lib/log.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { PATIENT } from '../support/patience.ts'

// What one viewer asks for changes nothing for the others.

let edge: EdgeFixture
afterEach(() => edge.close())

/** Requests that were sent arrive. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const FRESH = { 'cache-control': 'max-age=60' }

test('a range outside the object is its viewer’s 416; who waits for the same object gets it', async () => {
  const gate = deferred<void>()
  const origin = scriptedOrigin('site', async ({ method, headers }) => {
    await gate.promise
    if (headers['range'] !== undefined) return message(416)
    return message(
      200,
      { ...FRESH, 'content-length': '5' },
      method === 'HEAD' ? null : text('hello'),
    )
  })
  edge = await startEdge({ origins: [origin] })
  const outside = edge.ask('/a', { headers: { range: 'bytes=99-' } })
  await vi.waitUntil(() => origin.requests.length === 1, PATIENT)
  const whole = [edge.ask('/a'), edge.ask('/a')]
  await turns()
  gate.resolve()
  for (const answer of await Promise.all(whole))
    expect(answer).toMatchObject({ status: 200, text: 'hello' })
  const refused = await outside
  expect(refused.status).toBe(416)
  expect(refused.headers['content-range']).toBe('bytes */5')
})

test('a part that is for one viewer only does not set the others apart', async () => {
  const gate = deferred<void>()
  const origin = scriptedOrigin('site', async ({ headers }) => {
    if (headers['range'] !== undefined)
      return message(206, { 'content-range': 'bytes 0-1/5' }, text('he'))
    await gate.promise
    return message(200, FRESH, text('hello'))
  })
  edge = await startEdge({ origins: [origin] })
  expect((await edge.ask('/a', { headers: { range: 'bytes=0-1' } })).text).toBe('he')
  const both = [edge.ask('/a'), edge.ask('/a')]
  await vi.waitUntil(() => origin.requests.length >= 2, PATIENT)
  await turns()
  gate.resolve()
  await Promise.all(both)
  expect(origin.requests).toHaveLength(2)
})

// RFC 9111 §5.2.1.5
describe('a request with no-store', () => {
  const NO_STORE = { headers: { 'cache-control': 'no-store' } }

  test('under rfc leaves nothing behind, and changes nothing that is stored', async () => {
    let made = 0
    const origin = scriptedOrigin('site', () =>
      message(200, { ...FRESH, etag: '"e"' }, text(`${++made}`)),
    )
    edge = await startEdge({ origins: [origin], behaviors: [{ semantics: 'rfc' }] })
    expect((await edge.ask('/a', NO_STORE)).text).toBe('1')
    expect((await edge.ask('/a')).text).toBe('2')
    expect((await edge.ask('/a')).text).toBe('2')
    await edge.clock.advance(61_000)
    expect((await edge.ask('/a', NO_STORE)).text).toBe('3')
    expect(origin.requests.at(-1)?.headers['if-none-match']).toBe(undefined)
    await edge.ask('/a')
    expect(origin.requests.at(-1)?.headers['if-none-match']).toBe('"e"')
  })

  test('under cloudfront is one as all others', async () => {
    const origin = scriptedOrigin('site', () => message(200, FRESH, text('hello')))
    edge = await startEdge({ origins: [origin] })
    await edge.ask('/a', NO_STORE)
    await edge.ask('/a')
    expect(origin.requests).toHaveLength(1)
  })
})

test('Vary on a name that every object has chooses as any other', async () => {
  const origin = scriptedOrigin('site', () =>
    message(200, { ...FRESH, vary: 'constructor, toString' }, text('hello')),
  )
  edge = await startEdge({ origins: [origin], behaviors: [{ semantics: 'rfc' }] })
  for (let i = 0; i < 2; i++) expect((await edge.ask('/a')).text).toBe('hello')
  expect(origin.requests).toHaveLength(1)
})

// RFC 9112 §3.2.2
describe('an absolute target', () => {
  const key = { query: 'none', queryOrder: 'kept', headers: ['Host'], cookies: 'none' } as const

  test('has its host in the key and for the origin, whatever the Host field says', async () => {
    const origin = scriptedOrigin('site', ({ headers }) =>
      message(200, FRESH, text(`for ${String(headers['host'])}`)),
    )
    edge = await startEdge({ origins: [origin], behaviors: [{ key }] })
    const ask = (path: string, host: string) => edge.ask(path, { headers: { host } })
    expect((await ask('http://a.test/x', 'b.test')).text).toBe('for a.test')
    expect((await ask('/x', 'a.test')).text).toBe('for a.test')
    expect((await ask('/x', 'b.test')).text).toBe('for b.test')
    expect(origin.requests).toHaveLength(2)
  })

  test.each(['http://user:word@a.test/x', 'http://a.test,b.test:x/', 'http://[::1/x'])(
    '%s is none',
    async (target) => {
      const origin = scriptedOrigin('site', () => message(200))
      edge = await startEdge({ origins: [origin] })
      expect((await edge.ask(target)).status).toBe(400)
      expect(origin.requests).toEqual([])
    },
  )

  test('OPTIONS of the server as a whole says what it does (RFC 9110 §9.3.7)', async () => {
    edge = await startEdge({ origins: [scriptedOrigin('site', () => message(200))] })
    const answer = await edge.ask('*', { method: 'OPTIONS' })
    expect(answer.status).toBe(204)
    expect(answer.headers['allow']).toContain('GET')
  })
})

test('HEAD says no length that the origin does not say (RFC 9110 §8.6)', async () => {
  const origin = scriptedOrigin('site', ({ path }) =>
    message(200, {
      'cache-control': 'no-store',
      ...(path === '/known' && { 'content-length': '7' }),
    }),
  )
  edge = await startEdge({ origins: [origin] })
  const lengthOf = async (path: string) =>
    (await edge.ask(path, { method: 'HEAD' })).headers['content-length']
  expect(await lengthOf('/unknown')).toBe(undefined)
  expect(await lengthOf('/known')).toBe('7')
})

test('a page elsewhere may read why a range or a condition was refused', async () => {
  const store = openMemoryStore({ clock: new FakeClock() })
  await store.write('a.bin', text('hello'), { signal: new AbortController().signal })
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)] })
  for (const [headers, status] of [
    [{ range: 'bytes=99-' }, 416],
    [{ 'if-match': '"other"' }, 412],
  ] as const)
    for (let i = 0; i < 2; i++) {
      const answer = await edge.ask('/a.bin', { headers })
      expect(answer.status).toBe(status)
      expect(answer.headers['access-control-allow-origin']).toBe('*')
      expect(answer.headers['cache-control']).toBe('no-store')
    }
})

test('an error page whose bytes were replaced meanwhile is fetched anew', async () => {
  const store = openMemoryStore({ clock: new FakeClock() })
  const write = (page: string) =>
    store.write('404.html', text(page), { signal: new AbortController().signal })
  await write('old page'.repeat(1000))
  edge = await startEdge({
    origins: [objectStoreOrigin('site', store)],
    behaviors: [{ errors: { 404: { page: '/404.html', as: 404, ttl: 0 } } }],
    sliceBytes: 1024,
  })
  // Its head alone: the bytes are asked for when they are read.
  await edge.ask('/404.html', { method: 'HEAD' })
  await write('new page'.repeat(1000))
  const answer = await edge.ask('/nothing')
  expect(answer.status).toBe(404)
  expect(answer.text).toMatch(/^new page/)
})

test('failures that any viewer can cause have one line of a kind in 10 s', async () => {
  const lines: LogFields[] = []
  const write = (_: string, fields: LogFields = {}) => void lines.push(fields)
  const origin = scriptedOrigin('site', ({ path }) => {
    if (path === '/defect') throw new TypeError('a defect')
    throw new NearcastError('origin-unreachable', 'connect ECONNREFUSED')
  })
  edge = await startEdge({
    origins: [origin],
    behaviors: [{ methods: 'all', ttl: { min: 0, default: 0, max: 0 } }],
    log: { ...silentLog, warn: write, error: write },
  })
  for (let i = 0; i < 5; i++)
    for (const path of ['/a', '/defect'])
      expect((await edge.ask(path)).status).toBeGreaterThanOrEqual(500)
  expect(lines).toHaveLength(2)
  await edge.clock.advance(10_000)
  expect(lines.slice(2)).toMatchObject([{ unwritten: 4 }, { unwritten: 4 }])
})
