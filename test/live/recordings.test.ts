import { expect, test } from 'vitest'
import { factsOf } from '../../server/live/lane-tracks.ts'
import { collect } from '../../server/lib/bytes.ts'
import type { RecordingEvent } from '../../server/live/archives.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { newFolder, UnsureStore, until } from './archive-fixture.ts'
import { FIRST, keysOf, MEDIA, Recorded } from './recording-fixture.ts'

const CLIPS = 'recordings/main/clips'

function memory() {
  const clock = new FakeClock()
  return { clock, store: openMemoryStore({ clock }) }
}

test('a recording plays while it runs, grows, and is a closed list when the stream has ended', async () => {
  const recorded = await Recorded.open(memory())
  const publisher = await recorded.send(5500)
  const master = await recorded.get(`${FIRST}/index.m3u8`)
  expect(master.text).toContain('video.m3u8')
  expect(master.headers['cache-control']).toBe('public, max-age=1')
  const running = await recorded.get(`${FIRST}/video.m3u8`)
  expect(running.text).toContain('#EXT-X-PLAYLIST-TYPE:EVENT')
  expect(running.text).not.toContain('#EXT-X-ENDLIST')
  expect(running.headers['cache-control']).toBe('public, max-age=1')
  const first = await recorded.media(`${FIRST}/video.m3u8`)
  await publisher.send(MEDIA, 5500, 9500, () =>
    until(() => recorded.archives.waitingSegments === 0),
  )
  const second = await recorded.media(`${FIRST}/video.m3u8`)
  expect(second.segments.length).toBe(first.segments.length + 4)
  await recorded.end()
  const ended = await recorded.get(`${FIRST}/video.m3u8`)
  expect(ended.text).toContain('#EXT-X-PLAYLIST-TYPE:VOD')
  expect(ended.text.endsWith('#EXT-X-ENDLIST\n')).toBe(true)
  expect(ended.headers['cache-control']).toBe('public, max-age=86400')
  for (const { uri, map } of (await recorded.media(`${FIRST}/video.m3u8`)).segments)
    for (const one of [uri, map]) {
      const media = await recorded.get(`${FIRST}/${one}`)
      expect(media.status).toBe(200)
      expect(media.headers['cache-control']).toBe('public, max-age=31536000, immutable')
      expect(media.headers['content-length']).toBe(String(media.body.length))
      const head = await recorded.get(`${FIRST}/${one}`, 'HEAD')
      expect([head.headers['content-length'], head.body.length]).toEqual([
        String(media.body.length),
        0,
      ])
    }
})

test('what a stream showed live and what was recorded of it are the same bytes', async () => {
  const recorded = await Recorded.open(memory())
  await recorded.send(6500)
  const live = await recorded.live.media('dvr-video-t1.m3u8')
  const closed = live.segments.filter(({ uri, gap }) => uri !== undefined && !gap)
  expect(closed.length).toBeGreaterThan(4)
  for (const { uri } of closed) {
    const shown = await recorded.live.get(`/live/main/${uri}`)
    const kept = await recorded.get(`${FIRST}/${uri}`)
    expect(kept.body.equals(shown.body)).toBe(true)
  }
})

test('what a player asks for that a running recording has not yet is not kept by caches', async () => {
  const recorded = await Recorded.open(memory())
  await recorded.send(3500)
  const { segments } = await recorded.media(`${FIRST}/video.m3u8`)
  const last = segments.at(-1)
  const next = last?.uri?.replace(`-${last.sequence}.`, `-${last.sequence + 1}.`)
  const early = await recorded.get(`${FIRST}/${next}`)
  expect([early.status, early.headers['cache-control']]).toEqual([404, 'no-store'])
  const never = await recorded.get('recordings/main/20200101T000000Z/index.m3u8')
  expect([never.status, never.headers['cache-control']]).toEqual([404, 'public, max-age=10'])
})

test('the next start closes what kill -9 cut off, and records what comes in another recording', async () => {
  const { clock, store } = memory()
  const folder = await newFolder()
  const unsure = new UnsureStore(store)
  const first = await Recorded.open({ store: unsure, clock, folder })
  const publisher = await first.send(3500)
  unsure.state = 'hangs'
  await publisher.send(MEDIA, 3500, 6500, () => until(() => first.archives.waitingSegments === 0))
  const before = await first.media(`${FIRST}/video.m3u8`)
  const second = await Recorded.open({ store, clock, folder })
  const after = await second.media(`${FIRST}/video.m3u8`)
  expect(after.endList).toBe(true)
  expect(after.segments.map(({ uri }) => uri)).toEqual(before.segments.map(({ uri }) => uri))
  await until(() => second.archives.states().length === 0)
  await second.send(9500, 6500)
  const states = second.recordings.list().recordings.map(({ id, state }) => [id, state])
  expect(states).toEqual([
    [expect.stringMatching(/^20260101T0000\d\dZ$/), 'recording'],
    ['20260101T000000Z', 'complete'],
  ])
})

test('every rung of a ladder is recorded, cut where the source is', async () => {
  const picture = MEDIA.tracks.find(({ kind }) => kind === 'video')
  if (picture?.kind !== 'video') throw new Error('no picture')
  const rung = { id: 'v36', facts: factsOf(picture), bitsPerSecond: 300_000 }
  const recorded = await Recorded.open({
    ...memory(),
    startLadder: (stream, sink) => {
      sink.announce([rung])
      sink.onTrack(rung.id, picture)
      return stream.addReader({
        onTracks: () => {},
        onFrame: (frame) => {
          if (frame.trackId === picture.id) sink.onFrame(rung.id, frame)
        },
        onEnd: () => {},
      })
    },
  })
  await recorded.send(8500)
  await recorded.end()
  const master = await recorded.get(`${FIRST}/index.m3u8`)
  expect(master.text.match(/^\w+\.m3u8$/gm)).toEqual(['video.m3u8', 'v36.m3u8'])
  const [source, small] = await Promise.all(
    ['video', 'v36'].map((id) => recorded.media(`${FIRST}/${id}.m3u8`)),
  )
  const cutsOf = (media: typeof source) =>
    media?.segments.map(({ sequence, durationSeconds }) => [sequence, durationSeconds])
  expect(cutsOf(small)).toEqual(cutsOf(source))
  for (const { uri } of small?.segments ?? [])
    expect((await recorded.get(`${FIRST}/${uri}`)).status).toBe(200)
})

test('a slate that filled a gap is rewound to, and not recorded', async () => {
  const recorded = await Recorded.open({ ...memory(), slateSeconds: 3 })
  const publisher = await recorded.send(4500)
  publisher.end()
  for (let ms = 0; ms < 8000; ms += 100) {
    await recorded.clock.advance(100)
    await until(() => recorded.archives.waitingSegments === 0)
  }
  const gone = await recorded.media(`${FIRST}/video.m3u8`)
  const rewound = await recorded.live.media('dvr-video-t1.m3u8')
  expect(rewound.segments.length).toBeGreaterThan(gone.segments.length + 3)
  await recorded.send(8500, 4500)
  const back = await recorded.media(`${FIRST}/video.m3u8`)
  const cuts = back.segments.flatMap(({ discontinuity }, at) => (discontinuity ? [at] : []))
  expect(cuts).toEqual([gone.segments.length])
  expect(back.segments.filter(({ gap }) => gap)).toEqual([])
  const [report] = recorded.recordings.list().recordings
  expect(report?.seconds).toBeLessThan(10)
})

test('a recording is finished where it began when live.record was turned off meanwhile', async () => {
  const { clock, store } = memory()
  const folder = await newFolder()
  const unsure = new UnsureStore(store)
  unsure.state = 'hangs'
  await (await Recorded.open({ store: unsure, clock, folder })).send(4500)
  expect(await keysOf(store)).toEqual([])
  const next = await Recorded.open({ store, clock, folder, record: undefined })
  await until(() => next.archives.states().length === 0)
  expect(await keysOf(store)).toContain(`${FIRST}/index.ndjson`)
  expect(next.recordings.list().recordings.map(({ state }) => state)).toEqual(['complete'])
})

test('above its bound the oldest segments that wait are given up: gaps, said as an event', async () => {
  const { clock, store } = memory()
  const unsure = new UnsureStore(store)
  unsure.state = 'fails'
  const events: RecordingEvent[] = []
  const recorded = await Recorded.open({
    store: unsure,
    clock,
    queueBytes: 6000,
    onRecording: (event) => events.push(event),
  })
  await recorded.send(12_500)
  await until(() => (recorded.recordings.list().recordings[0]?.missingSegments ?? 0) > 0)
  const [state] = recorded.recordings.list().recordings
  expect(state?.storeFails).toBe(true)
  expect(recorded.recordings.warnings()).toEqual([
    expect.stringContaining(`${FIRST}: origin media cannot be written; 1 MB wait`),
  ])
  expect(events.map(({ kind }) => kind)).toEqual([
    'record-started',
    'record-failed',
    'record-failed',
  ])
  expect(events.at(-1)?.reason).toContain('segments are missing')
  const { segments } = await recorded.media(`${FIRST}/video.m3u8`)
  const [gap] = segments.filter((one) => one.gap)
  expect((await recorded.get(`${FIRST}/${gap?.uri}`)).status).toBe(404)
  unsure.state = 'works'
  recorded.live.packager.end('main')
  await until(async () => {
    await clock.advance(20)
    return recorded.archives.states().length === 0
  })
  const { segments: kept } = await recorded.media(`${FIRST}/video.m3u8`)
  for (const { uri } of kept.filter((one) => !one.gap))
    expect((await recorded.get(`${FIRST}/${uri}`)).status).toBe(200)
})

test('a clip of a running recording plays at once, begins where asked, and ends', async () => {
  const recorded = await Recorded.open(memory())
  await recorded.send(10_500)
  const clip = await recorded.recordings.clip({
    stream: 'main',
    from: { secondsBack: 4 },
    to: { secondsBack: 1 },
  })
  expect(clip.seconds).toBeCloseTo(3, 1)
  expect(clip.key.startsWith(CLIPS)).toBe(true)
  const { segments, endList } = await recorded.media(`${clip.key}/video.m3u8`)
  expect([segments.length, endList]).toEqual([3, true])
  for (const { uri, map } of segments)
    for (const one of [uri, map])
      expect((await recorded.get(`${clip.key}/${one}`)).status).toBe(200)
  expect((await recorded.get(`${clip.key}/index.m3u8`)).headers['cache-control']).toBe(
    'public, max-age=86400',
  )
})

test('a clip can be cut by dates from a recording that has ended, and says what there is when nothing is', async () => {
  const recorded = await Recorded.open(memory())
  await recorded.send(8500)
  await recorded.end()
  const from = Date.UTC(2026, 0, 1, 0, 0, 2)
  const cut = (at: number, to: number) =>
    recorded.recordings.clip({ stream: 'main', from: { at }, to: { at: to } })
  const clip = await cut(from + 100, from + 1900)
  expect((await recorded.media(`${clip.key}/video.m3u8`)).segments.length).toBe(2)
  await expect(cut(from - 60_000, from - 50_000)).rejects.toThrow(
    /has nothing between .*; it goes from 2026-01-01T00:00:00/,
  )
  await expect(cut(from, from)).rejects.toThrow(/from must lie before to/)
  await expect(
    recorded.recordings.clip({ stream: 'other', from: { at: 0 }, to: { at: 1 } }),
  ).rejects.toThrow(/nothing of other is recorded/)
})

test('retention removes a recording after its time, but not what clips of it need', async () => {
  const { clock, store } = memory()
  const recorded = await Recorded.open({ store, clock, retentionSeconds: 3600 })
  await recorded.send(10_500)
  const clip = await recorded.recordings.clip({
    stream: 'main',
    from: { secondsBack: 4 },
    to: { secondsBack: 1 },
  })
  await recorded.end()
  await clock.advance(3_500_000)
  expect((await recorded.get(`${FIRST}/index.m3u8`)).status).toBe(200)
  await clock.advance(200_000)
  await until(() => recorded.recordings.list().recordings.length === 0)
  expect(recorded.forgotten).toEqual([FIRST])
  expect((await recorded.get(`${FIRST}/index.m3u8`)).status).toBe(404)
  const { segments } = await recorded.media(`${clip.key}/video.m3u8`)
  for (const { uri, map } of segments)
    for (const one of [uri, map])
      expect((await recorded.get(`${clip.key}/${one}`)).status).toBe(200)
  const left = (await keysOf(store, `${FIRST}/`)).filter((key) => key.includes('/video-'))
  expect(left.length).toBe(segments.length + 1)
  await recorded.recordings.remove(clip.key)
  await until(() => recorded.recordings.list().clips.length === 0)
  expect(await keysOf(store, 'recordings/')).toEqual([])
})

test('a recording that runs is not removed; one that is complete goes at once, also out of the rewind window', async () => {
  const { clock, store } = memory()
  const recorded = await Recorded.open({ store, clock })
  await recorded.send(4500)
  await expect(recorded.recordings.remove(FIRST)).rejects.toThrow(/conflict/)
  await expect(recorded.recordings.remove('recordings/main/../x')).rejects.toThrow(/not-found/)
  await recorded.end()
  await recorded.recordings.remove(FIRST)
  expect((await recorded.get(`${FIRST}/video.m3u8`)).status).toBe(404)
  await until(async () => (await keysOf(store)).length === 0)
  await until(() => recorded.recordings.list().recordings.length === 0)
})

test('what could not be removed is removed by a later start', async () => {
  const { clock, store } = memory()
  const folder = await newFolder()
  const first = await Recorded.open({ store, clock, folder })
  await first.send(3500)
  await first.end()
  const failing = { ...store, remove: () => Promise.reject(new Error('denied')) }
  const second = await Recorded.open({ store: failing, clock, folder })
  await second.recordings.remove(FIRST)
  expect(second.recordings.list().recordings.map(({ state }) => state)).toEqual(['removing'])
  const third = await Recorded.open({ store, clock, folder })
  expect((await third.get(`${FIRST}/index.m3u8`)).status).toBe(404)
  await clock.advance(61_000)
  await until(() => third.recordings.list().recordings.length === 0)
  expect(await keysOf(store)).toEqual([])
})

test('a clip whose index names another stream has nothing of that one', async () => {
  const { clock, store } = memory()
  const recorded = await Recorded.open({ store, clock })
  await recorded.send(3500)
  const clip = await recorded.recordings.clip({
    stream: 'main',
    from: { secondsBack: 2 },
    to: { secondsBack: 0 },
  })
  const key = clip.key.replace('/main/', '/other/')
  const { body } = await store.read(`${clip.key}/index.ndjson`, {
    signal: AbortSignal.timeout(9999),
  })
  const signal = AbortSignal.timeout(9999)
  await store.write(`${key}/index.ndjson`, await collect(body), { signal })
  const { segments } = await recorded.media(`${key}/video.m3u8`)
  expect((await recorded.get(`${key}/${segments[0]?.uri}`)).status).toBe(404)
})

test('with another data folder the recordings and clips of the store are found again', async () => {
  const { clock, store } = memory()
  const first = await Recorded.open({ store, clock })
  await first.send(5500)
  await first.end()
  const edges = { from: { secondsBack: 2 }, to: { secondsBack: 0 } }
  const clip = await first.recordings.clip({ stream: 'main', ...edges })
  const other = await Recorded.open({ store, clock })
  expect((await other.get(`${FIRST}/index.m3u8`)).status).toBe(200)
  await other.recordings.lookForUnknown()
  const { recordings, clips } = other.recordings.list()
  expect(recordings.map(({ key }) => key)).toEqual([FIRST])
  expect(clips.map(({ key, of }) => [key, of])).toEqual([[clip.key, '20260101T000000Z']])
})
