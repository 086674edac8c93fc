import { expect, test } from 'vitest'
import type { Archives } from '../../server/live/archives.ts'
import type { OriginRequest } from '../../server/http/message.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { createLiveReplicas } from '../../server/live/replicas.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { newFolder, openWithArchive, until } from './archive-fixture.ts'
import { answered, ask, type Publisher, readMedia } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 60, fps: 10, gop: 10, size: '64x36' })

function send(archives: Archives, publisher: Publisher, from: number, to: number): Promise<void> {
  return publisher.send(MEDIA, from, to, () => until(() => archives.waitingSegments === 0))
}

test('an edge rewinds as far as its parent, and holds no more than the live edge for it', async () => {
  const { live, archives, clock } = await openWithArchive(await newFolder())
  const replicas = createLiveReplicas({
    openTail: async (name, signal) => live.packager.tail(name, signal),
    fetchParent: (request) => live.packager.origin.fetch(request),
    clock,
    log: silentLog,
    metrics: new Metrics(),
    idleMs: 600_000,
  })
  const edge = (path: string) => ask(replicas.origin, path)
  const publisher = live.publish()
  await send(archives, publisher, 0, 3000)
  expect((await edge('/live/main/index.m3u8')).status).toBe(200)
  await send(archives, publisher, 3000, 55_000)
  const dvr = readMedia(await edge('/live/main/dvr-video-t1.m3u8'))
  expect(dvr.segments).toEqual((await live.media('dvr-video-t1.m3u8')).segments)
  expect(dvr.segments.length).toBeGreaterThan(50)
  const [, old] = dvr.segments
  const here = await edge(`/live/main/${old?.uri}`)
  expect(here.status).toBe(200)
  expect(here.body.equals((await live.get(`/live/main/${old?.uri}`)).body)).toBe(true)
  const next = (dvr.segments.at(-1)?.sequence ?? 0) + 1
  const held = edge(`/live/main/dvr-video-t1.m3u8?_HLS_msn=${next}`)
  expect(await answered(held)).toBeUndefined()
  await send(archives, publisher, 55_000, 58_000)
  expect(readMedia(await held).segments.at(-1)?.sequence).toBeGreaterThanOrEqual(next)
  replicas.close()
})

test('an edge asks its parent once for all who wait for the same rewind playlist', async () => {
  const { live, archives, clock } = await openWithArchive(await newFolder())
  const asked: OriginRequest[] = []
  const replicas = createLiveReplicas({
    openTail: async (name, signal) => live.packager.tail(name, signal),
    fetchParent: (request) => {
      asked.push(request)
      return live.packager.origin.fetch(request)
    },
    clock,
    log: silentLog,
    metrics: new Metrics(),
    idleMs: 600_000,
  })
  const publisher = live.publish()
  await send(archives, publisher, 0, 5000)
  const file = '/live/main/dvr-video-t1.m3u8'
  const next = (readMedia(await ask(replicas.origin, file)).segments.at(-1)?.sequence ?? 0) + 1
  asked.length = 0
  const gone = new AbortController()
  const path = `${file}?_HLS_msn=${next}`
  const left = ask(replicas.origin, path, {}, gone.signal).catch((error: unknown) => error)
  const held = Array.from({ length: 20 }, (_, i) => ask(replicas.origin, `${path}&viewer=${i}`))
  expect(await answered(Promise.race(held))).toBeUndefined()
  expect(asked).toHaveLength(1)
  gone.abort(new Error('left'))
  expect(await left).toMatchObject({ message: 'left' })
  expect(asked[0]?.signal.aborted).toBe(false)
  await send(archives, publisher, 5000, 8000)
  for (const answer of await Promise.all(held))
    expect(readMedia(answer).segments.at(-1)?.sequence).toBeGreaterThanOrEqual(next)
  expect(asked).toHaveLength(1)
  const alone = new AbortController()
  const newest = readMedia(await ask(replicas.origin, file)).segments.at(-1)?.sequence ?? 0
  const later = ask(replicas.origin, `${file}?_HLS_msn=${newest + 1}`, {}, alone.signal)
  expect(await answered(later)).toBeUndefined()
  expect(asked[2]?.signal.aborted).toBe(false)
  alone.abort(new Error('left'))
  await expect(later).rejects.toThrow('left')
  expect(asked[2]?.signal.aborted).toBe(true)
  replicas.close()
})

test('an edge whose parent cannot be asked fails the rewinding and nothing else', async () => {
  const { live, archives, clock } = await openWithArchive(await newFolder())
  const replicas = createLiveReplicas({
    openTail: async (name, signal) => live.packager.tail(name, signal),
    fetchParent: () => Promise.reject(new Error('no way')),
    clock,
    log: silentLog,
    metrics: new Metrics(),
    idleMs: 600_000,
  })
  await send(archives, live.publish(), 0, 5000)
  expect((await ask(replicas.origin, '/live/main/video-t1.m3u8')).status).toBe(200)
  const failed = await ask(replicas.origin, '/live/main/dvr-video-t1.m3u8')
  expect(failed.status).toBe(502)
  expect(failed.text).not.toContain('no way')
  replicas.close()
})
