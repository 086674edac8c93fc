import { fork } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DiskStore } from '../../server/cache/tier/disk-store.ts'
import { type Log, silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const KIB = 1024
const MIB = 1024 * KIB

let folder = ''
const opened: DiskStore[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nearcast-disk-'))
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
  rmSync(folder, { recursive: true, force: true })
})

async function openStore(options: { diskBytes?: number; fingerprint?: number; log?: Log } = {}) {
  const store = await DiskStore.open({
    folder,
    diskBytes: options.diskBytes ?? 8 * MIB,
    fingerprint: options.fingerprint ?? 1,
    log: options.log ?? silentLog,
    random: systemRandom,
  })
  opened.push(store)
  return store
}

function put(store: DiskStore, key: string, body: Buffer): boolean {
  return store.write(store.hash(key), {
    kind: 'object',
    key,
    meta: `{"of":"${key}"}`,
    body: [body],
  })
}

async function bodyOf(store: DiskStore, key: string): Promise<Buffer | undefined> {
  return (await store.read(store.hash(key), key))?.body
}

/** Comparing buffers as lists would take seconds. */
async function holds(store: DiskStore, key: string, length: number): Promise<boolean> {
  return (await bodyOf(store, key))?.equals(bodyFor(key, length)) ?? false
}

function bytesOnDisk(): number {
  const sizes = readdirSync(folder).map(
    // A segment may go between the two looks.
    (name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0,
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

const bodyFor = (key: string, length: number) => Buffer.alloc(length, `${key} `)

test('a record is found as soon as it is written, with its meta, and not under another key', async () => {
  const store = await openStore()
  expect(put(store, 'a', bodyFor('a', 3000))).toBe(true)
  await store.flushed()
  const record = await store.read(store.hash('a'), 'a')
  expect(record).toEqual({ kind: 'object', key: 'a', meta: '{"of":"a"}', body: bodyFor('a', 3000) })
  expect(store.has(store.hash('b'))).toBe(false)
  expect(await store.read(store.hash('a'), 'b')).toBeUndefined()
})

test('a restart keeps everything but what was forgotten', async () => {
  const store = await openStore()
  for (let i = 0; i < 500; i++) put(store, `k${i}`, bodyFor(`k${i}`, 100 + i))
  await store.flushed()
  for (let i = 0; i < 500; i += 5) store.forget(store.hash(`k${i}`))
  put(store, 'k5', Buffer.from('anew'))
  await store.close()

  const again = await openStore()
  expect(again.stats.records).toBe(401)
  for (let i = 0; i < 500; i++) {
    const kept = i === 5 ? Buffer.from('anew') : i % 5 === 0 ? undefined : bodyFor(`k${i}`, 100 + i)
    expect(await bodyOf(again, `k${i}`)).toEqual(kept)
  }
})

test('what is forgotten while it is being written is not found, now or later', async () => {
  const store = await openStore()
  put(store, 'a', bodyFor('a', 100))
  store.forget(store.hash('a'))
  await store.flushed()
  expect(store.has(store.hash('a'))).toBe(false)
  put(store, 'b', bodyFor('b', 100))
  await new Promise((resolve) => setImmediate(resolve))
  store.forget(store.hash('b'))
  await store.flushed()
  expect(store.has(store.hash('b'))).toBe(false)
  await store.close()
  const again = await openStore()
  expect(again.stats.records).toBe(0)
})

test('without index files the segments themselves say what they hold', async () => {
  const store = await openStore()
  for (let i = 0; i < 300; i++) put(store, `k${i}`, bodyFor(`k${i}`, 10 * KIB))
  await store.close()
  for (const name of readdirSync(folder)) if (name.endsWith('.index')) rmSync(join(folder, name))
  const again = await openStore()
  for (let i = 0; i < 300; i++) expect(await holds(again, `k${i}`, 10 * KIB)).toBe(true)
})

test('answers of another configuration are thrown away', async () => {
  const store = await openStore({ fingerprint: 1 })
  put(store, 'a', bodyFor('a', 100))
  await store.close()
  const other = await openStore({ fingerprint: 2 })
  expect(other.stats.records).toBe(0)
  expect(bytesOnDisk()).toBe(0)
})

test('the bound holds while many tiny records are written, and the newest are there', async () => {
  const diskBytes = 256 * KIB
  const store = await openStore({ diskBytes })
  for (let i = 0; i < 20_000; i++) {
    put(store, `tiny ${i}`, Buffer.from(`${i}`))
    if (i % 500 === 0) {
      await store.flushed()
      expect(bytesOnDisk()).toBeLessThanOrEqual(diskBytes)
    }
  }
  await store.close()
  expect(bytesOnDisk()).toBeLessThanOrEqual(diskBytes)
  const again = await openStore({ diskBytes })
  expect((await bodyOf(again, 'tiny 19999'))?.toString()).toBe('19999')
  expect(await bodyOf(again, 'tiny 1')).toBeUndefined()
})

test('the bound holds while it is being filled, with records of all sizes', async () => {
  const diskBytes = MIB
  const store = await openStore({ diskBytes })
  let over = 0
  for (let i = 0; i < 400; i++) {
    put(store, `k${i}`, bodyFor(`k${i}`, 1 + ((i * 7919) % (60 * KIB))))
    await new Promise((resolve) => setImmediate(resolve))
    over = Math.max(over, bytesOnDisk() - diskBytes)
  }
  await store.flushed()
  expect(over).toBeLessThanOrEqual(0)
  expect(store.stats.records).toBeGreaterThan(10)
})

test('what was asked for again outlives its segment; what was not goes', async () => {
  const store = await openStore({ diskBytes: MIB })
  put(store, 'wanted', bodyFor('wanted', 1000))
  put(store, 'once', bodyFor('once', 1000))
  for (let i = 0; i < 200; i++) {
    put(store, `k${i}`, bodyFor(`k${i}`, 40 * KIB))
    await store.flushed()
    expect(await holds(store, 'wanted', 1000)).toBe(true)
  }
  expect(store.has(store.hash('once'))).toBe(false)
})

test('a record longer than a quarter of a segment is not taken', async () => {
  const store = await openStore({ diskBytes: MIB })
  expect(put(store, 'large', Buffer.alloc(MIB))).toBe(false)
  expect(store.stats.dropped).toBe(1)
})

test('a smaller bound at the next start gives up the oldest', async () => {
  const store = await openStore({ diskBytes: 8 * MIB })
  for (let i = 0; i < 150; i++) put(store, `k${i}`, bodyFor(`k${i}`, 40 * KIB))
  await store.close()
  const again = await openStore({ diskBytes: 4 * MIB })
  expect(bytesOnDisk()).toBeLessThanOrEqual(4 * MIB)
  expect(await bodyOf(again, 'k149')).toBeDefined()
  expect(await bodyOf(again, 'k0')).toBeUndefined()
})

test('a folder that cannot be used turns it off, with one line', async () => {
  const lines: string[] = []
  const log = { ...silentLog, warn: (line: string) => void lines.push(line) }
  await writeFile(join(folder, 'file'), '')
  folder = join(folder, 'file')
  const store = await openStore({ log })
  expect(store.stats.on).toBe(false)
  expect(put(store, 'a', bodyFor('a', 10))).toBe(false)
  expect(await bodyOf(store, 'a')).toBeUndefined()
  expect(lines).toHaveLength(1)
  folder = join(folder, '..')
})

test('wherever bytes of the files are damaged, a record is whole or not found', async () => {
  const store = await openStore()
  for (let i = 0; i < 40; i++) put(store, `k${i}`, bodyFor(`k${i}`, 50 + i * 20))
  await store.close()
  const originals = await Promise.all(
    readdirSync(folder).map(async (name) => {
      const file = await open(join(folder, name))
      const bytes = await file.readFile()
      await file.close()
      return { name, bytes }
    }),
  )
  const damages = fc.array(fc.tuple(fc.nat(1), fc.nat(), fc.nat(255)), {
    minLength: 1,
    maxLength: 6,
  })
  await fc.assert(
    fc.asyncProperty(damages, fc.option(fc.nat()), async (places, cut) => {
      for (const name of readdirSync(folder)) rmSync(join(folder, name))
      for (const [number, { name, bytes }] of originals.entries()) {
        const damaged = Buffer.from(bytes)
        for (const [which, at, value] of places)
          if (which === number) damaged[at % damaged.length] = value
        const end = cut === null ? damaged.length : cut % damaged.length
        await writeFile(join(folder, name), damaged.subarray(0, end))
      }
      const again = await openStore()
      for (let i = 0; i < 40; i++) {
        const body = await bodyOf(again, `k${i}`)
        if (body) expect(body).toEqual(bodyFor(`k${i}`, 50 + i * 20))
      }
      put(again, 'new', Buffer.from('new'))
      await again.flushed()
      expect((await bodyOf(again, 'new'))?.toString()).toBe('new')
      await again.close()
      opened.length = 0
    }),
    { numRuns: Math.min(FUZZ_RUNS, 100) },
  )
})

test('after kill -9 in the middle of writing, all that was flushed is there and nothing is wrong', async () => {
  const child = fork(fileURLToPath(new URL('./write-until-killed.ts', import.meta.url)), [folder], {
    execArgv: ['--import', 'tsx'],
  })
  // Each message names how many records are flushed for certain.
  const flushed = await new Promise<number>((resolve) => {
    child.on('message', (count) => {
      if (typeof count === 'number' && count >= 2000) resolve(count)
    })
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
  const store = await openStore({ diskBytes: 64 * MIB })
  for (let i = 0; i < flushed; i += 7)
    expect(await holds(store, `k${i}`, 1 + ((i * 131) % 4000))).toBe(true)
  expect(store.stats.records).toBeGreaterThanOrEqual(flushed)
})
