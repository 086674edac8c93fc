import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { collect } from '../../server/lib/bytes.ts'
import type {
  ListOptions,
  ObjectRead,
  ObjectStore,
  ReadOptions,
} from '../../server/storage/object-store.ts'

export interface OpenedStore {
  readonly store: ObjectStore
  /** Another store over the same objects whose bucket or folder does not exist. */
  readonly missing?: ObjectStore | undefined
  readonly keepsContentType: boolean
  close(): Promise<void>
}

const ALL_BYTES = randomBytes(1_000_000)

/** What every ObjectStore does; `open` gives an empty one. */
export function objectStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(`${name} is an object store:`, () => {
    let opened: OpenedStore
    beforeAll(async () => {
      opened = await open()
    })
    afterAll(() => opened.close())

    const signal = new AbortController().signal
    const put = (key: string, body: string | Uint8Array) =>
      opened.store.write(key, Buffer.from(body), { signal })
    const read = (key: string, options: Partial<ReadOptions> = {}) =>
      opened.store.read(key, { signal: new AbortController().signal, ...options })
    const bytesOf = async (key: string, options: Partial<ReadOptions> = {}) =>
      collect((await read(key, options)).body)
    const textOf = async (key: string, options: Partial<ReadOptions> = {}) =>
      (await bytesOf(key, options)).toString()
    const list = (prefix: string, options: Partial<ListOptions> = {}) =>
      opened.store.list(prefix, { signal, ...options })

    describe('reading', () => {
      it('gives back what was written, and says the same in write, stat, read and list', async () => {
        const written = await opened.store.write('films/a b+ü%.bin', ALL_BYTES, { signal })
        const info = await opened.store.stat('films/a b+ü%.bin', signal)
        const whole = await read('films/a b+ü%.bin')
        const listed = (await list('films/')).objects[0]
        expect((await collect(whole.body)).equals(ALL_BYTES)).toBe(true)
        expect([whole.start, whole.length]).toEqual([0, 1_000_000])
        for (const one of [written, info, whole.info, listed])
          expect(one).toMatchObject({
            key: 'films/a b+ü%.bin',
            size: 1_000_000,
            etag: written.etag,
            lastModified: expect.toSatisfy(
              (at: number) => Math.abs(at - written.lastModified) < 5000,
            ),
          })
        expect(written.etag).toMatch(/^[\w.+/=-]+$/)
      })

      it.each([
        ['from the start', { start: 0, end: 9 }, 0, 10],
        ['one byte', { start: 5, end: 5 }, 5, 1],
        ['over a chunk’s edge', { start: 262_140, end: 262_150 }, 262_140, 11],
        ['without an end', { start: 999_990 }, 999_990, 10],
        ['with an end past the object', { start: 999_999, end: 2_000_000 }, 999_999, 1],
        ['a suffix', { suffix: 100 }, 999_900, 100],
        ['a suffix longer than the object', { suffix: 2_000_000 }, 0, 1_000_000],
      ])('reads a range: %s', async (_, range, start, length) => {
        await put('range.bin', ALL_BYTES)
        const part = await read('range.bin', { range })
        expect([part.start, part.length, part.info.size]).toEqual([start, length, 1_000_000])
        const bytes = await collect(part.body)
        expect(bytes.equals(ALL_BYTES.subarray(start, start + length))).toBe(true)
      })

      it.each([
        ['behind the end', { start: 5 }],
        ['a suffix of nothing', { suffix: 0 }],
      ])('has range-not-satisfiable for %s', async (_, range) => {
        await put('short', 'hello')
        await expect(read('short', { range })).rejects.toMatchObject({
          code: 'range-not-satisfiable',
        })
      })

      it.each([{ start: -1 }, { start: 3, end: 2 }, { start: 0.5 }, { suffix: Number.NaN }])(
        'has bad-request for %j',
        async (range) => {
          await put('short', 'hello')
          await expect(read('short', { range })).rejects.toMatchObject({ code: 'bad-request' })
        },
      )

      it('reads an empty object, of which no range can be had', async () => {
        await put('empty', '')
        expect(await textOf('empty')).toBe('')
        const asked = read('empty', { range: { start: 0 } })
        await expect(asked).rejects.toMatchObject({ code: 'range-not-satisfiable' })
      })

      it('reads with the etag it has, and not with another', async () => {
        const { etag } = await put('etag', 'one')
        expect(await textOf('etag', { ifMatch: etag, range: { suffix: 2 } })).toBe('ne')
        const second = await put('etag', 'two')
        expect(second.etag).not.toBe(etag)
        await expect(read('etag', { ifMatch: etag })).rejects.toMatchObject({
          code: 'object-changed',
        })
        expect(await textOf('etag', { ifMatch: second.etag })).toBe('two')
      })

      it('never mixes old and new bytes when the object is replaced while it is read', async () => {
        const size = 8 * 1024 * 1024
        await put('mixed', Buffer.alloc(size, 'a'))
        const reading = await read('mixed')
        const iterator = reading.body[Symbol.asyncIterator]()
        const first = await iterator.next()
        await put('mixed', Buffer.alloc(size, 'b'))
        const seen = new Set<number>(first.value)
        let length = first.value?.length ?? 0
        try {
          for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
            length += next.value.length
            for (const byte of next.value) seen.add(byte)
          }
          expect(length).toBe(size)
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(object-changed|store-)/) })
        }
        expect([...seen]).toEqual([97])
      })

      it('has object-not-found, and undefined from stat, for what is not there', async () => {
        await put('folder/file', 'x')
        for (const key of ['nothing', 'folder', 'folder/file/below', 'no/such/folder']) {
          expect(await opened.store.stat(key, signal)).toBeUndefined()
          await expect(read(key)).rejects.toMatchObject({ code: 'object-not-found' })
        }
      })

      it('stops at the end of a reader that leaves, before and while reading', async () => {
        await put('left', ALL_BYTES)
        for (let i = 0; i < 40; i++) {
          const iterator = (await read('left')).body[Symbol.asyncIterator]()
          if (i % 2 === 0) await iterator.next()
          await iterator.return?.()
          expect(await iterator.next()).toEqual({ done: true, value: undefined })
        }
        expect(await bytesOf('left')).toHaveLength(1_000_000)
      })

      it('stops with the reason of the signal, before, and while reading', async () => {
        await put('aborted', ALL_BYTES)
        const early = AbortSignal.abort(new Error('too early'))
        await expect(read('aborted', { signal: early })).rejects.toThrow('too early')
        await expect(opened.store.stat('aborted', early)).rejects.toThrow('too early')
        await expect(list('', { signal: early })).rejects.toThrow('too early')
        const controller = new AbortController()
        const reading = await read('aborted', { signal: controller.signal })
        const iterator = reading.body[Symbol.asyncIterator]()
        await iterator.next()
        controller.abort(new Error('nobody reads'))
        await expect(iterator.next()).rejects.toThrow('nobody reads')
      })

      it('serves many readers at once', async () => {
        await put('many', ALL_BYTES)
        const sum = createHash('sha1').update(ALL_BYTES).digest('hex')
        const reads = Array.from({ length: 40 }, async () =>
          createHash('sha1')
            .update(await bytesOf('many'))
            .digest('hex'),
        )
        expect(new Set(await Promise.all(reads))).toEqual(new Set([sum]))
      })
    })

    describe('writing', () => {
      async function* chunks(count: number, bytes: number, fill = 'x') {
        for (let i = 0; i < count; i++) yield Buffer.alloc(bytes, fill)
      }

      it('takes streams of known and of unknown length, empty ones too', async () => {
        await opened.store.write('known', chunks(3, 10), { signal, size: 30 })
        await opened.store.write('unknown', chunks(3, 10), { signal })
        await opened.store.write('none', chunks(0, 0), { signal, size: 0 })
        expect([await textOf('known'), await textOf('unknown')]).toEqual([
          'x'.repeat(30),
          'x'.repeat(30),
        ])
        expect(await textOf('none')).toBe('')
      })

      it('takes a stream of 20 MiB, in chunks that fit no part', async () => {
        const info = await opened.store.write('large', chunks(20, 1024 * 1024 + 7), { signal })
        expect(info.size).toBe(20 * (1024 * 1024 + 7))
        expect((await opened.store.stat('large', signal))?.etag).toBe(info.etag)
        const seen = await bytesOf('large')
        expect(seen.equals(Buffer.alloc(info.size, 'x'))).toBe(true)
      })

      it.each([
        ['short', chunks(2, 10), 30],
        ['long', chunks(4, 10), 30],
      ])('refuses a body that is too %s, and leaves what was there', async (_, body, size) => {
        await put('sized', 'before')
        const written = opened.store.write('sized', body, { signal, size })
        await expect(written).rejects.toMatchObject({ code: 'bad-request' })
        expect(await textOf('sized')).toBe('before')
      })

      it.each([
        ['small', 10],
        ['large', 6 * 1024 * 1024],
      ])('leaves what was there when a %s body fails midway', async (_, bytes) => {
        await put('failing', 'before')
        async function* failing() {
          yield* chunks(3, bytes)
          throw new Error('the source broke')
        }
        const written = opened.store.write('failing', failing(), { signal })
        await expect(written).rejects.toThrow('the source broke')
        expect(await textOf('failing')).toBe('before')
        expect((await list('failing')).objects).toHaveLength(1)
      })

      it('stops with the signal, also when the source gives nothing', async () => {
        const controller = new AbortController()
        let returned = false
        const silent = {
          [Symbol.asyncIterator]: () => ({
            next: () => {
              setImmediate(() => controller.abort(new Error('stopped')))
              return new Promise<never>(() => {})
            },
            return: async () => {
              returned = true
              return { done: true as const, value: undefined }
            },
          }),
        }
        const written = opened.store.write('never', silent, { signal: controller.signal })
        await expect(written).rejects.toThrow('stopped')
        expect(returned).toBe(true)
        expect(await opened.store.stat('never', signal)).toBeUndefined()
      })

      it('keeps the content type, where it keeps one', async () => {
        const contentType = 'video/mp4'
        await opened.store.write('typed', Buffer.from('x'), { signal, contentType })
        const info = await opened.store.stat('typed', signal)
        const { body, info: seen } = await read('typed')
        await collect(body)
        const kept = opened.keepsContentType ? contentType : undefined
        expect([info?.contentType, seen.contentType]).toEqual([kept, kept])
      })

      it('is all one of the two when two write at once', async () => {
        const [a, b] = [Buffer.alloc(300_000, 'a'), Buffer.alloc(300_000, 'b')]
        await Promise.all(Array.from({ length: 6 }, (_, i) => put('raced', i % 2 ? a : b)))
        const seen = await bytesOf('raced')
        expect(seen.equals(a) || seen.equals(b)).toBe(true)
      })

      it('removes an object, and is content when there is none', async () => {
        await put('gone/soon', 'x')
        await put('kept/file', 'x')
        for (const key of ['kept', 'kept/file/below']) await opened.store.remove(key, signal)
        expect(await textOf('kept/file')).toBe('x')
        await opened.store.remove('gone/soon', signal)
        await opened.store.remove('gone/soon', signal)
        expect(await opened.store.stat('gone/soon', signal)).toBeUndefined()
        expect(await list('', { delimiter: '/' })).not.toMatchObject({
          prefixes: expect.arrayContaining(['gone/']),
        })
      })
    })

    describe('keys', () => {
      it.each([
        ['nothing', ''],
        ['a climb', '../secret'],
        ['a climb inside', 'a/../../secret'],
        ['a climb at the end', 'a/..'],
        ['a dot', './a'],
        ['a NUL', 'a\0b'],
        ['half a character', 'a\ud800'],
        ['1025 bytes', 'k'.repeat(1025)],
      ])('refuses %s', async (_, key) => {
        const refused = { code: 'bad-request' }
        await expect(read(key)).rejects.toMatchObject(refused)
        await expect(opened.store.stat(key, signal)).rejects.toMatchObject(refused)
        await expect(put(key, 'x')).rejects.toMatchObject(refused)
        await expect(opened.store.remove(key, signal)).rejects.toMatchObject(refused)
      })

      it.each([
        'a b',
        'a+b',
        'a%20b',
        'ä/ö/ü',
        '日本語',
        '👩‍🚀.mp4',
        "it's(1)!*.txt",
        'a&b<c>"d"',
        'x..y/..z',
        'q?r#s',
        'back\\slash',
        'a:b;c=d,e@f$',
      ])('takes %s', async (key) => {
        // A name that begins with a dot is hidden in a folder.
        const safe = key.replace('/..z', '/z')
        await put(safe, safe)
        expect(await textOf(safe)).toBe(safe)
        expect((await list(safe)).objects.map((object) => object.key)).toEqual([safe])
        await opened.store.remove(safe, signal)
      })
    })

    describe('listing', () => {
      const KEYS = [
        'l/a-b',
        'l/a.b',
        'l/a/1',
        'l/a/2',
        'l/a/b/3',
        'l/a0',
        'l/b/1',
        'l/\uff5e',
        'l/😀',
      ]
      beforeAll(async () => {
        for (const key of KEYS) await put(key, key)
      })

      it('gives all keys of a prefix in the order of their UTF-8 bytes', async () => {
        const { objects, prefixes, cursor } = await list('l/')
        expect(objects.map((object) => object.key)).toEqual([
          'l/a-b',
          'l/a.b',
          'l/a/1',
          'l/a/2',
          'l/a/b/3',
          'l/a0',
          'l/b/1',
          'l/\uff5e',
          'l/😀',
        ])
        expect([prefixes, cursor]).toEqual([[], undefined])
      })

      it('stops at the delimiter', async () => {
        const { objects, prefixes } = await list('l/', { delimiter: '/' })
        expect(prefixes).toEqual(['l/a/', 'l/b/'])
        expect(objects.map((object) => object.key)).toEqual([
          'l/a-b',
          'l/a.b',
          'l/a0',
          'l/\uff5e',
          'l/😀',
        ])
      })

      it('takes half a name for a prefix', async () => {
        const { objects, prefixes } = await list('l/a', { delimiter: '/' })
        expect(prefixes).toEqual(['l/a/'])
        expect(objects.map((object) => object.key)).toEqual(['l/a-b', 'l/a.b', 'l/a0'])
        expect((await list('l/a/b')).objects.map((object) => object.key)).toEqual(['l/a/b/3'])
      })

      it.each([
        [1, undefined],
        [2, '/'],
        [3, undefined],
        [3, '/'],
        [100, '/'],
      ])(
        'comes in pages of %i with delimiter %s, nothing twice and nothing missing',
        async (limit, delimiter) => {
          const whole = await list('l/', { delimiter })
          const names: string[] = []
          let cursor: string | undefined
          let pages = 0
          do {
            const page: Awaited<ReturnType<typeof list>> = await list('l/', {
              delimiter,
              limit,
              cursor,
            })
            expect(page.objects.length + page.prefixes.length).toBeLessThanOrEqual(limit)
            names.push(...page.objects.map((object) => object.key), ...page.prefixes)
            cursor = page.cursor
            pages++
          } while (cursor !== undefined && pages < 20)
          const all = [...whole.objects.map((object) => object.key), ...whole.prefixes]
          expect(names.sort()).toEqual(all.sort())
          expect(pages).toBeLessThanOrEqual(Math.ceil(all.length / limit) + 1)
        },
      )

      it('gives nothing for a prefix that nothing has', async () => {
        for (const prefix of ['zzz', 'l/zzz/', 'l/a-b/', '../', 'l/../', '/'])
          expect(await list(prefix)).toMatchObject({ objects: [], prefixes: [] })
      })
    })

    it('says bucket-not-found when there is no such bucket or folder', async () => {
      const { missing } = opened
      if (!missing) return
      const refused = { code: 'bucket-not-found' }
      await expect(missing.read('a', { signal })).rejects.toMatchObject(refused)
      await expect(missing.stat('a', signal)).rejects.toMatchObject(refused)
      await expect(missing.list('', { signal })).rejects.toMatchObject(refused)
    })
  })
}

/** The whole of a read, as text. */
export async function readText(read: Promise<ObjectRead>): Promise<string> {
  return (await collect((await read).body)).toString()
}
