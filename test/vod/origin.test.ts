import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { deferred } from '../../server/lib/deferred.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { type Log, silentLog } from '../../server/lib/log.ts'
import type { ObjectStore } from '../../server/storage/object-store.ts'
import { hashOf } from '../../server/vod/film.ts'
import { convertFilm, makeFilm } from '../support/media.ts'
import { ask, NEVER, playFilm, type Shelf, shelfWith } from './play.ts'

const never = () => new Promise<never>(() => {})

const LONG: Parameters<typeof makeFilm>[0] = { seconds: 20, gop: 50 }

/** The path of a segment of the film's only rendition. */
async function segmentPath(shelf: Shelf, key: string, segment: number): Promise<string> {
  const { hash } = await versionOf(shelf, key)
  return `/vod/${key}/${hash}/main-${segment}.m4s`
}

async function versionOf(shelf: Shelf, key: string): Promise<{ hash: string }> {
  const { text } = await ask(shelf, `/vod/${key}/index.m3u8`)
  return { hash: /([0-9a-f]{16})\/main\.m3u8/.exec(text)?.[1] ?? text }
}

describe('reading', () => {
  it('reads head and tail at the same time, and then once a segment', async () => {
    const shelf = await shelfWith({ 'a/film.mp4': await makeFilm(LONG) })
    const together = deferred()
    shelf.store.before = async () => {
      if (shelf.store.reads.length === 2) together.resolve()
      await together.promise
    }
    const played = await playFilm(shelf, 'a/film.mp4')
    const [head, tail, ...segments] = shelf.store.reads
    expect([head?.range, tail?.range]).toEqual([{ suffix: 524288 }, { start: 0, end: 2097151 }])
    expect(segments).toHaveLength(played.segments.length)
    expect(segments.every(({ ifMatch }) => ifMatch !== undefined)).toBe(true)
    expect(shelf.store.stats).toEqual([])
  })

  it('needs a third read only for what is missing of a long index', async () => {
    const minute = await makeFilm({ seconds: 60, video: false, extra: ['-b:a', '16k'] })
    const hour = ['-stream_loop', '59', '-i', minute]
    const film = await convertFilm(hour, ['-c', 'copy'], 'mp4')
    const shelf = await shelfWith({ film })
    expect((await ask(shelf, '/vod/film/index.m3u8')).status).toBe(200)
    const { size } = (await shelf.store.stat('film', NEVER)) ?? { size: 0 }
    const ranges = shelf.store.reads.map(({ range }) => range)
    expect(ranges).toHaveLength(3)
    const third = ranges[2]
    expect(third && 'start' in third ? third.end : undefined).toBeLessThan(size)
  })

  it('shares one load between all who ask at once, and survives the leaving of some', async () => {
    const shelf = await shelfWith({ film: await makeFilm(LONG) })
    const gate = deferred()
    shelf.store.before = () => gate.promise
    const leaver = new AbortController()
    const first = ask(shelf, '/vod/film/index.m3u8', { signal: leaver.signal })
    const others = Array.from({ length: 20 }, () => ask(shelf, '/vod/film/index.m3u8'))
    leaver.abort(new Error('closed the page'))
    await expect(first).rejects.toThrow('closed the page')
    gate.resolve()
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual(Array(20).fill(200))
    expect(shelf.store.reads).toHaveLength(2)
  })

  it('says why a film of a store with weak etags is not cut (RFC 9110 §8.8.1)', async () => {
    const shelf = await shelfWith({ 'a/film.mp4': await makeFilm(LONG) })
    const read = shelf.store.read.bind(shelf.store)
    shelf.store.read = async (key, options) => {
      const { info, ...rest } = await read(key, options)
      return { info: { weak: true, ...info }, ...rest }
    }
    const { status, text } = await ask(shelf, '/vod/a/film.mp4/index.m3u8')
    expect([status, text]).toEqual([415, expect.stringContaining('weak entity tags')])
  })

  it('stops reading when the last one leaves', async () => {
    const shelf = await shelfWith({ film: await makeFilm(LONG) })
    shelf.store.before = () => new Promise(() => {})
    const leaver = new AbortController()
    const asked = ask(shelf, '/vod/film/index.m3u8', { signal: leaver.signal })
    leaver.abort(new Error('closed the page'))
    await expect(asked).rejects.toThrow('closed the page')
    expect(shelf.store.reads.map(({ signal }) => signal.aborted)).toEqual([true, true])
  })

  it('gives up a store that does not answer', async () => {
    const shelf = await shelfWith({ film: await makeFilm(LONG) })
    shelf.store.before = () => new Promise(() => {})
    const asked = ask(shelf, '/vod/film/index.m3u8')
    await shelf.clock.advance(30_001)
    const { status, text } = await asked
    expect([status, JSON.parse(text)]).toMatchObject([504, { code: 'origin-timeout' }])
  })

  it('ends the read of a segment that a store did not open in time', async () => {
    const shelf = await shelfWith({ film: await makeFilm(LONG) })
    const path = await segmentPath(shelf, 'film', 0)
    shelf.store.reads.length = 0
    const reading = deferred()
    shelf.store.before = () => {
      reading.resolve()
      return never()
    }
    const asked = ask(shelf, path)
    await reading.promise
    await shelf.clock.advance(10_001)
    expect((await asked).status).toBe(504)
    expect(shelf.store.reads.map(({ signal }) => signal.aborted)).toEqual([true])
  })

  it('gives up a body that stands still, though it cannot be closed either', async () => {
    const shelf = await shelfWith({ film: await makeFilm(LONG) })
    const path = await segmentPath(shelf, 'film', 0)
    const read = shelf.store.read.bind(shelf.store)
    const stalledAfter = async (chunks: number) => {
      const waiting = deferred()
      let given = 0
      const next = () => {
        given += 1
        if (given <= chunks) return Promise.resolve({ done: false, value: Buffer.alloc(1) })
        waiting.resolve()
        return never()
      }
      shelf.store.read = async (key, options) => ({
        ...(await read(key, options)),
        body: { [Symbol.asyncIterator]: () => ({ next, return: never }) },
      })
      const asked = ask(shelf, path)
      asked.catch(() => {})
      await waiting.promise
      await shelf.clock.advance(20_001)
      return asked
    }
    expect((await stalledAfter(0)).status).toBe(504)
    await expect(stalledAfter(1)).rejects.toMatchObject({ code: 'origin-timeout' })
  })

  it('keeps what the store says from viewers, writes it down once in 10 s, and does not keep the answer', async () => {
    const lines: unknown[] = []
    const log: Log = { ...silentLog, warn: (_, fields) => void lines.push(fields), with: () => log }
    const shelf = await shelfWith({ film: await makeFilm(LONG) }, { log })
    const sentence = 'my-videos at http://10.0.0.9:9000: the secret key is wrong; check AWS_SECRET'
    shelf.store.before = async () => {
      throw new NearcastError('store-denied', sentence)
    }
    for (const again of [1, 2, 3]) {
      const { status, text, headers } = await ask(shelf, '/vod/film/index.m3u8')
      expect([again, status, headers['cache-control']]).toEqual([again, 502, 'no-store'])
      expect(JSON.parse(text)).toEqual({
        code: 'store-denied',
        message: 'the object store refused the credentials',
      })
    }
    await shelf.clock.advance(10_000)
    expect(lines).toEqual([
      { path: '/vod/film/index.m3u8', error: `store-denied: ${sentence}` },
      { kind: 'vod store-denied', unwritten: 2 },
    ])
    shelf.store.before = async () => {}
    expect((await ask(shelf, '/vod/film/index.m3u8')).status).toBe(200)
  })

  it('keeps indexes within their bytes, the least recently used out first', async () => {
    const film = await makeFilm(LONG)
    const shelf = await shelfWith({ a: film, b: film, c: film }, { maxIndexBytes: 30_000 })
    for (const key of ['a', 'b', 'c']) await ask(shelf, `/vod/${key}/index.m3u8`)
    const { indexBytes } = await shelf.origin.probe('c', NEVER)
    expect(indexBytes * 3).toBeGreaterThan(30_000)
    shelf.store.reads.length = 0
    await ask(shelf, await segmentPath(shelf, 'c', 0))
    expect(shelf.store.reads).toHaveLength(1)
    await ask(shelf, '/vod/a/index.m3u8')
    expect(shelf.store.reads).toHaveLength(3)
  })
})

describe('answers', () => {
  it('are the same bytes on every machine', async () => {
    const film = await makeFilm({ ...LONG, bframes: 2 })
    const [one, other] = [await shelfWith({ film }), await shelfWith({ film })]
    expect(await playFilm(one, 'film')).toEqual(await playFilm(other, 'film'))
  })

  it('can be kept for ever under names that tell the version, the master for a second', async () => {
    const shelf = await shelfWith({ film: await makeFilm(LONG) })
    const { hash } = await versionOf(shelf, 'film')
    const caching = async (path: string) => (await ask(shelf, path)).headers['cache-control']
    expect(await caching('/vod/film/index.m3u8')).toBe('public, max-age=1')
    for (const name of ['main.m3u8', 'main.mp4', 'main-0.m4s']) {
      expect(await caching(`/vod/film/${hash}/${name}`)).toBe('public, max-age=31536000, immutable')
    }
  })

  it('tell their kind, length and version, to HEAD as well, and 304 to who has them', async () => {
    const shelf = await shelfWith({ film: await makeFilm(LONG) })
    const path = await segmentPath(shelf, 'film', 1)
    const whole = await ask(shelf, path)
    expect(whole.headers['content-type']).toBe('video/mp4')
    shelf.store.reads.length = 0
    const head = await ask(shelf, path, { method: 'HEAD' })
    expect(head).toMatchObject({ status: 200, headers: whole.headers, bytes: Buffer.alloc(0) })
    const again = { headers: { 'if-none-match': String(whole.headers['etag']) } }
    expect((await ask(shelf, path, again)).status).toBe(304)
    expect(shelf.store.reads).toHaveLength(0)
    const master = await ask(shelf, '/vod/film/index.m3u8')
    expect(master.headers['content-type']).toBe('application/vnd.apple.mpegurl')
  })

  it('find keys with slashes, spaces and percent signs', async () => {
    const film = await makeFilm({ seconds: 1 })
    const shelf = await shelfWith({ 'my films/100 % ü/film.mp4': film })
    const key = 'my%20films/100%20%25%20%C3%BC/film.mp4'
    expect((await playFilm(shelf, key)).segments).toHaveLength(1)
  })

  it('to a condition that does not hold are not for other viewers', async () => {
    const shelf = await shelfWith({ film: await makeFilm({ seconds: 1 }) })
    const stale = { headers: { 'if-match': '"another"' } }
    const { status, headers } = await ask(shelf, '/vod/film/index.m3u8', stale)
    expect([status, headers['cache-control']]).toEqual([412, 'no-store'])
  })

  it('to HEAD have no body, refusals neither', async () => {
    const shelf = await shelfWith({})
    const whole = await ask(shelf, '/vod/nothing/index.m3u8')
    const head = await ask(shelf, '/vod/nothing/index.m3u8', { method: 'HEAD' })
    expect(head).toEqual({ ...whole, bytes: Buffer.alloc(0), text: '' })
  })

  it('refuse in JSON what is not there', async () => {
    const shelf = await shelfWith({ film: await makeFilm({ seconds: 1 }) })
    const { hash } = await versionOf(shelf, 'film')
    const refusal = async (path: string, method = 'GET') => {
      const { status, text } = await ask(shelf, path, { method })
      return [status, (JSON.parse(text) as { code: string }).code]
    }
    expect(await refusal('/vod/nothing/index.m3u8')).toEqual([404, 'object-not-found'])
    await expect(ask(shelf, '/vod/film')).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('/watch/vod/KEY'),
    })
    expect(await refusal('/vod/../film/index.m3u8')).toEqual([400, 'bad-request'])
    expect(await refusal('/vod/%E0%A4%A/index.m3u8')).toEqual([400, 'bad-request'])
    expect(await refusal(`/vod/film/${hash}/main-1.m4s`)).toEqual([404, 'not-found'])
    expect(await refusal(`/vod/film/${hash}/main.d1.mp4`)).toEqual([404, 'not-found'])
    expect(await refusal(`/vod/film/${hash}/audio1.m3u8`)).toEqual([404, 'not-found'])
    expect(await refusal('/vod/film/index.m3u8', 'POST')).toEqual([405, 'method-not-allowed'])
  })
})

describe('an object that is replaced', () => {
  it('gives new viewers the new film and readers of the old a clear end', async () => {
    const [old, young] = [await makeFilm({ seconds: 4 }), await makeFilm({ seconds: 6 })]
    const shelf = await shelfWith({ film: old })
    const before = await versionOf(shelf, 'film')
    await shelf.put('film', await readFile(young))
    // The index is there, the bytes are not: the store's If-Match finds it out.
    const gone = await ask(shelf, `/vod/film/${before.hash}/main-1.m4s`)
    expect([gone.status, JSON.parse(gone.text)]).toMatchObject([410, { code: 'media-replaced' }])
    const after = await versionOf(shelf, 'film')
    expect(after.hash).not.toBe(before.hash)
    const path = `/vod/film/${before.hash}/main.m3u8`
    expect((await ask(shelf, path)).status).toBe(410)
    expect((await playFilm(shelf, 'film')).segments).toHaveLength(3)
  })

  it('is found out before the status, though a cache asks the store for the first bytes only', async () => {
    const [old, young] = [await makeFilm({ seconds: 4 }), await makeFilm({ seconds: 6 })]
    const shelf = await shelfWith({ film: old })
    const path = await segmentPath(shelf, 'film', 1)
    await shelf.put('film', await readFile(young))
    const read = shelf.store.read.bind(shelf.store)
    const late: ObjectStore['read'] = async (key, options) => {
      const { info } = await read(key, { signal: options.signal })
      async function* body() {
        yield* (await read(key, options)).body
      }
      return { info, start: 0, length: 0, body: body() }
    }
    shelf.store.read = (key, options) => (options.ifMatch ? late : read)(key, options)
    const { status, text } = await ask(shelf, path)
    expect([status, JSON.parse(text)]).toMatchObject([410, { code: 'media-replaced' }])
  })

  it('is noticed when the master is asked for again', async () => {
    const shelf = await shelfWith({ film: await makeFilm({ seconds: 4 }) })
    const before = await versionOf(shelf, 'film')
    await shelf.put('film', await readFile(await makeFilm({ seconds: 6 })))
    await shelf.clock.advance(1001)
    expect(await versionOf(shelf, 'film')).not.toEqual(before)
  })

  it('is looked at again when a viewer names a version that another server knows already', async () => {
    const shelf = await shelfWith({ film: await makeFilm({ seconds: 4 }) })
    await versionOf(shelf, 'film')
    const young = await readFile(await makeFilm({ seconds: 6 }))
    await shelf.put('film', young)
    const info = await shelf.store.stat('film', NEVER)
    const hash = info && hashOf(info)
    expect((await ask(shelf, `/vod/film/${hash}/main.m3u8`)).status).toBe(200)
  })

  it('while it is read is read again', async () => {
    const [old, young] = [await makeFilm({ seconds: 4 }), await makeFilm({ seconds: 6 })]
    const shelf = await shelfWith({ film: old })
    const bytes = await readFile(young)
    shelf.store.before = async () => {
      if (shelf.store.reads.length === 2) await shelf.put('film', bytes)
    }
    const { status } = await ask(shelf, '/vod/film/index.m3u8')
    expect(status).toBe(200)
    expect((await playFilm(shelf, 'film')).segments).toHaveLength(3)
  })

  it('that is removed is not found any more', async () => {
    const shelf = await shelfWith({ film: await makeFilm({ seconds: 4 }) })
    const path = await segmentPath(shelf, 'film', 0)
    await shelf.store.remove('film', NEVER)
    expect((await ask(shelf, path)).status).toBe(404)
  })
})
