import { execFile } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import type { StartLadder } from '../../server/live/rung.ts'
import type { MakeSlate, SlateWish } from '../../server/live/slate.ts'
import { changeViolations, violationsOf } from '../support/hls-conformance.ts'
import { type LiveMedia, makeLiveMedia } from '../support/live-media.ts'
import { LiveFixture, type Publisher } from './live-fixture.ts'

const run = promisify(execFile)

const MEDIA = await makeLiveMedia({ seconds: 20, gop: 30 })
const SLATE = await makeLiveMedia({ seconds: 1, gop: 30, size: '318x180', audio: false })
const SMALL = await makeLiveMedia({ seconds: 20, gop: 30, size: '160x90' })
const SECONDS = 3

const wishes: SlateWish[] = []

const makeSlate: MakeSlate = async (wish) => {
  wishes.push(wish)
  const [track] = SLATE.tracks
  return track?.kind === 'video' ? { track, frames: SLATE.frames } : undefined
}

async function running(
  more: Parameters<typeof LiveFixture.open>[0] = {},
  media: LiveMedia = MEDIA,
): Promise<{ live: LiveFixture; publisher: Publisher }> {
  const live = await LiveFixture.open({ slateSeconds: SECONDS, makeSlate, ...more })
  const publisher = live.publish()
  await publisher.send(media, 0, 8500)
  return { live, publisher }
}

function stateOf(live: LiveFixture): string | undefined {
  return live.packager.describe()[0]?.state
}

/** Milliseconds between the end of each segment and the date of the next. */
function holesIn({ segments }: ReadMedia): readonly number[] {
  return segments.slice(1).map(({ startedAt = 0 }, at) => {
    const { startedAt: before = 0, durationSeconds = 0 } = segments[at] ?? {}
    return Math.abs(startedAt - before - durationSeconds * 1000)
  })
}

function mapsOf({ segments }: ReadMedia): readonly (string | undefined)[] {
  return segments.map(({ map }) => map).filter((map, at, all) => map !== all[at - 1])
}

/** What a decoder complains about in the segments that need one init section. */
async function complaintsAbout(
  live: LiveFixture,
  { segments }: ReadMedia,
  map: string | undefined,
): Promise<string> {
  const own = segments.filter((segment) => segment.map === map && !segment.gap && segment.uri)
  const pieces: Buffer[] = []
  for (const uri of [map, ...own.map((segment) => segment.uri)])
    pieces.push((await live.get(`/live/main/${uri}`)).body)
  const path = join(await mkdtemp(join(tmpdir(), 'nearcast-')), 'slate.mp4')
  await writeFile(path, Buffer.concat(pieces))
  const { stderr } = await run('ffmpeg', ['-v', 'warning', '-i', path, '-f', 'null', '-'])
  return stderr
}

describe('a slate', () => {
  test('fills the gap three seconds after the last frame, and ends with the first picture', async () => {
    const { live, publisher } = await running()
    publisher.end('lost')
    await live.clock.advance(2900)
    expect(stateOf(live)).toBe('waiting')
    const before = await live.media('video-t1.m3u8')
    await live.clock.advance(200)
    expect(stateOf(live)).toBe('slate')
    await live.clock.advance(5000)
    const between = await live.media('video-t1.m3u8')
    expect(changeViolations(before, between)).toEqual([])
    const back = live.publish()
    expect(stateOf(live)).toBe('slate')
    await back.send(MEDIA, 0, 100)
    expect(stateOf(live)).toBe('live')
    await back.send(MEDIA, 100, 3500)
    for (const file of ['video-t1.m3u8', 'audio-t1.m3u8']) {
      const after = await live.media(file)
      expect(violationsOf(after)).toEqual([])
      const cuts = after.segments.filter((segment) => segment.discontinuity)
      expect(cuts).toHaveLength(2)
      // It begins a second in the past, for players that ran dry; then media follows on media, to a frame or two.
      const [before = 0, ...others] = holesIn(after)
        .slice(1)
        .toSorted((a, b) => b - a)
      expect(before).toBeGreaterThan(1800)
      expect(before).toBeLessThan(2200)
      expect(Math.max(...others)).toBeLessThan(80)
    }
    const after = await live.media('video-t1.m3u8')
    expect(changeViolations(between, after)).toEqual([])
    const maps = mapsOf(after)
    expect(maps).toHaveLength(3)
    for (const map of maps) expect(await complaintsAbout(live, after, map)).toBe('')
  })

  test('is there within three seconds when its publisher is connected and sends nothing', async () => {
    const { live, publisher } = await running()
    await live.clock.advance(3100)
    expect(stateOf(live)).toBe('slate')
    const delta = MEDIA.frames.find((frame) => !frame.key)
    if (delta) publisher.write({ ...delta, dts: 11_700, pts: 11_700 })
    expect(stateOf(live)).toBe('slate')
    await publisher.send(MEDIA, 12_000, 15_000)
    expect(stateOf(live)).toBe('live')
    const after = await live.media('video-t1.m3u8')
    // The same stream twice, and no URL of it names two things.
    expect(new Set(mapsOf(after)).size).toBe(3)
    expect(violationsOf(after)).toEqual([])
    expect(
      holesIn(after)
        .slice(1)
        .toSorted((a, b) => b - a)[1],
    ).toBeLessThan(80)
  })

  test('is made in the background, as large and as quick as the picture', async () => {
    wishes.length = 0
    const live = await LiveFixture.open({ slateSeconds: SECONDS, makeSlate })
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 4900)
    expect(wishes).toEqual([])
    await publisher.send(MEDIA, 4900, 5200)
    expect(wishes).toMatchObject([
      { codec: 'avc', codecString: 'avc1.64000d', width: 320, height: 180, framesPerSecond: 30 },
    ])
  })

  test('that nobody can make is the last key frame, with silence', async () => {
    const { live, publisher } = await running({ makeSlate: undefined })
    publisher.end('lost')
    await live.clock.advance(8000)
    expect(stateOf(live)).toBe('slate')
    await live.publish().send(MEDIA, 0, 2500)
    for (const file of ['video-t1.m3u8', 'audio-t1.m3u8']) {
      const after = await live.media(file)
      expect(violationsOf(after)).toEqual([])
      expect(
        holesIn(after)
          .slice(1)
          .toSorted((a, b) => b - a)[1],
      ).toBeLessThan(250)
      expect(mapsOf(after)).toHaveLength(1)
      expect(await complaintsAbout(live, after, mapsOf(after)[0])).toBe('')
    }
  })

  test('of sound alone is silence', async () => {
    const sound = {
      tracks: MEDIA.tracks.filter((track) => track.kind === 'audio'),
      frames: MEDIA.frames.filter((frame) => frame.trackId === 2),
    }
    const { live, publisher } = await running({}, sound)
    publisher.end('lost')
    await live.clock.advance(8000)
    expect(stateOf(live)).toBe('slate')
    const audio = await live.media('audio-t1.m3u8')
    expect(violationsOf(audio)).toEqual([])
    expect(
      holesIn(audio)
        .slice(1)
        .toSorted((a, b) => b - a)[1],
    ).toBeLessThan(80)
  })

  test('ends with the grace when nobody comes back', async () => {
    const { live, publisher } = await running()
    publisher.end('lost')
    await live.clock.advance(29_000)
    expect(stateOf(live)).toBe('slate')
    await live.clock.advance(1100)
    expect(stateOf(live)).toBe('ended')
    const last = await live.media('video-t1.m3u8')
    expect(last.endList).toBe(true)
    expect(violationsOf(last)).toEqual([])
  })

  test('is not shown when it is off, nor before anything was', async () => {
    const { live, publisher } = await running({ slateSeconds: 0 })
    publisher.end('lost')
    await live.clock.advance(10_000)
    expect(stateOf(live)).toBe('waiting')
    const empty = await LiveFixture.open({ slateSeconds: SECONDS, makeSlate })
    empty.publish()
    await empty.clock.advance(10_000)
    expect(stateOf(empty)).toBe('live')
  })

  test('does not come when it was the process that stood still', async () => {
    const { live, publisher } = await running()
    await live.clock.standStill(20_000)
    expect(stateOf(live)).toBe('live')
    await publisher.send(MEDIA, 8500, 8600)
    await live.clock.advance(600)
    expect(stateOf(live)).toBe('live')
  })

  test('goes on where it should be after the process stood still', async () => {
    const { live, publisher } = await running()
    publisher.end('lost')
    await live.clock.advance(5000)
    await live.clock.standStill(15_000)
    await live.clock.advance(3000)
    const video = await live.media('video-t1.m3u8')
    const last = video.segments.at(-1)
    const end = (last?.startedAt ?? 0) + (last?.durationSeconds ?? 0) * 1000
    expect(live.clock.now() - end).toBeLessThan(1500)
    expect(video.segments.length).toBeLessThan(30)
  })

  test('goes on in every rung of a ladder', async () => {
    const track = SMALL.tracks.find((one) => one.kind === 'video')
    const startLadder: StartLadder = (stream, sink) => {
      const { codecString = '' } = track ?? {}
      const facts = { kind: 'video', codecString, width: 160, height: 90 } as const
      const more = { channels: 0, language: 'und' }
      sink.announce([{ id: 'p90', facts: { ...facts, ...more }, bitsPerSecond: 200_000 }])
      if (track?.kind === 'video') sink.onTrack('p90', track)
      const small = new Map(
        SMALL.frames.flatMap((frame) => (frame.trackId === 1 ? [[frame.dts, frame]] : [])),
      )
      return stream.addReader({
        onTracks: () => {},
        onFrame: ({ trackId, dts }) => {
          const frame = trackId === 1 ? small.get(dts) : undefined
          if (frame) sink.onFrame('p90', frame)
        },
        onEnd: () => {},
      })
    }
    const { live, publisher } = await running({ startLadder })
    publisher.end('lost')
    await live.clock.advance(8000)
    const [rung, video] = [await live.media('p90-t1.m3u8'), await live.media('video-t1.m3u8')]
    expect(violationsOf(rung)).toEqual([])
    expect(rung.endList).toBe(false)
    expect(rung.segments.at(-1)?.sequence).toBe(video.segments.at(-1)?.sequence)
    expect(rung.segments.filter((segment) => segment.gap)).toHaveLength(1)
    await live.publish().send(MEDIA, 0, 3000)
    const after = await live.media('p90-t1.m3u8')
    expect(violationsOf(after)).toEqual([])
    expect(after.segments.filter((segment) => segment.discontinuity)).toHaveLength(2)
  })
})
