import { readFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import { createCachedStore } from '../../server/edge/cached-store.ts'
import { type Deferred, deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import type { ObjectStore, ReadOptions } from '../../server/storage/object-store.ts'
import { createVodOrigin } from '../../server/vod/origin.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { makeFilm } from '../support/media.ts'
import { ask, countReads, NEVER, type Played, playFilm, type Shelf } from './play.ts'

const MIB = 1024 * 1024
const noisy = (rate: string) => ['-vf', 'noise=alls=40:allf=t', '-b:v', rate, '-maxrate', rate]
const SIZED = { seconds: 12, size: '640x360', gop: 150 } as const
/** First segment about 1 MB. */
const MIDDLING = { ...SIZED, extra: [...noisy('1500k'), '-bufsize', '750k'] }
/** First segment above 2 MiB. */
const HEAVY = { ...SIZED, extra: [...noisy('5M'), '-bufsize', '2500k'] }

/** Films read through the cache, as the server reads them. */
async function cachedShelf(path: string, wrap = (store: ObjectStore) => store): Promise<Shelf> {
  const clock = new FakeClock()
  const memory = openMemoryStore({ clock })
  await memory.write('film', await readFile(path), { signal: NEVER })
  const store = countReads(wrap(memory))
  const cache = new Cache({ memoryBytes: 64 * MIB })
  const cached = createCachedStore({ originId: 'media', store, cache, clock })
  const options = { store: cached, clock, log: silentLog, metrics: new Metrics() }
  const put = async (key: string, bytes: Uint8Array) => {
    await memory.write(key, bytes, { signal: NEVER })
  }
  return { origin: createVodOrigin(options), store, clock, put }
}

async function versionIn(shelf: Shelf): Promise<string> {
  const { status, text } = await ask(shelf, '/vod/film/index.m3u8')
  expect(status).toBe(200)
  return /([0-9a-f]{16})\/main\.m3u8/.exec(text)?.[1] ?? text
}

function sumsOf({ init, segments }: Played): readonly number[] {
  return [init, ...segments.map(({ bytes }) => bytes)].map((bytes) => crc32(bytes))
}

const isHead = ({ range }: ReadOptions) => range !== undefined && 'start' in range && !range.start

/** A store whose reads of a film's beginning stop after some bytes, until they are let go or fail. */
function slowHead(store: ObjectStore, bytes: number, gate: Deferred<void>): ObjectStore {
  return {
    ...store,
    async read(key, options) {
      const read = await store.read(key, options)
      if (!isHead(options)) return read
      const body = async function* () {
        let given = 0
        for await (const chunk of read.body) {
          for (let at = 0; at < chunk.length; at += 16 * 1024) {
            const piece = chunk.subarray(at, at + 16 * 1024)
            if (given + piece.length > bytes) await gate.promise
            given += piece.length
            yield piece
          }
        }
      }
      return { ...read, body: body() }
    },
  }
}

describe('a film that is played from its start', () => {
  it.each(['moov-first', 'moov-last'] as const)(
    'costs no read more for its first segment, with %s',
    async (layout) => {
      const shelf = await cachedShelf(await makeFilm({ ...MIDDLING, layout }))
      const version = await versionIn(shelf)
      expect(shelf.store.reads.map(({ range }) => range)).toEqual([
        { suffix: 512 * 1024 },
        { start: 0, end: 2 * MIB - 1 },
      ])
      const segment = await ask(shelf, `/vod/film/${version}/main-0.m4s`)
      expect(segment.status).toBe(200)
      expect(segment.bytes.length).toBeGreaterThan(400_000)
      expect(shelf.store.reads).toHaveLength(2)
    },
  )

  it('has what is more of a large first segment asked for before anybody wants it', async () => {
    const shelf = await cachedShelf(await makeFilm(HEAVY))
    const version = await versionIn(shelf)
    expect(shelf.store.reads).toHaveLength(3)
    expect(shelf.store.reads[2]?.range).toMatchObject({ start: 2 * MIB })
    const segment = await ask(shelf, `/vod/film/${version}/main-0.m4s`)
    expect(segment.bytes.length).toBeGreaterThan(2 * MIB)
    expect(shelf.store.reads).toHaveLength(3)
  })

  it('is the same to the byte as one whose bytes are read when they are asked for', async () => {
    const path = await makeFilm(HEAVY)
    const [ahead, plain] = [await cachedShelf(path), await cachedShelf(path)]
    await plain.origin.probe('film', NEVER)
    expect(sumsOf(await playFilm(ahead, 'film'))).toEqual(sumsOf(await playFilm(plain, 'film')))
  })

  it('can be played before its beginning has arrived, when its index is at the end', async () => {
    const gate = deferred()
    const shelf = await cachedShelf(await makeFilm(MIDDLING), (store) =>
      slowHead(store, 32 * 1024, gate),
    )
    const version = await versionIn(shelf)
    const segment = ask(shelf, `/vod/film/${version}/main-0.m4s`)
    gate.resolve()
    expect((await segment).status).toBe(200)
    expect(shelf.store.reads).toHaveLength(2)
  })

  it('is asked for again where its beginning was cut short', async () => {
    const gate = deferred()
    const shelf = await cachedShelf(await makeFilm(MIDDLING), (store) =>
      slowHead(store, 32 * 1024, gate),
    )
    const version = await versionIn(shelf)
    gate.reject(new Error('the connection was reset'))
    const segment = await ask(shelf, `/vod/film/${version}/main-0.m4s`)
    expect(segment.bytes.length).toBeGreaterThan(400_000)
  })

  it('is not read on for ever when its beginning stands still', async () => {
    const shelf = await cachedShelf(await makeFilm(MIDDLING), (store) =>
      slowHead(store, 32 * 1024, deferred()),
    )
    await versionIn(shelf)
    const [head] = shelf.store.reads.filter(isHead)
    expect(head?.signal.aborted).toBe(false)
    await shelf.clock.advance(10_001)
    expect(head?.signal.aborted).toBe(true)
  })

  it('is read no further than its index when only its facts are wanted', async () => {
    const shelf = await cachedShelf(await makeFilm(HEAVY))
    await shelf.origin.probe('film', NEVER)
    expect(shelf.store.reads.map(({ range }) => range)).toEqual([
      { suffix: 512 * 1024 },
      { start: 0, end: 512 * 1024 - 1 },
    ])
  })
})
