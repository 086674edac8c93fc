import {
  appendFile,
  type FileHandle,
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it, type MockInstance, vi } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { openFileStore } from '../../server/storage/file.ts'
import { objectStoreContract, readText } from './object-store.contract.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

async function makeFolder(): Promise<string> {
  return mkdtemp(path.join(os.tmpdir(), 'nearcast-store-'))
}

objectStoreContract('a folder', async () => {
  const folder = await makeFolder()
  const deps = { clock: systemClock }
  return {
    store: openFileStore(folder, deps),
    missing: openFileStore(path.join(folder, 'nothing'), deps),
    keepsContentType: false,
    close: () => rm(folder, { recursive: true }),
  }
})

const signal = new AbortController().signal

async function openTemporary() {
  const folder = await makeFolder()
  folders.push(folder)
  const root = path.join(folder, 'root')
  await mkdir(root)
  await writeFile(path.join(folder, 'secret'), 'secret')
  const store = openFileStore(root, { clock: systemClock })
  const put = async (key: string, text: string) => {
    await mkdir(path.dirname(path.join(root, key)), { recursive: true })
    await writeFile(path.join(root, key), text)
  }
  return { folder, root, store, put }
}

/** What is synced while `task` runs, by inode, in order. */
async function syncedBy(folder: string, task: () => Promise<unknown>): Promise<readonly number[]> {
  const any = await open(folder)
  const spy: MockInstance<(this: FileHandle) => Promise<void>> = vi.spyOn(
    Object.getPrototypeOf(any),
    'sync',
  )
  await any.close()
  const inodes: number[] = []
  spy.mockImplementation(async function (this: FileHandle) {
    inodes.push((await this.stat()).ino)
  })
  try {
    await task()
  } finally {
    spy.mockRestore()
  }
  return inodes
}

describe('a folder', () => {
  it('syncs a file before it has its name, then each folder that has a new one, and nothing twice', async () => {
    const { root, store } = await openTemporary()
    const inode = async (key: string) => (await stat(path.join(root, key))).ino
    const body = Buffer.from('x')
    const first = await syncedBy(root, () => store.write('a/b/c', body, { signal }))
    expect(first).toEqual([
      await inode('a/b/c'),
      await inode('a/b'),
      await inode('a'),
      await inode(''),
    ])
    const next = await syncedBy(root, () => store.write('a/b/d', body, { signal }))
    expect(next).toEqual([await inode('a/b/d'), await inode('a/b')])
  })

  it('never follows a link out of the root, and does those that stay inside', async () => {
    const { folder, root, store, put } = await openTemporary()
    await put('inside/file', 'inside')
    await symlink(path.join(folder, 'secret'), path.join(root, 'out'))
    await symlink(folder, path.join(root, 'up'))
    await symlink('inside/file', path.join(root, 'alias'))
    await symlink('nowhere', path.join(root, 'broken'))
    await symlink('loop', path.join(root, 'loop'))
    for (const key of ['out', 'up/secret', 'up/root/inside/file/..x', 'broken', 'loop']) {
      expect(await store.stat(key, signal)).toBeUndefined()
      await expect(store.read(key, { signal })).rejects.toMatchObject({ code: 'object-not-found' })
    }
    expect(await readText(store.read('alias', { signal }))).toBe('inside')
    const listed = await store.list('', { signal })
    expect(listed.objects.map((object) => object.key)).toEqual(['alias', 'inside/file'])
    expect((await store.list('up/', { signal })).objects).toEqual([])
  })

  it('never writes or removes through a link out of the root', async () => {
    const { folder, root, store } = await openTemporary()
    await symlink(folder, path.join(root, 'up'))
    const body = Buffer.from('x')
    for (const key of ['up/new', 'up/deep/er/new'])
      await expect(store.write(key, body, { signal })).rejects.toMatchObject({
        code: 'bad-request',
      })
    await store.remove('up/secret', signal)
    expect((await readdir(folder)).sort()).toEqual(['root', 'secret'])
  })

  it('hides dot files, except .well-known', async () => {
    const { store, put } = await openTemporary()
    for (const key of ['.env', '.git/config', 'a/.htpasswd', '.well-known/acme', 'a/b'])
      await put(key, key)
    for (const key of ['.env', '.git/config', 'a/.htpasswd']) {
      expect(await store.stat(key, signal)).toBeUndefined()
      await expect(store.read(key, { signal })).rejects.toMatchObject({ code: 'object-not-found' })
      await expect(store.write(key, Buffer.from('x'), { signal })).rejects.toMatchObject({
        code: 'bad-request',
      })
    }
    expect(await readText(store.read('.well-known/acme', { signal }))).toBe('.well-known/acme')
    const listed = await store.list('', { signal })
    expect(listed.objects.map((object) => object.key)).toEqual(['.well-known/acme', 'a/b'])
    expect((await store.list('', { signal, delimiter: '/' })).prefixes).toEqual([
      '.well-known/',
      'a/',
    ])
  })

  it('is not held up by a pipe', async () => {
    const { root, store } = await openTemporary()
    execFileSync('mkfifo', [path.join(root, 'pipe')])
    expect(await store.stat('pipe', signal)).toBeUndefined()
    await expect(store.read('pipe', { signal })).rejects.toMatchObject({ code: 'object-not-found' })
  })

  it('has object-changed when a file grows while it is read', async () => {
    const { root, store, put } = await openTemporary()
    await put('growing', 'x'.repeat(1_000_000))
    const reading = await store.read('growing', { signal })
    const iterator = reading.body[Symbol.asyncIterator]()
    await iterator.next()
    await appendFile(path.join(root, 'growing'), 'more')
    await expect(iterator.next()).rejects.toMatchObject({ code: 'object-changed' })
  })

  it('says in the words of a store that the disk cannot be read', async () => {
    const { root, store, put } = await openTemporary()
    await put('film', 'x')
    const reading = await store.read('film', { signal })
    const handle = await open(path.join(root, 'film'))
    const failure = Object.assign(new Error('bad sector'), { code: 'EIO', syscall: 'read' })
    const failing = vi.spyOn(Object.getPrototypeOf(handle), 'read').mockRejectedValue(failure)
    const collected = readText(Promise.resolve(reading))
    await expect(collected).rejects.toMatchObject({ code: 'store-failed' })
    failing.mockRestore()
    await handle.close()
  })

  it('reads a replaced file to its end as it was', async () => {
    const { store } = await openTemporary()
    await store.write('film', Buffer.alloc(1_000_000, 'a'), { signal })
    const reading = await store.read('film', { signal })
    const iterator = reading.body[Symbol.asyncIterator]()
    await store.write('film', Buffer.alloc(1_000_000, 'b'), { signal })
    let text = ''
    for (let next = await iterator.next(); !next.done; next = await iterator.next())
      text += Buffer.from(next.value).toString()
    expect(text === 'a'.repeat(1_000_000)).toBe(true)
  })

  it('has another etag for another file of the same size and time', async () => {
    const { root, store, put } = await openTemporary()
    await put('a', 'one')
    const time = new Date(0)
    await utimes(path.join(root, 'a'), time, time)
    const before = await store.stat('a', signal)
    await rm(path.join(root, 'a'))
    await put('other', 'x')
    await put('a', 'two')
    await utimes(path.join(root, 'a'), time, time)
    await link(path.join(root, 'a'), path.join(root, 'b'))
    const after = await store.stat('a', signal)
    expect(after?.etag).not.toBe(before?.etag)
    expect(after?.lastModified).toBe(before?.lastModified)
    expect((await store.stat('b', signal))?.etag).toBe(after?.etag)
  })

  it('follows its root to where it points now', async () => {
    const { folder, root, put } = await openTemporary()
    await put('page', 'old')
    await mkdir(path.join(folder, 'next'))
    await writeFile(path.join(folder, 'next/page'), 'new')
    const current = path.join(folder, 'current')
    await symlink(root, current)
    const store = openFileStore(current, { clock: systemClock })
    expect(await readText(store.read('page', { signal }))).toBe('old')
    await rm(current)
    await symlink(path.join(folder, 'next'), current)
    expect(await readText(store.read('page', { signal }))).toBe('new')
  })

  it('makes a missing root at the first write, and leaves nothing of one that failed', async () => {
    const { folder } = await openTemporary()
    const root = path.join(folder, 'made')
    const store = openFileStore(root, { clock: systemClock })
    await store.write('a/b', Buffer.from('x'), { signal })
    async function* failing() {
      yield Buffer.from('x')
      throw new Error('broke')
    }
    await expect(store.write('a/c', failing(), { signal })).rejects.toThrow('broke')
    expect(await readdir(path.join(root, 'a'))).toEqual(['b'])
  })

  it('writes while what lies beside it is removed, and the folders with it', async () => {
    const { store } = await openTemporary()
    const signal = AbortSignal.timeout(60_000)
    const comeAndGo = async (id: number) => {
      for (let i = 0; i < 400; i++) {
        const key = `a/b/c/d/${id}-${i}`
        await store.write(key, Buffer.from('x'), { signal })
        expect(await store.stat(key, signal)).toBeDefined()
        await store.remove(key, signal)
      }
    }
    await Promise.all([1, 2, 3].map(comeAndGo))
  })

  it('refuses a file where a folder is, and a folder where a file is', async () => {
    const { store, put } = await openTemporary()
    await put('file', 'x')
    await put('folder/file', 'x')
    for (const key of ['file/below', 'folder'])
      await expect(store.write(key, Buffer.from('x'), { signal })).rejects.toMatchObject({
        code: 'bad-request',
      })
  })

  it('lists what it can, beside a path that is longer than a key', async () => {
    const { root, store, put } = await openTemporary()
    await put('a', 'x')
    const deep = path.join(root, ...Array.from({ length: 5 }, () => 'd'.repeat(250)))
    await mkdir(deep, { recursive: true })
    await writeFile(path.join(deep, 'f'), 'x')
    const listed = await store.list('', { signal })
    expect(listed.objects.map((object) => object.key)).toEqual(['a'])
  })

  it('does not list folders without a single object', async () => {
    const { root, store, put } = await openTemporary()
    await mkdir(path.join(root, 'empty/deep'), { recursive: true })
    await put('full/.hidden', 'x')
    await put('full/a', 'x')
    expect((await store.list('', { signal, delimiter: '/' })).prefixes).toEqual(['full/'])
  })
})
