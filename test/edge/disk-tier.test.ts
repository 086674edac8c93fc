import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DiskStore } from '../../server/cache/tier/disk-store.ts'
import { Resting } from '../../server/cache/tier/resting.ts'
import { explainUrl } from '../../server/edge/explain.ts'
import type { Origin } from '../../server/http/message.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
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
const MIB = 1024 * KIB

let folder = ''
const running: { edge: EdgeFixture; disk: DiskStore }[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nearcast-tier-'))
})
afterEach(async () => {
  for (const { edge, disk } of running.splice(0)) {
    await edge.close()
    await disk.close()
  }
  rmSync(folder, { recursive: true, force: true })
})

/** Each start is another process: its memory is empty, its own invalidations begin anew. */
async function start(
  origins: readonly Origin[],
  options: { run?: string; memoryBytes?: number; diskBytes?: number } = {},
) {
  const disk = await DiskStore.open({
    folder,
    diskBytes: options.diskBytes ?? 32 * MIB,
    fingerprint: 1,
    log: silentLog,
    random: systemRandom,
  })
  const resting = new Resting({ disk, run: options.run ?? String(running.length) })
  const edge = await startEdge({
    origins,
    resting,
    sliceBytes: 64 * KIB,
    memoryBytes: options.memoryBytes ?? 8 * MIB,
    behaviors: [
      {
        methods: 'all',
        key: { query: 'all', queryOrder: 'kept', headers: 'none', cookies: 'none' },
      },
    ],
  })
  running.push({ edge, disk })
  return { edge, disk }
}

async function restart(origins: readonly Origin[]) {
  for (const { edge, disk } of running) {
    await edge.close()
    await disk.close()
  }
  return start(origins)
}

function site(body = 'hello'): ScriptedOrigin {
  return scriptedOrigin('site', (request) =>
    request.method === 'POST'
      ? message(204)
      : message(200, { 'content-type': 'text/plain', 'cache-control': 'max-age=600' }, text(body)),
  )
}

test('after a restart an answer is a hit, with its fields and its age', async () => {
  const origin = site()
  const before = await start([origin])
  await before.edge.ask('/a')
  await before.disk.flushed()
  const { edge } = await restart([origin])
  await edge.clock.advance(5000)
  const answer = await edge.ask('/a')
  expect(answer.text).toBe('hello')
  expect(answer.headers['content-type']).toBe('text/plain')
  expect(answer.headers['x-cache']).toBe('Hit from nearcast')
  expect(answer.headers['age']).toBe('5')
  expect(origin.requests).toHaveLength(1)
})

test('an answer that only rests on the disk is explained as stored, and stays there', async () => {
  const origin = site()
  const before = await start([origin])
  await before.edge.ask('/a')
  await before.disk.flushed()
  const { edge } = await restart([origin])
  await edge.clock.advance(5000)
  const { cache, clock } = edge
  const explain = (path: string) =>
    explainUrl({ cache, clock, state: edge.state, origins: () => origin }, path)
  expect(await explain('/a')).toMatchObject({
    stored: true,
    tier: 'disk',
    decision: { kind: 'serve' },
    ageSeconds: 5,
  })
  expect(cache.stats().objects).toBe(0)
  expect(await explain('/b')).toMatchObject({ stored: false, decision: { kind: 'fetch' } })
  await edge.ask('/a')
  expect(await explain('/a')).toMatchObject({ stored: true, tier: 'memory' })
  edge.invalidate('/a')
  expect(await explain('/a')).toMatchObject({ decision: { kind: 'fetch' } })
})

test('an answer with Vary comes back for those it was made for', async () => {
  const origin = scriptedOrigin('site', ({ headers }) => {
    const fields = { vary: 'accept-language', 'cache-control': 'max-age=600' }
    return message(200, fields, text(`in ${String(headers['accept-language'])}`))
  })
  const before = await start([origin])
  const behavior = {
    semantics: 'rfc',
    key: { query: 'all', queryOrder: 'kept', headers: 'none', cookies: 'none' },
  } as const
  before.edge.setBehaviors([behavior])
  for (const language of ['de', 'en'])
    await before.edge.ask('/a', { headers: { 'accept-language': language } })
  await before.disk.flushed()
  const { edge } = await restart([origin])
  edge.setBehaviors([behavior])
  for (const language of ['en', 'de', 'fr']) {
    const answer = await edge.ask('/a', { headers: { 'accept-language': language } })
    expect(answer.text).toBe(`in ${language}`)
  }
  expect(origin.requests).toHaveLength(3)
})

test('what was invalidated is not served after a restart, nor what belongs to a lost log', async () => {
  const origin = site()
  const before = await start([origin])
  for (const path of ['/a', '/b', '/c']) await before.edge.ask(path)
  await before.disk.flushed()
  const second = await restart([origin])
  second.edge.invalidate('/a')
  expect((await second.edge.ask('/a')).headers['x-cache']).toBe('Miss from nearcast')
  expect((await second.edge.ask('/b')).headers['x-cache']).toBe('Hit from nearcast')
  second.edge.setEpoch('e2')
  expect((await second.edge.ask('/c')).headers['x-cache']).toBe('Miss from nearcast')
})

test('RFC 9111 §4.4: an unsafe request holds against what rests, also after a restart', async () => {
  const origin = site()
  const before = await start([origin])
  await before.edge.ask('/a?x=1')
  await before.edge.ask('/b')
  await before.edge.clock.advance(1000)
  await before.edge.ask('/a', { method: 'POST' })
  await before.disk.flushed()
  const { edge } = await restart([origin])
  expect((await edge.ask('/a?x=1')).headers['x-cache']).toBe('Miss from nearcast')
  expect((await edge.ask('/b')).headers['x-cache']).toBe('Hit from nearcast')
})

test('a failure of the origin is not kept over a restart', async () => {
  let up = false
  const origin = scriptedOrigin('site', () => {
    if (!up) throw new Error('down')
    return message(200, { 'cache-control': 'max-age=60' }, text('up'))
  })
  const before = await start([origin])
  expect((await before.edge.ask('/a')).status).toBe(502)
  await before.disk.flushed()
  up = true
  const { edge } = await restart([origin])
  expect((await edge.ask('/a')).text).toBe('up')
})

test('an answer that may not be kept any more takes the resting one with it', async () => {
  let control = 'max-age=10'
  const origin = scriptedOrigin('site', (_, count) =>
    message(200, { 'cache-control': control, etag: `"${count}"` }, text(`version ${count}`)),
  )
  const before = await start([origin])
  await before.edge.ask('/a')
  await before.edge.clock.advance(11_000)
  control = 'no-store'
  expect((await before.edge.ask('/a')).text).toBe('version 2')
  await before.disk.flushed()
  const { edge } = await restart([origin])
  expect((await edge.ask('/a')).text).toBe('version 3')
})

test('a 304 makes the resting answer as fresh as the one in memory', async () => {
  const origin = scriptedOrigin('site', ({ headers }) => {
    const fields = { etag: 'W/"1"', 'cache-control': 'max-age=10' }
    return headers['if-none-match'] === undefined
      ? message(200, fields, text('same'))
      : message(304, { ...fields, 'cache-control': 'max-age=600' })
  })
  const before = await start([origin])
  await before.edge.ask('/a')
  await before.edge.clock.advance(11_000)
  await before.edge.ask('/a')
  await before.disk.flushed()
  const { edge } = await restart([origin])
  await edge.clock.advance(60_000)
  const answer = await edge.ask('/a')
  expect(answer.headers['x-cache']).toBe('Hit from nearcast')
  expect(answer.text).toBe('same')
})

test('slices of a large object that were read twice are not fetched again after a restart', async () => {
  const bytes = Buffer.from(Array.from({ length: 300 * KIB }, (_, i) => (i * 7 + (i >> 9)) & 255))
  const origin = rangeOrigin('site', bytes)
  const before = await start([origin])
  for (let i = 0; i < 2; i++) await before.edge.ask('/film')
  await before.disk.flushed()
  const asked = origin.fetched
  const { edge } = await restart([origin])
  const answer = await edge.ask('/film', { headers: { range: 'bytes=70000-250000' } })
  expect(answer.status).toBe(206)
  expect(answer.body.equals(bytes.subarray(70_000, 250_001))).toBe(true)
  expect((await edge.ask('/film')).body.equals(bytes)).toBe(true)
  expect(origin.fetched).toBe(asked)
})

test('slices that are damaged on the disk are fetched from the origin', async () => {
  const bytes = Buffer.from(Array.from({ length: 300 * KIB }, (_, i) => (i * 7 + (i >> 9)) & 255))
  const origin = rangeOrigin('site', bytes)
  const before = await start([origin])
  for (let i = 0; i < 2; i++) await before.edge.ask('/film')
  await before.disk.flushed()
  await before.edge.close()
  await before.disk.close()
  running.length = 0
  for (const name of readdirSync(folder).filter((one) => one.endsWith('.segment'))) {
    const file = await readFile(join(folder, name))
    const at = file.indexOf(bytes.subarray(70 * KIB, 71 * KIB))
    expect(at).toBeGreaterThan(0)
    file[at] = (file[at] ?? 0) ^ 1
    await writeFile(join(folder, name), file)
  }
  const asked = origin.fetched
  const { edge } = await start([origin])
  expect((await edge.ask('/film')).body.equals(bytes)).toBe(true)
  expect(origin.fetched - asked).toBeGreaterThan(0)
  expect(origin.fetched - asked).toBeLessThan(bytes.length)
})

test('what memory gave up comes back from the disk', async () => {
  const origin = scriptedOrigin('site', ({ path }) =>
    message(200, { 'cache-control': 'max-age=600' }, Buffer.alloc(40 * KIB, path)),
  )
  const { edge, disk } = await start([origin], { memoryBytes: 512 * KIB })
  for (let i = 0; i < 60; i++) await edge.ask(`/f${i}`)
  await disk.flushed()
  const answer = await edge.ask('/f0')
  expect(answer.headers['x-cache']).toBe('Hit from nearcast')
  expect(answer.body.equals(Buffer.alloc(40 * KIB, '/f0'))).toBe(true)
  expect(origin.requests).toHaveLength(60)
})

test('what is read again and again in memory does not leave the disk', async () => {
  const origin = scriptedOrigin('site', ({ path }) =>
    message(200, { 'cache-control': 'max-age=600' }, Buffer.alloc(20 * KIB, path)),
  )
  const before = await start([origin], { memoryBytes: 256 * KIB, diskBytes: 2 * MIB })
  for (let i = 0; i < 300; i++) {
    await before.edge.ask('/loved')
    await before.edge.ask(`/once${i}`)
    await before.disk.flushed()
  }
  const { edge } = await restart([origin])
  expect((await edge.ask('/loved')).headers['x-cache']).toBe('Hit from nearcast')
  expect((await edge.ask('/once0')).headers['x-cache']).toBe('Miss from nearcast')
  expect(origin.requests.filter(({ path }) => path === '/loved')).toHaveLength(1)
})

test('many who ask at once for what rests are served from one read, the origin is not asked', async () => {
  const origin = site('x'.repeat(200 * KIB))
  const before = await start([origin])
  await before.edge.ask('/a')
  await before.disk.flushed()
  const { edge } = await restart([origin])
  const answers = await Promise.all(Array.from({ length: 20 }, () => edge.ask('/a')))
  expect(answers.every(({ body }) => body.length === 200 * KIB)).toBe(true)
  expect((await edge.ask('/a', { method: 'HEAD' })).headers['content-length']).toBe(
    String(200 * KIB),
  )
  expect(origin.requests).toHaveLength(1)
})

test('an object larger than memory and disk together is served whole', async () => {
  const bytes = Buffer.alloc(40 * MIB, 'nearcast ')
  const origin = rangeOrigin('site', bytes)
  const { edge } = await start([origin], { memoryBytes: MIB })
  expect((await edge.ask('/film')).body.equals(bytes)).toBe(true)
})
