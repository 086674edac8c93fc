import { afterEach, describe, expect, test } from 'vitest'
import type { OriginMessage, OriginRequest } from '../../server/http/message.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

const HIT = 'Hit from nearcast'
const MISS = 'Miss from nearcast'

/** An edge under the standard alone, in front of one origin. */
async function standard(
  answer: (request: OriginRequest, count: number) => OriginMessage | Promise<OriginMessage>,
) {
  const origin = scriptedOrigin('site', answer)
  edge = await startEdge({
    origins: [origin],
    behaviors: [{ semantics: 'rfc', methods: 'all' }],
  })
  return origin
}

function page(body: string, headers: Readonly<Record<string, string>> = {}): OriginMessage {
  return message(200, { 'cache-control': 'max-age=60', ...headers }, text(body))
}

describe('Age (RFC 9111 §4.2.3, §5.1)', () => {
  test('passes with an answer as it came, however long the origin took', async () => {
    await standard(async () => {
      await edge.clock.advance(3000)
      return page('x', { 'cache-control': 'max-age=3600', age: '25' })
    })

    expect((await edge.ask('/a')).headers.age).toBe('25')
    await edge.clock.advance(2000)
    // 25, the 3 s it took to come, the 2 s it lay here.
    expect((await edge.ask('/a')).headers.age).toBe('30')
  })

  test.each([
    ['abc', HIT],
    ['-7200', HIT],
    ['7200.0', HIT],
    ['0, 7200', HIT],
    ['7200, 0', MISS],
    ['2147483649', MISS],
    ['7200;a=b', MISS],
  ])('of %s makes of an hour’s lifetime: %s', async (age, result) => {
    await standard(() => page('x', { 'cache-control': 'max-age=3600', age }))
    await edge.ask('/a')
    expect((await edge.ask('/a')).headers['x-cache']).toBe(result)
  })

  test('that is no number is not passed on', async () => {
    await standard(() => page('x', { age: 'abc' }))
    expect((await edge.ask('/a')).headers.age).toBeUndefined()
  })
})

test('what Date cut off takes nothing from a short lifetime (§4.2.3)', async () => {
  await standard(() => {
    const date = new Date(edge.clock.now() - 1000).toUTCString()
    return page('x', { 'cache-control': 'max-age=2', date })
  })
  await edge.ask('/a')
  await edge.clock.advance(1900)
  expect((await edge.ask('/a')).headers['x-cache']).toBe(HIT)
  await edge.clock.advance(200)
  expect((await edge.ask('/a')).headers['x-cache']).toBe(MISS)
})

describe('HEAD of what is stored and stale (§4.3.5)', () => {
  test('updates it: fields that it names, the lifetime, nothing else', async () => {
    const origin = await standard(({ method }) =>
      method === 'HEAD'
        ? message(200, { 'cache-control': 'max-age=600', 'x-b': '2', 'content-length': '5' })
        : page('hello', { 'x-a': '1', 'x-b': '1' }),
    )
    await edge.ask('/a')
    await edge.clock.advance(61_000)

    const head = await edge.ask('/a', { method: 'HEAD' })
    const get = await edge.ask('/a')

    expect(head.headers).toMatchObject({ 'x-a': '1', 'x-b': '2' })
    expect(get).toMatchObject({ text: 'hello' })
    expect(get.headers).toMatchObject({ 'x-cache': HIT, 'x-a': '1', 'x-b': '2' })
    expect(origin.requests).toHaveLength(2)
  })

  test.each([
    ['another etag', { etag: '"v2"', 'content-length': '5' }],
    ['another Last-Modified', { 'last-modified': 'Thu, 02 Jan 2025 00:00:00 GMT' }],
    ['another length', { 'content-length': '6' }],
  ])('does away with it when it has %s', async (_, fields) => {
    await standard(({ method }) => {
      const stored = { etag: '"v1"', 'last-modified': 'Wed, 01 Jan 2025 00:00:00 GMT' }
      return method === 'HEAD'
        ? message(200, { 'cache-control': 'max-age=600', ...fields })
        : page('hello', stored)
    })
    await edge.ask('/a')
    await edge.clock.advance(61_000)
    await edge.ask('/a', { method: 'HEAD' })
    expect((await edge.ask('/a')).headers['x-cache']).toBe(MISS)
  })

  test('does not bring back what an invalidation has made stale, without a validator', async () => {
    await standard(({ method }) =>
      method === 'HEAD' ? message(200, { 'cache-control': 'max-age=600' }) : page('hello'),
    )
    await edge.ask('/a')
    edge.invalidateSoftly('/a')
    await edge.ask('/a', { method: 'HEAD' })
    expect((await edge.ask('/a')).headers['x-cache']).toBe(MISS)
  })

  test('that fails changes nothing', async () => {
    await standard(({ method }) =>
      method === 'HEAD' ? message(503, {}) : page('hello', { etag: '"v1"' }),
    )
    await edge.ask('/a')
    await edge.clock.advance(61_000)
    expect((await edge.ask('/a', { method: 'HEAD' })).headers.etag).toBe('"v1"')
    expect(edge.cache.stats().objects).toBe(1)
  })
})

test('HEAD that passes over a fresh answer and finds another one does away with it (§4.3.5)', async () => {
  await standard(({ method }) =>
    method === 'HEAD' ? message(200, { 'content-length': '6' }) : page('hello'),
  )
  await edge.ask('/a')
  await edge.ask('/a', { method: 'HEAD', headers: { 'cache-control': 'no-cache' } })
  expect((await edge.ask('/a')).headers['x-cache']).toBe(MISS)
})

describe('304 (§4.3.4)', () => {
  test('with another strong etag updates nothing: the whole is asked for', async () => {
    const origin = await standard(({ headers }, count) =>
      headers['if-none-match'] !== undefined
        ? message(304, { etag: '"v2"', 'x-a': '2' })
        : page(`${count}`, { etag: count === 1 ? '"v1"' : '"v2"' }),
    )
    await edge.ask('/a')
    await edge.clock.advance(61_000)

    const answer = await edge.ask('/a')

    expect(answer).toMatchObject({ status: 200, text: '3' })
    expect(answer.headers).toMatchObject({ etag: '"v2"' })
    expect(answer.headers['x-a']).toBeUndefined()
    expect(origin.requests).toHaveLength(3)
  })

  test.each(['W/"v1"', '"v1"'])('with the same etag as %s updates', async (etag) => {
    await standard(({ headers }) =>
      headers['if-none-match'] === undefined
        ? page('x', { etag: '"v1"' })
        : message(304, { etag, 'cache-control': 'max-age=600' }),
    )
    await edge.ask('/a')
    await edge.clock.advance(61_000)
    await edge.ask('/a')
    await edge.clock.advance(61_000)
    expect((await edge.ask('/a')).headers['x-cache']).toBe(HIT)
  })
})

describe('conditions of viewers (§4.3.2)', () => {
  test('If-Modified-Since is compared with Date where there is no Last-Modified', async () => {
    await standard(() =>
      page('x', { date: 'Wed, 01 Jan 2025 00:00:00 GMT', 'cache-control': 's-maxage=999999999' }),
    )
    const since = async (date: string) =>
      (await edge.ask('/a', { headers: { 'if-modified-since': date } })).status
    expect(await since('Wed, 01 Jan 2025 00:00:00 GMT')).toBe(304)
    expect(await since('Tue, 31 Dec 2024 23:59:59 GMT')).toBe(200)
  })

  test.each([
    ['if-match', '"v2"'],
    ['if-unmodified-since', 'Wed, 01 Jan 2020 00:00:00 GMT'],
  ])('%s is the origin’s to decide, also beside Range', async (name, value) => {
    const origin = await standard(({ headers }) =>
      headers[name] === undefined ? page('x', { etag: '"v1"' }) : message(412, {}),
    )
    await edge.ask('/a')
    const alone = await edge.ask('/a', { headers: { [name]: value } })
    const ranged = await edge.ask('/a', { headers: { [name]: value, range: 'bytes=0-0' } })

    expect([alone.status, ranged.status]).toEqual([412, 412])
    expect(alone.headers['cache-status']).toBe('nearcast; fwd=request')
    expect(origin.requests[2]?.headers).toMatchObject({ [name]: value, range: 'bytes=0-0' })
    expect((await edge.ask('/a')).headers['x-cache']).toBe(HIT)
  })

  test('If-None-Match: * holds for whatever is stored', async () => {
    await standard(() => page('x', { etag: '"v1"' }))
    await edge.ask('/a')
    expect((await edge.ask('/a', { headers: { 'if-none-match': '*' } })).status).toBe(304)
  })
})

describe('Cache-Control of viewers (§5.2.1)', () => {
  test('no-store keeps nothing of the request and its answer', async () => {
    const origin = await standard(() => page('x'))
    const ask = () => edge.ask('/a', { headers: { 'cache-control': 'no-store' } })
    expect((await ask()).headers['cache-status']).toBe('nearcast; fwd=request')
    expect(edge.cache.stats().objects).toBe(0)
    await ask()
    expect(origin.requests).toHaveLength(2)
  })

  test('no-store does not lead past only-if-cached', async () => {
    const origin = await standard(() => page('x'))
    const headers = { 'cache-control': 'no-store, only-if-cached' }
    expect((await edge.ask('/a', { headers })).status).toBe(504)
    expect(origin.requests).toHaveLength(0)
  })

  test('max-stale takes what is stale for so long, and without a number for any time', async () => {
    await standard(() => page('x'))
    const ask = async (control: string) =>
      (await edge.ask('/a', { headers: { 'cache-control': control } })).headers['x-cache']
    await edge.ask('/a')
    await edge.clock.advance(90_000)
    expect(await ask('max-stale')).toBe(HIT)
    expect(await ask('max-stale=31')).toBe(HIT)
    expect(await ask('max-stale=29')).toBe(MISS)
  })
})

test('private with names keeps those fields from other viewers, and the rest is stored (§5.2.2.7)', async () => {
  await standard(() =>
    page('x', { 'cache-control': 'private="x-me", max-age=60', 'x-me': '1', 'x-all': '2' }),
  )
  expect((await edge.ask('/a')).headers).toMatchObject({ 'x-me': '1', 'x-all': '2' })
  const { headers } = await edge.ask('/a')
  expect(headers).toMatchObject({ 'x-cache': HIT, 'x-all': '2' })
  expect(headers['x-me']).toBeUndefined()
})

test('what names other hosts in Location and Content-Location invalidates nothing of theirs (§4.4)', async () => {
  await standard(({ method }) =>
    method === 'POST'
      ? message(201, {
          location: 'http://other.example/a',
          'content-location': '//other.example/a',
        })
      : page('x'),
  )
  await edge.ask('/a')
  await edge.ask('/b', { method: 'POST' })
  expect((await edge.ask('/a')).headers['x-cache']).toBe(HIT)
})

test.each([300, 301, 308, 404, 405, 410, 414, 501])(
  'a %i without a lifetime is fresh for a tenth of the time since its last change (§4.2.2)',
  async (status) => {
    await standard(() => {
      const now = edge.clock.now()
      const changed = new Date(now - 1_000_000).toUTCString()
      return message(status, { 'last-modified': changed, location: '/b' }, text('x'))
    })
    await edge.ask('/a')
    await edge.clock.advance(90_000)
    expect((await edge.ask('/a')).headers).toMatchObject({ age: '90', location: '/b' })
    await edge.clock.advance(20_000)
    expect((await edge.ask('/a')).headers.age).toBeUndefined()
  },
)
