import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { previewInvalidation } from '../../server/edge/preview-invalidation.ts'
import { systemClock } from '../../server/lib/clock.ts'
import {
  type EdgeFixture,
  message,
  type ScriptedOrigin,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'
import { rangeOrigin } from '../support/range-origin.ts'

const KIB = 1024

let edge: EdgeFixture
afterEach(() => edge.close())

const bodyOf = (path: string) => `${path} `.repeat(60)

function site(fields: Record<string, string> = {}): ScriptedOrigin {
  return scriptedOrigin('site', ({ method, path }) =>
    method === 'POST'
      ? message(204)
      : message(200, { 'cache-control': 'max-age=600', ...fields }, text(bodyOf(path))),
  )
}

async function start(origin: ScriptedOrigin, more: Partial<Parameters<typeof startEdge>[0]> = {}) {
  const behaviors = [{ methods: 'all' as const }]
  edge = await startEdge({ origins: [origin], memoryBytes: 2048 * KIB, behaviors, ...more })
}

/** So much else is stored that what was there before is packed. */
function pushOut(): void {
  const { cache, clock } = edge
  for (let i = 0; i < 1200; i++) {
    const generation = cache.ownGeneration({ etag: undefined, size: 0, rangeable: false })
    const now = clock.now()
    const facts = {
      distribution: 'default',
      path: `/other/${i}`,
      method: 'GET',
      status: 200,
      responseFields: {},
      requestTime: now,
      responseTime: now,
      authorized: false,
      flat: [],
      stamp: { epoch: 'e1', seq: 1, localSeq: 0 },
    }
    cache.store(`other ${i}`, [], {}, facts, generation)
    expect(cache.bytes).toBeLessThanOrEqual(2048 * KIB)
  }
}

const isHot = (path: string) => [...edge.cache.each()].some(({ facts }) => facts.path === path)

test('a small answer that fell out of the hot ones is a hit, with its fields and its age', async () => {
  const origin = site({ 'x-said': 'once', 'cache-tag': 'a,b' })
  await start(origin)
  await edge.ask('/a')
  pushOut()
  expect(isHot('/a')).toBe(false)
  expect(edge.cache.stats().packedRecords).toBeGreaterThan(100)
  await edge.clock.advance(7000)
  const asked = origin.requests.length
  const answer = await edge.ask('/a')
  expect(answer.text).toBe(bodyOf('/a'))
  expect(answer.headers).toMatchObject({
    'x-cache': 'Hit from nearcast',
    'x-said': 'once',
    age: '7',
  })
  expect(origin.requests).toHaveLength(asked)
  // One who asks once makes nothing hot; who asks again does.
  expect(isHot('/a')).toBe(false)
  expect((await edge.ask('/a')).text).toBe(bodyOf('/a'))
  expect(isHot('/a')).toBe(true)
  expect(edge.cache.bytes).toBeLessThanOrEqual(2048 * KIB)
})

test('an origin that failed is left alone also for what was packed and is stale', async () => {
  let down = false
  const origin = scriptedOrigin('site', ({ path }) => {
    if (down) throw new Error('down')
    const fields = { 'cache-control': 'max-age=10, stale-if-error=600', etag: '"1"' }
    return message(200, fields, text(bodyOf(path)))
  })
  await start(origin)
  await edge.ask('/a')
  pushOut()
  await edge.clock.advance(20_000)
  down = true
  const asked = origin.requests.length
  for (let i = 0; i < 3; i++) expect((await edge.ask('/a')).text).toBe(bodyOf('/a'))
  expect(origin.requests).toHaveLength(asked + 1)
})

test('what is known of requests by their bytes holds no answer that is packed, and finds it again', async () => {
  const origin = site()
  await start(origin)
  const socket = connect(edge.port, '127.0.0.1')
  await once(socket, 'connect')
  const ask = async () => {
    socket.write('GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n')
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    return bytes.toString('latin1')
  }
  await edge.ask('/a')
  expect(await ask()).toContain('X-Cache: Hit from nearcast')
  pushOut()
  const asked = origin.requests.length
  const answer = await ask()
  expect(answer).toContain('X-Cache: Hit from nearcast')
  expect(answer.endsWith(bodyOf('/a'))).toBe(true)
  expect(origin.requests).toHaveLength(asked)
  socket.destroy()
})

test('packed answers of one key come back for those they were made for', async () => {
  const origin = scriptedOrigin('site', ({ path, headers }) => {
    const fields = { vary: 'accept-language', 'cache-control': 'max-age=600' }
    return message(200, fields, text(`${path} in ${String(headers['accept-language'])}`))
  })
  const key = { query: 'all', queryOrder: 'kept', headers: 'none', cookies: 'none' } as const
  await start(origin, { behaviors: [{ semantics: 'rfc', key }] })
  const inLanguage = (language: string) =>
    edge.ask('/a', { headers: { 'accept-language': language } })
  for (const language of ['de', 'en']) await inLanguage(language)
  pushOut()
  const asked = origin.requests.length
  for (const language of ['en', 'de'])
    expect((await inLanguage(language)).text).toBe(`/a in ${language}`)
  expect(origin.requests).toHaveLength(asked)
  expect((await inLanguage('fr')).headers['x-cache']).toBe('Miss from nearcast')
})

test('invalidations hold for what is packed: hard, soft, by tag, and undone', async () => {
  const origin = site({ 'cache-tag': 'red', etag: 'W/"1"' })
  await start(origin)
  for (const path of ['/hard', '/soft', '/back']) await edge.ask(path)
  pushOut()
  edge.invalidate('/hard')
  edge.invalidateSoftly('/soft')
  const undone = edge.invalidate('/back')
  edge.undo(undone, '/back')
  expect((await edge.ask('/hard')).headers['x-cache']).toBe('Miss from nearcast')
  expect((await edge.ask('/soft')).headers['x-cache']).not.toBe('Hit from nearcast')
  expect((await edge.ask('/back')).headers['x-cache']).toBe('Hit from nearcast')
  pushOut()
  edge.invalidate('#red')
  expect((await edge.ask('/back')).headers['x-cache']).toBe('Miss from nearcast')
})

test('RFC 9111 §4.4: an unsafe request holds against what is packed', async () => {
  const origin = site()
  await start(origin)
  await edge.ask('/a')
  pushOut()
  await edge.ask('/a', { method: 'POST' })
  expect((await edge.ask('/a')).headers['x-cache']).toBe('Miss from nearcast')
})

test('a newer answer, newer facts and a word that nothing is to be kept all take the packed one away', async () => {
  let fields: Record<string, string> = { 'cache-control': 'max-age=10', etag: '"1"' }
  let body = 'first'
  const origin = scriptedOrigin('site', ({ path, headers }) => {
    if (path !== '/a') return message(200, { 'cache-control': 'max-age=9999' }, text(bodyOf(path)))
    if (headers['if-none-match'] === fields['etag'] && fields['etag'] !== undefined)
      return message(304, fields)
    return message(200, fields, text(body))
  })
  await start(origin)
  await edge.ask('/a')
  pushOut()
  // Newer facts: fresh for long, and so it stays once it is packed again.
  await edge.clock.advance(20_000)
  fields = { 'cache-control': 'max-age=1000', etag: '"1"' }
  expect((await edge.ask('/a')).headers['x-cache']).toBe('RefreshHit from nearcast')
  pushOut()
  await edge.clock.advance(500_000)
  expect((await edge.ask('/a')).headers['x-cache']).toBe('Hit from nearcast')
  // A newer answer.
  await edge.clock.advance(600_000)
  fields = { 'cache-control': 'max-age=10', etag: '"2"' }
  body = 'second'
  expect((await edge.ask('/a')).text).toBe('second')
  pushOut()
  expect((await edge.ask('/a')).text).toBe('second')
  // Nothing is to be kept.
  pushOut()
  await edge.clock.advance(20_000)
  fields = { 'cache-control': 'no-store' }
  body = 'third'
  expect((await edge.ask('/a')).text).toBe('third')
  body = 'fourth'
  expect((await edge.ask('/a')).text).toBe('fourth')
})

test('an answer whose bytes can be asked for again is packed with them, and ranges of it are answered', async () => {
  const bytes = Buffer.from(bodyOf('/film'))
  const film = rangeOrigin('film', bytes)
  const origin = site()
  edge = await startEdge({
    origins: [origin, film],
    memoryBytes: 2048 * KIB,
    behaviors: [{ path: '/film', origin: 'film' }, {}],
  })
  await edge.ask('/film')
  pushOut()
  expect(isHot('/film')).toBe(false)
  const fetched = film.fetched
  const answer = await edge.ask('/film', { headers: { range: 'bytes=10-29' } })
  expect(answer.status).toBe(206)
  expect(answer.text).toBe(bytes.toString('utf8', 10, 30))
  expect((await edge.ask('/film')).body.equals(bytes)).toBe(true)
  expect(film.fetched).toBe(fetched)
})

test('answers without a body and kept errors are packed; a failure of the origin is not', async () => {
  let down = false
  const origin = scriptedOrigin('site', ({ path }) => {
    if (path === '/moved')
      return message(301, { location: '/b', 'cache-control': 'max-age=600' }, null)
    if (path === '/none') return message(404, { 'cache-control': 'max-age=600' }, text('none'))
    if (path === '/down' && down) throw new Error('down')
    return message(200, { 'cache-control': 'max-age=600' }, text(bodyOf(path)))
  })
  await start(origin)
  await edge.ask('/moved')
  await edge.ask('/none')
  down = true
  expect((await edge.ask('/down')).status).toBe(502)
  pushOut()
  const asked = origin.requests.length
  expect((await edge.ask('/moved')).headers['location']).toBe('/b')
  expect((await edge.ask('/none')).text).toBe('none')
  expect(origin.requests).toHaveLength(asked)
  down = false
  expect((await edge.ask('/down')).status).toBe(200)
})

test('a dry run counts what is packed', async () => {
  await start(site())
  await edge.ask('/a/1')
  await edge.ask('/a/2')
  pushOut()
  const options = { examples: 5, signal: new AbortController().signal }
  const names = { distribution: 'default', paths: ['/a/*'] }
  const preview = await previewInvalidation(edge, names, options)
  const bytes = bodyOf('/a/1').length + bodyOf('/a/2').length
  expect(preview).toEqual({ objects: 2, bytes, examples: ['/a/1', '/a/2'] })
  await edge.ask('/a/1')
  expect(await previewInvalidation(edge, names, options)).toMatchObject({
    objects: 2,
    bytes,
  })
})

test('a dry run lets others go on after 2 ms, also past what counts no more', async () => {
  await start(site())
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 300; i++) await edge.ask(`/a/${i}`)
    pushOut()
    edge.invalidate('/*')
  }
  let at = 0
  const clock = { ...systemClock, monotonic: () => at++ }
  let turns = 0
  let over = false
  const turn = () => {
    turns++
    if (!over) setImmediate(turn)
  }
  setImmediate(turn)
  const { cache } = edge
  const options = { examples: 5, signal: new AbortController().signal }
  const names = { distribution: 'default', paths: ['/a/*'] }
  await previewInvalidation({ cache, clock, changes: () => edge.changes() }, names, options)
  over = true
  expect(turns).toBeGreaterThan(300 / 32)
})

test('hot objects are few whatever the memory, and all that was asked for is still there', async () => {
  const origin = site()
  await start(origin, { memoryBytes: 16 * KIB * KIB })
  for (let i = 0; i < 800; i++) await edge.ask(`/f${i}`)
  const { objects, packedRecords } = edge.cache.stats()
  expect(objects).toBeLessThanOrEqual(530)
  expect(objects + packedRecords).toBe(800)
  for (let i = 0; i < 800; i += 37)
    expect((await edge.ask(`/f${i}`)).headers['x-cache']).toBe('Hit from nearcast')
  expect(origin.requests).toHaveLength(800)
})
