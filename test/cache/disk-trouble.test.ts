import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DiskStore } from '../../server/cache/tier/disk-store.ts'
import { type Log, silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'

const KIB = 1024
const MIB = 1024 * KIB

let folder = ''
let lines: string[] = []
const opened: DiskStore[] = []
const log: Log = { ...silentLog, warn: (line) => void lines.push(line) }

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nearcast-trouble-'))
  lines = []
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
  rmSync(folder, { recursive: true, force: true })
})

type OpenFile = (path: string, flags: string, mode?: number) => Promise<FileHandle>

async function openStore(openFile: OpenFile = open, diskBytes = MIB): Promise<DiskStore> {
  const random = systemRandom
  const store = await DiskStore.open({ folder, diskBytes, fingerprint: 1, log, random, openFile })
  opened.push(store)
  return store
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: in this test`), { code })
}

function put(store: DiskStore, key: string, body: Buffer = bodyFor(key)): boolean {
  return store.write(store.hash(key), { kind: 'object', key, meta: '', body: [body] })
}

const bodyFor = (key: string, length = 20 * KIB) => Buffer.alloc(length, `${key} `)
const bodyOf = async (store: DiskStore, key: string) =>
  (await store.read(store.hash(key), key))?.body

/** A handle some of whose methods are others. */
function handleWith(file: FileHandle, methods: Partial<FileHandle>): FileHandle {
  return new Proxy(file, {
    get(target, name) {
      const own: unknown = Reflect.get(methods, name)
      const value: unknown = own ?? Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function bytesOnDisk(): number {
  const sizes = readdirSync(folder).map(
    (name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0,
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

test('what is written twice and then forgotten, all in one turn, is not found, now or later', async () => {
  const store = await openStore()
  put(store, 'a', Buffer.from('one'))
  put(store, 'a', Buffer.from('two'))
  store.forget(store.hash('a'))
  await store.flushed()
  expect(store.has(store.hash('a'))).toBe(false)
  await store.close()
  expect((await openStore()).has(store.hash('a'))).toBe(false)
})

test('a record is found while it waits to be written, and the one before it is not', async () => {
  const store = await openStore()
  put(store, 'a', Buffer.from('one'))
  await store.flushed()
  put(store, 'a', Buffer.from('two'))
  expect((await bodyOf(store, 'a'))?.toString()).toBe('two')
  expect(store.visit(store.hash('a'))).toBe(true)
  await store.flushed()
  expect((await bodyOf(store, 'a'))?.toString()).toBe('two')
})

test('a read that is under way when a newer record is given does not bring the older one', async () => {
  const store = await openStore()
  put(store, 'a', Buffer.from('one'))
  await store.flushed()
  const reading = bodyOf(store, 'a')
  put(store, 'a', Buffer.from('two'))
  expect(await reading).toBeUndefined()
})

test('hundreds of reads at once are all answered', async () => {
  const store = await openStore()
  for (let i = 0; i < 500; i++) put(store, `k${i}`, bodyFor(`k${i}`, 100))
  await store.flushed()
  const bodies = await Promise.all(Array.from({ length: 500 }, (_, i) => bodyOf(store, `k${i}`)))
  expect(bodies.filter((body, i) => body?.equals(bodyFor(`k${i}`, 100)))).toHaveLength(500)
})

test('on a full disk the oldest goes and the newest is kept; the tier stays on', async () => {
  // Others have taken what was left: 600 KiB are all there is.
  const openFile: OpenFile = async (path, flags, mode) => {
    const file = await open(path, flags, mode)
    return handleWith(file, {
      async writev<T extends readonly NodeJS.ArrayBufferView[]>(buffers: T, position?: number) {
        const length = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0)
        if (bytesOnDisk() + length > 600 * KIB) throw failure('ENOSPC')
        return file.writev(buffers, position)
      },
    })
  }
  const store = await openStore(openFile)
  for (let i = 0; i < 100; i++) {
    put(store, `k${i}`)
    await store.flushed()
    expect((await bodyOf(store, `k${i}`))?.equals(bodyFor(`k${i}`))).toBe(true)
  }
  expect(store.stats.on).toBe(true)
  expect(store.stats.bytes).toBeLessThanOrEqual(600 * KIB)
  expect(lines.length).toBeLessThanOrEqual(4)
  expect(lines[0]).toBe('the disk is full: the disk tier of the cache takes less from now on')
})

test('a disk that takes nothing at all turns the tier off', async () => {
  const openFile: OpenFile = async (path, flags, mode) =>
    handleWith(await open(path, flags, mode), {
      writev: () => Promise.reject(failure('ENOSPC')),
    })
  const store = await openStore(openFile)
  put(store, 'a')
  await store.flushed()
  expect(store.stats.on).toBe(false)
  expect(lines).toEqual(['the disk tier of the cache is off until the next start'])
})

test('without a file handle to spare the oldest segment gives up its own', async () => {
  let handles = 0
  const openFile: OpenFile = async (path, flags, mode) => {
    if (handles >= 2) throw failure('EMFILE')
    const file = await open(path, flags, mode)
    handles++
    return handleWith(file, {
      async close() {
        handles--
        await file.close()
      },
    })
  }
  const store = await openStore(openFile)
  for (let i = 0; i < 60; i++) {
    put(store, `k${i}`)
    await store.flushed()
  }
  expect(store.stats.on).toBe(true)
  expect((await bodyOf(store, 'k59'))?.equals(bodyFor('k59'))).toBe(true)
})

test('a place on the disk that cannot be read is a miss and nothing else is lost', async () => {
  let bad = false
  const openFile: OpenFile = async (path, flags, mode) => {
    const file = await open(path, flags, mode)
    const read = async (buffer: Buffer, offset: number, length: number, position: number) => {
      if (bad) throw failure('EIO')
      return file.read(buffer, offset, length, position)
    }
    // The overloads of `read` are many; this one is what the store uses.
    return handleWith(file, { read: read as FileHandle['read'] })
  }
  const store = await openStore(openFile)
  for (const key of ['a', 'b']) put(store, key)
  await store.flushed()
  bad = true
  expect(await bodyOf(store, 'a')).toBeUndefined()
  bad = false
  expect(store.has(store.hash('a'))).toBe(false)
  expect((await bodyOf(store, 'b'))?.equals(bodyFor('b'))).toBe(true)
  expect(store.stats.on).toBe(true)
})

test('a folder that is taken away is made anew, and what was open in it is read on', async () => {
  const store = await openStore()
  put(store, 'a')
  await store.flushed()
  rmSync(folder, { recursive: true })
  expect((await bodyOf(store, 'a'))?.equals(bodyFor('a'))).toBe(true)
  for (let i = 0; i < 30; i++) {
    put(store, `k${i}`)
    await store.flushed()
  }
  expect(store.stats.on).toBe(true)
  expect((await bodyOf(store, 'k29'))?.equals(bodyFor('k29'))).toBe(true)
})
