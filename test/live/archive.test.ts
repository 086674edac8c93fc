import { mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openFileStore } from '../../server/storage/file.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { violationsOf } from '../support/hls-conformance.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import type { Archives } from '../../server/live/archives.ts'
import { newFolder, openWithArchive, UnsureStore, until } from './archive-fixture.ts'
import type { Publisher } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 90, fps: 10, gop: 10, size: '64x36' })

/** Sends in the media's own time, which stands still while the disk is written. */
function send(archives: Archives, publisher: Publisher, from: number, to: number): Promise<void> {
  return publisher.send(MEDIA, from, to, () => until(() => archives.waitingSegments === 0))
}

async function archivedFiles(folder: string): Promise<readonly string[]> {
  const all = await readdir(join(folder, 'archive', 'objects'), { recursive: true })
  return all.filter((file) => file.endsWith('.m4s'))
}

describe('rewinding', () => {
  test('plays what left memory from the store, byte for byte as it was sent live', async () => {
    const folder = await newFolder()
    const { live, archives } = await openWithArchive(folder)
    const publisher = live.publish()
    await send(archives, publisher, 0, 5000)
    const early = await live.media('video-t1.m3u8')
    const uris = early.segments.flatMap(({ gap, uri }) => (gap || uri === undefined ? [] : [uri]))
    const sent = await Promise.all(uris.slice(0, 3).map((uri) => live.get(`/live/main/${uri}`)))
    await send(archives, publisher, 5000, 50_000)
    const dvr = await live.media('dvr-video-t1.m3u8')
    expect(violationsOf(dvr)).toEqual([])
    expect(dvr.segments.map(({ uri }) => uri)).toEqual(expect.arrayContaining(uris.slice(0, 3)))
    const [stream] = live.packager.describe()
    // Twice the main playlist of ten seconds, and what is on its way.
    expect(stream?.windowBytes).toBeLessThan(publisherBytes(0, 25_000))
    for (const [at, uri] of uris.slice(0, 3).entries()) {
      const now = await live.get(`/live/main/${uri}`)
      expect(now.status).toBe(200)
      expect(now.headers['cache-control']).toContain('immutable')
      expect(Number(now.headers['content-length'])).toBe(now.body.length)
      expect(now.body.equals(sent[at]?.body ?? Buffer.alloc(0))).toBe(true)
    }
  })

  test('removes from the store what no playlist has named for a while', async () => {
    const folder = await newFolder()
    const { live, archives } = await openWithArchive(folder, { packager: { dvrSeconds: 20 } })
    await send(archives, live.publish(), 0, 80_000)
    await until(async () => (await archivedFiles(folder)).length <= 2 * 48)
    const dvr = await live.media('dvr-video-t1.m3u8')
    for (const { uri, gap } of dvr.segments.slice(0, -1))
      if (!gap) expect((await live.get(`/live/main/${uri}`)).status).toBe(200)
  })

  test('goes on over a restart, with the older segments from the archive', async () => {
    const folder = await newFolder()
    const clock = new FakeClock()
    const first = await openWithArchive(folder, {}, clock)
    await send(first.archives, first.live.publish(), 0, 40_000)
    await first.live.packager.save()
    const before = await first.live.media('dvr-video-t1.m3u8')
    first.live.packager.close()
    await clock.advance(2000)
    const second = await openWithArchive(folder, {}, clock)
    const after = await second.live.media('dvr-video-t1.m3u8')
    // The gap that a window begins with is archived nowhere.
    expect(after.segments).toEqual(before.segments.filter((one) => !one.gap))
    const [oldest] = after.segments
    expect((await second.live.get(`/live/main/${oldest?.uri}`)).status).toBe(200)
    expect((await second.live.get(`/live/main/${oldest?.map}`)).status).toBe(200)
    await second.live.publish().send(MEDIA, 0, 3000)
    const later = await second.live.media('dvr-video-t1.m3u8')
    expect(violationsOf(later)).toEqual([])
    expect(later.segments.filter((one) => one.discontinuity)).toHaveLength(1)
    expect(later.mediaSequence).toBe(after.mediaSequence)
  })

  test('goes on after kill -9 with all closed segments, and no number comes twice', async () => {
    const folder = await newFolder()
    const clock = new FakeClock()
    const first = await openWithArchive(folder, {}, clock)
    await send(first.archives, first.live.publish(), 0, 30_500)
    const before = await first.live.media('dvr-video-t1.m3u8')
    const open = before.segments.at(-1)
    // Nothing is saved or closed: the process is gone.
    await clock.advance(1000)
    const second = await openWithArchive(folder, {}, clock)
    const after = await second.live.media('dvr-video-t1.m3u8')
    const last = after.segments.at(-1)
    expect(last?.gap).toBe(true)
    expect(last?.sequence).toBe(open?.sequence)
    expect(after.endList).toBe(false)
    for (const { uri, gap } of after.segments)
      if (!gap) expect((await second.live.get(`/live/main/${uri}`)).status).toBe(200)
    await second.live.publish().send(MEDIA, 0, 4000)
    const later = await second.live.media('dvr-video-t1.m3u8')
    expect(violationsOf(later)).toEqual([])
    expect(later.segments.find((one) => one.discontinuity)?.sequence).toBe(
      (open?.sequence ?? 0) + 1,
    )
  })
})

test('after kill -9 no number comes twice, also where the disk was segments behind', async () => {
  const folder = await newFolder()
  const clock = new FakeClock()
  const local = new UnsureStore(openFileStore(join(folder, 'archive', 'objects'), { clock }))
  const first = await openWithArchive(folder, { local }, clock)
  const publisher = first.live.publish()
  await send(first.archives, publisher, 0, 20_500)
  local.state = 'hangs'
  await publisher.send(MEDIA, 20_500, 24_500)
  const journals = join(folder, 'archive', 'journals')
  const again = first.live.publish()
  await again.send(MEDIA, 0, 2500)
  const before = await first.live.media('video-t1.m3u8')
  const last = before.segments.at(-1)?.sequence ?? 0
  await until(async () => {
    const [file = ''] = await readdir(journals)
    return (await readFile(join(journals, file), 'utf8')).includes(`"begun","sequence":${last},`)
  })
  await clock.advance(1000)
  const second = await openWithArchive(folder, {}, clock)
  await second.live.publish().send(MEDIA, 0, 4000)
  const after = await second.live.media('video-t1.m3u8')
  expect(violationsOf(after)).toEqual([])
  expect(after.discontinuitySequence).toBeGreaterThanOrEqual(before.discontinuitySequence)
  const fresh = after.segments.find(({ discontinuity, gap }) => discontinuity && !gap)
  expect(fresh?.sequence).toBe(last + 1)
})

test('a start removes objects that no journal knows, and journals that say nothing', async () => {
  const folder = await newFolder()
  const clock = new FakeClock()
  const first = await openWithArchive(folder, {}, clock)
  await send(first.archives, first.live.publish(), 0, 5000)
  expect((await archivedFiles(folder)).length).toBeGreaterThan(5)
  const journals = join(folder, 'archive', 'journals')
  for (const file of await readdir(journals)) await writeFile(join(journals, file), 'no journal')
  const second = await openWithArchive(folder, {}, clock)
  await until(async () => (await archivedFiles(folder)).length === 0)
  expect(await readdir(journals)).toEqual([])
  expect((await second.live.get('/live/main/index.m3u8')).status).toBe(404)
})

test('a journal that the disk does not give is kept for the next start, and what it may name, too', async () => {
  const folder = await newFolder()
  const clock = new FakeClock()
  const first = await openWithArchive(folder, {}, clock)
  await send(first.archives, first.live.publish(), 0, 5000)
  const before = await archivedFiles(folder)
  const journals = join(folder, 'archive', 'journals')
  const [name = ''] = await readdir(journals)
  const journal = await readFile(join(journals, name))
  await rm(join(journals, name))
  await mkdir(join(journals, name))
  await openWithArchive(folder, {}, clock)
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(await archivedFiles(folder)).toEqual(before)
  expect(await readdir(journals)).toEqual([name])
  await rmdir(join(journals, name))
  await writeFile(join(journals, name), journal)
  const third = await openWithArchive(folder, {}, clock)
  expect((await third.live.media('dvr-video-t1.m3u8')).segments.length).toBeGreaterThan(4)
})

describe('a store', () => {
  test('that stands still touches no live viewer; what memory cannot hold is a gap', async () => {
    const folder = await newFolder()
    const clock = new FakeClock()
    const local = new UnsureStore(openFileStore(join(folder, 'objects'), { clock }))
    const bytes = publisherBytes(0, 30_000)
    const { live, archives } = await openWithArchive(
      folder,
      { local, packager: { windowBytes: bytes } },
      clock,
    )
    const publisher = live.publish()
    await send(archives, publisher, 0, 20_000)
    local.state = 'hangs'
    await publisher.send(MEDIA, 20_000, 80_000)
    const main = await live.media('video-t1.m3u8')
    expect(violationsOf(main)).toEqual([])
    for (const { uri, gap } of main.segments)
      if (!gap && uri !== undefined) expect((await live.get(`/live/main/${uri}`)).status).toBe(200)
    expect(live.packager.describe()[0]?.windowBytes).toBeLessThanOrEqual(bytes)
    const dvr = await live.media('dvr-video-t1.m3u8')
    const gaps = dvr.segments.filter(({ gap }) => gap)
    expect(gaps.length).toBeGreaterThan(5)
    local.state = 'works'
    // Little by little: files are written in real time.
    await until(async () => {
      await clock.advance(20)
      return archives.waitingSegments === 0
    })
    await send(archives, publisher, 80_000, 90_000)
    expect(violationsOf(await live.media('dvr-video-t1.m3u8'))).toEqual([])
  })

  test('that cannot be read fails the request for an old segment and no other', async () => {
    const folder = await newFolder()
    const clock = new FakeClock()
    const local = new UnsureStore(openFileStore(join(folder, 'objects'), { clock }))
    const { live, archives } = await openWithArchive(folder, { local }, clock)
    await send(archives, live.publish(), 0, 40_000)
    local.state = 'fails'
    const dvr = await live.media('dvr-video-t1.m3u8')
    const [, oldest] = dvr.segments
    const newest = dvr.segments.at(-2)
    const failed = await live.get(`/live/main/${oldest?.uri}`)
    expect(failed.status).toBe(502)
    expect(failed.headers['cache-control']).toBe('no-store')
    expect((await live.get(`/live/main/${newest?.uri}`)).status).toBe(200)
  })
})

/** Bytes of the frames in this time, with what their boxes cost. */
function publisherBytes(from: number, to: number): number {
  return MEDIA.frames
    .filter(({ dts }) => dts >= from && dts < to)
    .reduce((sum, { data }) => sum + data.length + 40, 0)
}
