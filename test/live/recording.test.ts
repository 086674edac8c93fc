import { expect, test } from 'vitest'
import { readRecordingIndex } from '../../server/formats/recording/recording-index.ts'
import { collect } from '../../server/lib/bytes.ts'
import type { RecordingEvent } from '../../server/live/archives.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import type { ObjectStore } from '../../server/storage/object-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { newFolder, openWithArchive, UnsureStore, until } from './archive-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 20, fps: 10, gop: 10, size: '64x36' })
const NEVER = new AbortController().signal

async function keysOf(store: ObjectStore): Promise<readonly string[]> {
  const { objects } = await store.list('', { limit: 1000, signal: NEVER })
  return objects.map(({ key }) => key)
}

async function indexOf(store: ObjectStore) {
  const key = (await keysOf(store)).find((one) => one.endsWith('/index.ndjson')) ?? ''
  const { body } = await store.read(key, { signal: NEVER })
  return readRecordingIndex(await collect(body))
}

test('a recording has each closed segment once, its init sections, and an index when it has ended', async () => {
  const clock = new FakeClock()
  const store = openMemoryStore({ clock })
  const events: RecordingEvent[] = []
  const { live, archives } = await openWithArchive(
    await newFolder(),
    { record: 'media', storeOf: () => store, onRecording: (event) => events.push(event) },
    clock,
  )
  await live.publish().send(MEDIA, 0, 10_500, () => until(() => archives.waitingSegments === 0))
  live.packager.end('main')
  await until(async () => (await keysOf(store)).some((key) => key.endsWith('/index.ndjson')))
  await until(() => archives.states().length === 0)
  const index = await indexOf(store)
  expect(index.ended).toBe(true)
  const keys = await keysOf(store)
  for (const { id, segments } of index.renditions) {
    expect(segments.length).toBeGreaterThanOrEqual(10)
    for (const { epoch, sequence, init } of segments) {
      const folder = 'recordings/main/20260101T000000Z'
      expect(keys).toContain(`${folder}/${epoch}/${id}-${sequence}.m4s`)
      expect(keys).toContain(`${folder}/${init}`)
    }
  }
  expect(events.map(({ kind, key }) => `${kind} ${key}`)).toEqual([
    'record-started recordings/main/20260101T000000Z',
    'record-ended recordings/main/20260101T000000Z',
  ])
})

test('a recording whose store fails for a while waits on the disk, is played from there, and catches up', async () => {
  const clock = new FakeClock()
  const inner = openMemoryStore({ clock })
  const store = new UnsureStore(inner)
  store.state = 'fails'
  const { live, archives } = await openWithArchive(
    await newFolder(),
    { record: 'media', storeOf: () => store },
    clock,
  )
  await live.publish().send(MEDIA, 0, 8000, () => until(() => archives.waitingSegments === 0))
  expect(await keysOf(inner)).toEqual([])
  const [state] = archives.states()
  expect(state?.storeFails).toBe(true)
  expect(state?.waitingBytes).toBeGreaterThan(0)
  const dvr = await live.media('dvr-video-t1.m3u8')
  expect((await live.get(`/live/main/${dvr.segments[1]?.uri}`)).status).toBe(200)
  store.state = 'works'
  live.packager.end('main')
  await until(async () => {
    await clock.advance(20)
    return archives.states().length === 0
  })
  const { renditions, ended } = await indexOf(inner)
  expect(ended).toBe(true)
  expect(renditions.flatMap(({ segments }) => segments).filter(({ gap }) => gap)).toEqual([])
})

test('a recording that kill -9 cut off is brought to its store by the next start, up to its last closed segment', async () => {
  const clock = new FakeClock()
  const inner = openMemoryStore({ clock })
  const store = new UnsureStore(inner)
  store.state = 'hangs'
  const folder = await newFolder()
  const first = await openWithArchive(folder, { record: 'media', storeOf: () => store }, clock)
  await first.live
    .publish()
    .send(MEDIA, 0, 6500, () => until(() => first.archives.waitingSegments === 0))
  const dvr = await first.live.media('dvr-video-t1.m3u8')
  const closed = dvr.segments.filter(({ uri, gap }) => uri !== undefined && !gap)
  const next = await openWithArchive(folder, { storeOf: () => inner }, clock)
  await until(async () => (await keysOf(inner)).some((key) => key.endsWith('/index.ndjson')))
  await until(() => next.archives.states().length === 0)
  const { renditions, ended } = await indexOf(inner)
  expect(ended).toBe(true)
  const video = renditions.find(({ id }) => id === 'video')
  expect(video?.segments.map(({ sequence }) => sequence)).toEqual(
    closed.map(({ sequence }) => sequence),
  )
})
