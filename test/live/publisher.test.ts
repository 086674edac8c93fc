import { describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import { changeViolations, violationsOf } from '../support/hls-conformance.ts'
import { type LiveMedia, makeLiveMedia } from '../support/live-media.ts'
import { answered, LiveFixture, type Publisher } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 20, gop: 30 })
const SMALL = await makeLiveMedia({ seconds: 6, gop: 30, size: '160x90' })

async function running(): Promise<{ live: LiveFixture; publisher: Publisher }> {
  const live = await LiveFixture.open()
  const publisher = live.publish()
  await publisher.send(MEDIA, 0, 8500)
  return { live, publisher }
}

function changed(media: LiveMedia, change: (frame: Frame) => Frame | undefined): LiveMedia {
  return { ...media, frames: media.frames.flatMap((frame) => change(frame) ?? []) }
}

/** Frames from `fromMs` on are stamped `byMs` later. */
function jumping(media: LiveMedia, fromMs: number, byMs: number): LiveMedia {
  return changed(media, (frame) =>
    frame.dts < fromMs ? frame : { ...frame, dts: frame.dts + byMs, pts: frame.pts + byMs },
  )
}

/** What a publisher sends that takes no notice of the stamps: a frame each 1/77 s or so. */
async function sendAll(live: LiveFixture, publisher: Publisher, media: LiveMedia): Promise<void> {
  publisher.stream.setTracks(media.tracks)
  const stepMs = 20_000 / MEDIA.frames.length
  for (const frame of media.frames) {
    await live.clock.advance(stepMs)
    publisher.write(frame)
  }
}

describe('a publisher that is lost', () => {
  test('and comes back within the grace goes on in the same playlists', async () => {
    const { live, publisher } = await running()
    const before = await live.media('video-t1.m3u8')
    publisher.end('lost')
    await live.clock.advance(5000)
    const between = await live.media('video-t1.m3u8')
    expect(between.endList).toBe(false)
    await live.publish().send(MEDIA, 0, 3000)
    for (const file of ['video-t1.m3u8', 'audio-t1.m3u8']) {
      const after = await live.media(file)
      expect(violationsOf(after)).toEqual([])
      const starts = after.segments.filter((segment) => segment.discontinuity)
      expect(starts).toHaveLength(1)
      const [first] = starts
      expect(first?.sequence).toBe(10)
      const last = after.segments.find(({ sequence }) => sequence === 9)
      const end = (last?.startedAt ?? 0) + (last?.durationSeconds ?? 0) * 1000
      expect((first?.startedAt ?? 0) - end).toBeGreaterThan(4900)
      expect((first?.startedAt ?? 0) - end).toBeLessThan(5200)
      // The same settings: players keep their init section.
      expect(first?.map).toBe(last?.map)
    }
    const after = await live.media('video-t1.m3u8')
    expect(changeViolations(before, after)).toEqual([])
  })

  test('and comes back with other settings brings another init section', async () => {
    const { live, publisher } = await running()
    publisher.end('lost')
    await live.publish().send(SMALL)
    const { segments } = await live.media('video-t1.m3u8')
    const maps = [...new Set(segments.map((segment) => segment.map))]
    expect(maps).toHaveLength(2)
    for (const map of maps) expect((await live.get(`/live/main/${map}`)).status).toBe(200)
    expect((await live.get('/live/main/index.m3u8')).text).toContain('RESOLUTION=160x90')
  })

  test('and never comes back ends the playlists, and then is gone', async () => {
    const { live, publisher } = await running()
    publisher.end('ended')
    await live.clock.advance(29_000)
    expect((await live.media('video-t1.m3u8')).endList).toBe(false)
    await live.clock.advance(1001)
    expect((await live.media('video-t1.m3u8')).endList).toBe(true)
    expect(live.packager.describe()[0]?.state).toBe('ended')
    await live.clock.advance(120_000)
    expect((await live.get('/live/main/index.m3u8')).status).toBe(404)
    expect(live.packager.describe()).toEqual([])
  })

  test('and comes back after the end starts a new window', async () => {
    const { live, publisher } = await running()
    publisher.end('ended')
    await live.clock.advance(31_000)
    await live.publish().send(MEDIA, 0, 3000)
    const fresh = await live.media('video-t12.m3u8')
    expect(fresh).toMatchObject({ mediaSequence: 0, endList: false, discontinuitySequence: 0 })
  })
})

test('a second publisher takes over where the first was', async () => {
  const { live } = await running()
  await live.publish().send(SMALL, 0, 3000)
  const video = await live.media('video-t1.m3u8')
  expect(violationsOf(video)).toEqual([])
  expect(video.segments.filter((segment) => segment.discontinuity)).toHaveLength(1)
  expect(live.packager.describe()).toHaveLength(1)
})

test('an encoder that changes its settings while it sends is cut with a discontinuity', async () => {
  const { live, publisher } = await running()
  await publisher.send(
    changed(SMALL, (frame) => ({ ...frame, dts: frame.dts + 8500, pts: frame.pts + 8500 })),
  )
  const video = await live.media('video-t1.m3u8')
  const audio = await live.media('audio-t1.m3u8')
  expect(violationsOf(video)).toEqual([])
  expect(violationsOf(audio)).toEqual([])
  expect(new Set(video.segments.map((segment) => segment.map)).size).toBe(2)
  const starts = (playlist: typeof video) =>
    playlist.segments.filter((segment) => segment.discontinuity).map(({ sequence }) => sequence)
  expect(starts(video)).toHaveLength(1)
  expect(starts(audio)).toEqual(starts(video))
})

describe('timestamps', () => {
  test.each([
    ['jump an hour ahead', 3_600_000],
    ['jump ten seconds ahead', 10_000],
    ['go back six seconds', -6000],
  ])('that %s are cut with one discontinuity', async (_name, byMs) => {
    const live = await LiveFixture.open()
    await sendAll(live, live.publish(), jumping(MEDIA, 8000, byMs))
    for (const file of ['video-t12.m3u8', 'audio-t12.m3u8']) {
      const playlist = await live.media(file)
      expect(violationsOf(playlist)).toEqual([])
      expect(playlist.segments.filter((segment) => segment.discontinuity)).toHaveLength(1)
      const sum = playlist.segments.reduce((all, segment) => all + segment.durationSeconds, 0)
      expect(sum).toBeGreaterThan(18)
    }
  })

  test('that start anywhere, even past 32 bits, begin the same window', async () => {
    const live = await LiveFixture.open()
    await sendAll(live, live.publish(), jumping(MEDIA, -1, 2 ** 33))
    const video = await live.media('video-t12.m3u8')
    expect(violationsOf(video)).toEqual([])
    expect(video.segments.length).toBeGreaterThan(15)
  })

  test('that stand still or stumble are repaired without a discontinuity', async () => {
    const live = await LiveFixture.open()
    let i = 0
    const stumbling = changed(MEDIA, (frame) => {
      const off = [0, 3, -12, 0, -33, 8][i++ % 6] ?? 0
      return { ...frame, dts: frame.dts + off, pts: frame.pts + off }
    })
    await sendAll(live, live.publish(), stumbling)
    const video = await live.media('video-t12.m3u8')
    expect(video.segments.some((segment) => segment.discontinuity)).toBe(false)
    expect(violationsOf(video).filter((wrong) => !wrong.includes('too short'))).toEqual([])
  })

  test('of sound that belong to another time are brought to the picture', async () => {
    const live = await LiveFixture.open()
    const apart = changed(MEDIA, (frame) =>
      frame.trackId === 2
        ? { ...frame, dts: frame.dts + 500_000, pts: frame.pts + 500_000 }
        : frame,
    )
    await sendAll(live, live.publish(), apart)
    const audio = await live.media('audio-t12.m3u8')
    const heard = audio.segments.filter((segment) => !segment.gap)
    expect(heard.length).toBeGreaterThan(10)
  })
})

describe('a hole', () => {
  test('in the picture of a second is one long picture, without a discontinuity', async () => {
    const live = await LiveFixture.open()
    const holed = changed(MEDIA, (frame) =>
      frame.trackId === 1 && frame.dts > 5020 && frame.dts < 5980 ? undefined : frame,
    )
    await live.publish().send(holed)
    const video = await live.media('video-t12.m3u8')
    expect(video.segments.some((segment) => segment.discontinuity)).toBe(false)
    const long = violationsOf(video).filter((wrong) => wrong.includes('§4.4.4.9'))
    // The one part that holds it can't be as short as the rule wants: a picture can't be cut in two.
    expect(long.length).toBeLessThanOrEqual(2)
  })

  test('in the sound leaves segments of the same numbers, as gaps', async () => {
    const live = await LiveFixture.open()
    const silent = changed(MEDIA, (frame) =>
      frame.trackId === 2 && frame.dts > 5000 && frame.dts < 12_000 ? undefined : frame,
    )
    await live.publish().send(silent)
    const video = await live.media('video-t12.m3u8')
    const audio = await live.media('audio-t12.m3u8')
    expect(audio.segments.filter((segment) => segment.gap).length).toBeGreaterThanOrEqual(5)
    const late = audio.segments.filter((segment) => {
      const beside = video.segments.find(({ sequence }) => sequence === segment.sequence)
      return Math.abs((segment.startedAt ?? 0) - (beside?.startedAt ?? 0)) > 50
    })
    // Only the one in which the sound came back begins later than its picture.
    expect(late.length).toBeLessThanOrEqual(1)
    const gap = audio.segments.find((segment) => segment.gap)
    expect((await live.get(`/live/main/${gap?.uri}`)).status).toBe(404)
  })
})

describe('sound that is announced and does not come', () => {
  const pictures = changed(MEDIA, (frame) => (frame.trackId === 1 ? frame : undefined))

  test('is left out of what new viewers are told of', async () => {
    const live = await LiveFixture.open()
    await live.publish().send(pictures, 0, 5000)
    const { status, text } = await live.get('/live/main/index.m3u8')
    expect(status).toBe(200)
    expect(text).not.toContain('EXT-X-MEDIA:')
    expect(text).toContain('CODECS="avc1.64000d"')
  })

  test('holds nobody up who watches the pictures', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    const video = MEDIA.tracks.filter((track) => track.kind === 'video')
    await publisher.send({ ...pictures, tracks: video }, 0, 5000)
    await publisher.send(pictures, 5000, 5500)
    const answer = await answered(live.get('/live/main/video-t12.m3u8'))
    expect(answer?.status).toBe(200)
  })
})

describe('frames that wait are held to a bound', () => {
  const MIB = 1024 * 1024
  const windowBytes = (live: LiveFixture) => live.packager.describe()[0]?.windowBytes ?? 0
  const frame = (trackId: number, ms: number, size: number): Frame => {
    return { trackId, dts: ms, pts: ms, key: true, data: Buffer.alloc(size) }
  }

  test('when sound comes before any picture', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    publisher.stream.setTracks(MEDIA.tracks)
    for (let ms = 0; ms < 1260; ms += 21) publisher.write(frame(2, ms, MIB))
    for (let ms = 0; ms < 2000; ms += 33) publisher.write(frame(1, ms, 100))
    publisher.end()
    expect(windowBytes(live)).toBeGreaterThan(MIB)
    expect(windowBytes(live)).toBeLessThan(6 * MIB)
  })

  test('when the length of a part is not known yet', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    publisher.stream.setTracks(MEDIA.tracks)
    for (let ms = 0; ms < 12; ms++) publisher.write(frame(1, ms, 4 * MIB))
    expect(windowBytes(live)).toBeGreaterThan(0)
  })
})

test('a publisher of huge frames is held to the bound of the window', async () => {
  const live = await LiveFixture.open({ windowBytes: 20_000_000 })
  const data = Buffer.alloc(500_000)
  const fat = changed(MEDIA, (frame) => ({ ...frame, data }))
  await live.publish().send(fat, 0, 5000)
  // The open segments of both renditions may stand above it.
  expect(live.packager.describe()[0]?.windowBytes).toBeLessThan(20_000_000 + 2 * 40_000_000)
  expect((await live.media('video-t12.m3u8')).segments.length).toBeGreaterThan(0)
})

test('a publisher of huge sound beside small pictures is held to it too', async () => {
  const live = await LiveFixture.open({ windowBytes: 20_000_000 })
  const data = Buffer.alloc(250_000)
  const seldom = await makeLiveMedia({ seconds: 20, gop: 600 })
  const fat = changed(seldom, (frame) => (frame.trackId === 2 ? { ...frame, data } : frame))
  await live.publish().send(fat, 0, 10_000)
  expect(live.packager.describe()[0]?.windowBytes).toBeLessThan(85_000_000)
})

test('what the API shows is what is sent', async () => {
  const { live } = await running()
  const [stream] = live.packager.describe()
  expect(stream).toMatchObject({ name: 'main', state: 'live', targetDurationSeconds: 1 })
  expect(stream?.framesPerSecond).toBeCloseTo(30, 0)
  expect(stream?.keyFrameIntervalSeconds).toBeCloseTo(1, 2)
  expect(stream?.renditions.map(({ id, codec }) => `${id} ${codec.slice(0, 4)}`)).toEqual([
    'video avc1',
    'audio mp4a',
  ])
})
