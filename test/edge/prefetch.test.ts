import { afterEach, expect, test, vi } from 'vitest'
import { deferred } from '../../server/lib/deferred.ts'
import { pulledBody } from '../../server/storage/pulled-body.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'
import { PATIENT } from '../support/patience.ts'

let edge: EdgeFixture
/** A plain request, such as is answered from its bytes. */
const KEPT_ALIVE = { headers: { connection: 'keep-alive' } }
afterEach(() => edge.close())

const TYPE = { 'content-type': 'application/vnd.apple.mpegurl', 'cache-control': 'max-age=60' }

function playlist(segments: readonly string[], end = true): Uint8Array {
  const lines = segments.map((uri) => `#EXTINF:2,\n${uri}\n`)
  return text(`#EXTM3U\n#EXT-X-TARGETDURATION:2\n${lines.join('')}${end ? '#EXT-X-ENDLIST\n' : ''}`)
}

function film(count: number) {
  const names = Array.from({ length: count }, (_, i) => `s${i}.ts`)
  return scriptedOrigin('site', ({ path }) =>
    path.endsWith('.m3u8')
      ? message(200, TYPE, playlist(names))
      : message(200, { 'cache-control': 'max-age=60' }, text(path)),
  )
}

test('the third segment of a playlist is there before it is asked for, and then the next', async () => {
  const origin = film(6)
  edge = await startEdge({ origins: [origin] })
  const asked = () => origin.requests.map(({ path }) => path)
  await edge.ask('/f/main.m3u8')
  await edge.ask('/f/s0.ts')
  expect(asked()).toEqual(['/f/main.m3u8', '/f/s0.ts'])
  await edge.ask('/f/s1.ts')
  await vi.waitUntil(() => asked().includes('/f/s2.ts'), PATIENT)
  expect((await edge.ask('/f/s2.ts')).headers['x-cache']).toBe('Hit from nearcast')
  await vi.waitUntil(() => asked().includes('/f/s3.ts'), PATIENT)
  expect(asked().filter((path) => path === '/f/s2.ts')).toHaveLength(1)
})

test('who only looks in, seeks about, or is at the end has nothing fetched for him', async () => {
  const origin = film(4)
  edge = await startEdge({ origins: [origin] })
  for (const path of ['main.m3u8', 's0.ts', 's2.ts', 's3.ts']) await edge.ask(`/f/${path}`)
  await edge.ask('/other')
  expect(origin.requests.map(({ path }) => path)).toEqual([
    '/f/main.m3u8',
    '/f/s0.ts',
    '/f/s2.ts',
    '/f/s3.ts',
    '/other',
  ])
})

test('a segment that fails, or lies on another host, is nobody’s error', async () => {
  const names = ['s0.ts', 's1.ts', 's2.ts', 'http://other.test/s3.ts', '::::', 's5.ts']
  const origin = scriptedOrigin('site', ({ path }) => {
    if (path.endsWith('.m3u8')) return message(200, TYPE, playlist(names))
    if (path.endsWith('s2.ts')) throw new Error('gone')
    return message(200, { 'cache-control': 'max-age=60' }, text(path))
  })
  edge = await startEdge({ origins: [origin] })
  for (const path of ['main.m3u8', 's0.ts', 's1.ts']) await edge.ask(`/f/${path}`)
  await vi.waitUntil(() => origin.requests.some(({ path }) => path === '/f/s2.ts'), PATIENT)
  expect((await edge.ask('/f/s5.ts')).status).toBe(200)
})

test('a playlist that grows brings the segment after the last one watched', async () => {
  let count = 3
  const origin = scriptedOrigin('site', ({ path }) =>
    path.endsWith('.m3u8')
      ? message(
          200,
          { ...TYPE, 'cache-control': 'max-age=1' },
          playlist(
            Array.from({ length: count }, (_, i) => `s${i}.ts`),
            false,
          ),
        )
      : message(200, { 'cache-control': 'max-age=60' }, text(path)),
  )
  edge = await startEdge({ origins: [origin] })
  for (const path of ['main.m3u8', 's1.ts', 's2.ts']) await edge.ask(`/f/${path}`)
  count = 4
  await edge.clock.advance(2000)
  await edge.ask('/f/main.m3u8')
  await vi.waitUntil(() => origin.requests.some(({ path }) => path === '/f/s3.ts'), PATIENT)
})

test('text that is no playlist is left alone', async () => {
  const origin = scriptedOrigin('site', () => message(200, TYPE, text('not a playlist')))
  edge = await startEdge({ origins: [origin] })
  expect((await edge.ask('/a.m3u8')).text).toBe('not a playlist')
})

test('a playlist whose addresses would fill memory is served, and not followed', async () => {
  const names = Array.from({ length: 20_000 }, (_, i) => `s${i}`)
  const origin = scriptedOrigin('site', ({ path }) =>
    path.endsWith('.m3u8')
      ? message(200, TYPE, playlist(names))
      : message(200, { 'cache-control': 'max-age=60' }, text('segment')),
  )
  edge = await startEdge({ origins: [origin] })
  const folder = `/${'f'.repeat(1000)}`
  for (const name of ['main.m3u8', 's0', 's1', 's3']) await edge.ask(`${folder}/${name}`)
  expect(origin.requests).toHaveLength(4)
})

test('a playlist that is served again and again is followed still', async () => {
  const origin = film(6)
  edge = await startEdge({ origins: [origin] })
  for (const name of ['main.m3u8', 's0.ts', 'main.m3u8', 's1.ts', 'main.m3u8'])
    await edge.ask(`/f/${name}`)
  await vi.waitUntil(() => origin.requests.some(({ path }) => path === '/f/s2.ts'), PATIENT)
})

test('a segment that is for one viewer alone still reaches him when it would be fetched ahead', async () => {
  const gate = deferred()
  const names = ['s0.ts', 's1.ts', 's2.ts']
  const origin = scriptedOrigin('site', async ({ path, signal }) => {
    if (path.endsWith('.m3u8')) return message(200, TYPE, playlist(names))
    if (!path.endsWith('s2.ts')) return message(200, { 'cache-control': 'max-age=60' }, text(path))
    await gate.promise
    return message(200, { 'cache-control': 'no-store' }, pulledBody({ ...pieces(), signal }))
  })
  edge = await startEdge({ origins: [origin] })
  const alone = edge.ask('/f/s2.ts')
  await vi.waitUntil(() => origin.requests.length === 1, PATIENT)
  for (const path of ['main.m3u8', 's0.ts', 's1.ts']) await edge.ask(`/f/${path}`)
  gate.resolve()

  expect((await alone).text).toBe('one two three ')
})

function endless(signal: AbortSignal) {
  return pulledBody({ pull: () => deferred<undefined>().promise, release: () => {}, signal })
}

function pieces() {
  const left = ['one ', 'two ', 'three ']
  const pull = async () => {
    const next = left.shift()
    return next === undefined ? undefined : text(next)
  }
  return { pull, release: () => {} }
}

test('a segment that does not come to its end is given up, and others are fetched', async () => {
  const names = ['s0.ts', 's1.ts', 's2.ts']
  const origin = scriptedOrigin('site', ({ path, signal }) => {
    if (path.endsWith('.m3u8')) return message(200, TYPE, playlist(names))
    const fields = { 'cache-control': 'max-age=60' }
    if (!path.endsWith('s2.ts')) return message(200, fields, text(path))
    return message(200, fields, endless(signal))
  })
  edge = await startEdge({ origins: [origin] })
  for (const path of ['main.m3u8', 's0.ts', 's1.ts']) await edge.ask(`/f/${path}`)
  await vi.waitUntil(() => origin.requests.length === 4, PATIENT)
  await edge.clock.advance(60_000)
  await vi.waitUntil(() => origin.requests[3]?.signal.aborted === true, PATIENT)
})

test('a body that is fetched anew in the background and has no end is given up', async () => {
  const origin = scriptedOrigin('site', ({ signal }, count) => {
    const fields = { 'cache-control': 'max-age=1, stale-while-revalidate=600' }
    if (count === 1) return message(200, fields, text('first'))
    return message(200, fields, endless(signal))
  })
  edge = await startEdge({ origins: [origin] })
  await edge.ask('/page')
  await edge.clock.advance(2000)
  expect((await edge.ask('/page')).text).toBe('first')
  await vi.waitUntil(() => origin.requests.length === 2, PATIENT)
  await edge.clock.advance(600_000)
  await vi.waitUntil(() => origin.requests[1]?.signal.aborted === true, PATIENT)
})

test('segments that are hits on a connection of their own bring the next one, too', async () => {
  const origin = film(6)
  edge = await startEdge({ origins: [origin] })
  const asked = () => origin.requests.map(({ path }) => path)
  for (const name of ['s0.ts', 's1.ts', 'main.m3u8']) await edge.ask(`/f/${name}`)
  expect(asked()).not.toContain('/f/s2.ts')
  for (const name of ['s0.ts', 's1.ts'])
    expect((await edge.ask(`/f/${name}`, KEPT_ALIVE)).headers['x-cache']).toBe('Hit from nearcast')
  await vi.waitUntil(() => asked().includes('/f/s2.ts'), PATIENT)
})
