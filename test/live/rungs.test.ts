import { describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import type { VideoTrack } from '../../server/codecs/track.ts'
import { readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { factsOf } from '../../server/live/lane-tracks.ts'
import type { Rung, RungSink } from '../../server/live/rung.ts'
import { changeViolations, violationsOf } from '../support/hls-conformance.ts'
import { type LiveMedia, makeLiveMedia } from '../support/live-media.ts'
import { answered, LiveFixture, readMedia } from './live-fixture.ts'

const SOURCE = await makeLiveMedia({ seconds: 12, gop: 30 })
const SMALL = await makeLiveMedia({ seconds: 12, gop: 30, size: '160x90' })
const TRACK = videoOf(SMALL)
const RUNG: Rung = { id: 'v90', facts: factsOf(TRACK), bitsPerSecond: 300_000 }

const PQ = { primaries: 9, transfer: 16, matrix: 9, fullRange: false }

function videoOf(media: LiveMedia): VideoTrack {
  const track = media.tracks.find((one) => one.kind === 'video')
  if (track?.kind !== 'video') throw new Error('no picture')
  return track
}

function picturesOf(media: LiveMedia): readonly Frame[] {
  const { id } = videoOf(media)
  return media.frames.filter((frame) => frame.trackId === id)
}

/** A packager with a ladder of one rung, whose pictures a test brings. */
async function withLadder() {
  const sinks: RungSink[] = []
  const live = await LiveFixture.open({
    startLadder: (stream, sink) => {
      sinks.push(sink)
      return stream.addReader({
        onTracks: () => sink.announce([RUNG]),
        onFrame: () => {},
        onEnd: () => {},
      })
    },
  })
  const publisher = live.publish()
  const sink = () => {
    const [first] = sinks.slice(-1)
    if (!first) throw new Error('no ladder')
    return first
  }
  return { live, publisher, sink }
}

/** After each picture of the publisher the encoder's is `behind` pictures later. */
async function send(
  ladder: Awaited<ReturnType<typeof withLadder>>,
  options: { from?: number; to?: number; behind?: number; first?: number } = {},
): Promise<void> {
  const { from = 0, to = 12_000, behind = 1 } = options
  const { first = from } = options
  const pictures = picturesOf(SMALL)
  let next = pictures.findIndex(({ dts }) => dts >= first)
  let seen = pictures.findIndex(({ dts }) => dts >= from)
  let begun = false
  await ladder.publisher.send(SOURCE, from, to, async (frame) => {
    if (frame.trackId !== videoOf(SOURCE).id) return
    seen++
    // An encoder begins with the first picture that it is given.
    if (!begun) ladder.sink().onTrack('v90', TRACK)
    begun = true
    while (next <= seen - behind && pictures[next]) {
      const picture = pictures[next++]
      if (picture) ladder.sink().onFrame('v90', picture)
    }
  })
}

describe('a rung of a ladder', () => {
  test('is in the first master playlist before its first picture is encoded', async () => {
    const { live, publisher } = await withLadder()
    await publisher.send(SOURCE, 0, 2000)
    const master = readPlaylist((await live.get('/live/main/index.m3u8')).text)
    if (master.kind !== 'multivariant') throw new Error('not a master')
    expect(master.variants.map(({ uri }) => uri)).toEqual(['video-t12.m3u8', 'v90-t12.m3u8'])
  })

  test('has the colours of what it is made of, announced and made, where its encoder says none', async () => {
    const ladder = await withLadder()
    const source: LiveMedia = {
      ...SOURCE,
      tracks: SOURCE.tracks.map((track) =>
        track.kind === 'video' ? { ...track, colour: PQ } : track,
      ),
    }
    const ranges = async () => {
      const master = readPlaylist((await ladder.live.get('/live/main/index.m3u8')).text)
      if (master.kind !== 'multivariant') throw new Error('not a master')
      return master.variants.map(({ attributes }) => attributes['VIDEO-RANGE'])
    }
    await ladder.publisher.send(source, 0, 2000)
    expect(await ranges()).toEqual(['PQ', 'PQ'])
    ladder.sink().onTrack('v90', { ...TRACK, colour: undefined })
    expect(await ranges()).toEqual(['PQ', 'PQ'])
    ladder.sink().onTrack('v90', { ...TRACK, colour: { ...PQ, transfer: 1 } })
    expect(await ranges()).toEqual(['PQ', 'SDR'])
  })

  test('that has not begun sends players to another after a second, and the source waits for nothing', async () => {
    const { live, publisher } = await withLadder()
    await publisher.send(SOURCE, 0, 2000)
    const waiting = live.get('/live/main/v90-t12.m3u8')
    expect(await answered(waiting)).toBeUndefined()
    expect((await live.media('video-t12.m3u8')).segments.length).toBeGreaterThan(1)
    await live.clock.advance(1100)
    const answer = await waiting
    expect(answer.status).toBe(404)
    expect(answer.headers['cache-control']).toBe('no-store')
  })

  test('that begins has its first playlist when there is enough of it to begin with', async () => {
    const ladder = await withLadder()
    await ladder.publisher.send(SOURCE, 0, 1900)
    const waiting = ladder.live.get('/live/main/v90-t12.m3u8')
    const pictures = picturesOf(SMALL)
    const early: boolean[] = []
    ladder.sink().onTrack('v90', TRACK)
    await ladder.publisher.send(SOURCE, 1900, 2850, async ({ trackId, dts }) => {
      const picture = pictures.find((one) => one.dts === dts)
      if (trackId !== videoOf(SOURCE).id || !picture) return
      ladder.sink().onFrame('v90', picture)
      if (dts < 2500) early.push((await answered(waiting)) !== undefined)
    })
    expect(early.length).toBeGreaterThan(10)
    expect(early).not.toContain(true)
    const parts = readMedia(await waiting).segments.flatMap((segment) => segment.parts)
    expect(parts.filter((part) => !part.gap).length).toBeGreaterThan(3)
  })

  test('that begins behind the source is not waited for until it has caught up', async () => {
    const ladder = await withLadder()
    await ladder.publisher.send(SOURCE, 0, 3500)
    ladder.sink().onTrack('v90', TRACK)
    for (const picture of picturesOf(SMALL).filter(({ dts }) => dts >= 3000 && dts < 3100))
      ladder.sink().onFrame('v90', picture)
    await ladder.publisher.send(SOURCE, 3500, 3700)
    const parts = (await ladder.live.media('video-t1.m3u8')).segments.at(-1)?.parts
    expect(parts?.length).toBe(3)
  })

  test('begins and ends its segments where the source does, under the same numbers', async () => {
    const ladder = await withLadder()
    await send(ladder, { behind: 2 })
    const source = await ladder.live.media('video-t1.m3u8')
    const rung = await ladder.live.media('v90-t1.m3u8')
    expect(violationsOf(rung)).toEqual([])
    expect(rung.segments.length).toBeGreaterThan(10)
    for (const [i, segment] of rung.segments.entries()) {
      const same = source.segments[i]
      expect(segment.sequence).toBe(same?.sequence)
      expect(segment.startedAt).toBe(same?.startedAt)
      if (i < rung.segments.length - 1)
        expect(segment.durationSeconds).toBeCloseTo(same?.durationSeconds ?? 0, 2)
      const [first] = segment.parts
      if (first && !segment.gap) expect(first.independent).toBe(true)
    }
  })

  test('is never more than a part behind what is said of the source', async () => {
    const ladder = await withLadder()
    const pictures = picturesOf(SMALL)
    let next = 0
    const worst: number[] = []
    await ladder.publisher.send(SOURCE, 0, 6000, async (frame) => {
      if (frame.trackId !== videoOf(SOURCE).id) return
      if (next === 0) ladder.sink().onTrack('v90', TRACK)
      // Eight pictures behind: more than a part of six.
      const due = picturesOf(SOURCE).indexOf(frame) - 8
      for (; next <= due; next++) {
        const picture = pictures[next]
        if (picture) ladder.sink().onFrame('v90', picture)
      }
      const { window } = endsOf(ladder)
      if (window) worst.push(window)
    })
    expect(worst.length).toBeGreaterThan(50)
    expect(Math.max(...worst)).toBeLessThanOrEqual(0.21)
  })

  test('that stops holds nobody: its segments are gaps, and the source goes on', async () => {
    const ladder = await withLadder()
    await send(ladder, { to: 4000 })
    ladder.sink().onLost('v90')
    await ladder.publisher.send(SOURCE, 4000, 8000)
    const source = await ladder.live.media('video-t1.m3u8')
    expect(source.segments.at(-1)?.sequence).toBe(8)
    const rung = await ladder.live.media('v90-t1.m3u8')
    expect(violationsOf(rung)).toEqual([])
    expect(rung.segments.filter(({ gap }) => gap).map(({ sequence }) => sequence)).toContain(6)
    await send(ladder, { from: 8000 })
    const after = await ladder.live.media('v90-t1.m3u8')
    expect(violationsOf(after)).toEqual([])
    expect(after.segments.at(-1)).toMatchObject({ gap: false, sequence: 12 })
    expect(changeViolations(rung, after)).toEqual([])
  })

  test('that is late without saying so is waited for once, for one part', async () => {
    const ladder = await withLadder()
    await send(ladder, { to: 4000 })
    await ladder.publisher.send(SOURCE, 4000, 8000)
    const source = await ladder.live.media('video-t1.m3u8')
    expect(source.segments.at(-1)?.parts.length).toBeGreaterThan(2)
    expect(source.segments.at(-1)?.sequence).toBe(8)
  })

  test('that a ladder gives up is in no master, and its playlist sends players away', async () => {
    const ladder = await withLadder()
    await send(ladder, { to: 4000 })
    ladder.sink().announce([])
    expect((await ladder.live.get('/live/main/index.m3u8')).text).not.toContain('v90')
    expect((await ladder.live.get('/live/main/v90-t1.m3u8')).status).toBe(404)
  })

  test('whose encoder is slow to begin starts with the segment that is open, not with what was before', async () => {
    const ladder = await withLadder()
    await ladder.publisher.send(SOURCE, 0, 3500)
    // It was fed from the key frame before the last one.
    await send(ladder, { from: 3500, first: 2000 })
    const source = await ladder.live.media('video-t1.m3u8')
    const rung = await ladder.live.media('v90-t1.m3u8')
    expect(violationsOf(rung)).toEqual([])
    const media = rung.segments.filter(({ gap }) => !gap)
    expect(media.length).toBeGreaterThan(6)
    for (const { sequence, startedAt } of media)
      expect(startedAt).toBe(source.segments.find((one) => one.sequence === sequence)?.startedAt)
  })

  test('that is given up and made again within a segment begins with the next one', async () => {
    const ladder = await withLadder()
    await send(ladder, { to: 4400 })
    ladder.sink().announce([])
    ladder.sink().announce([RUNG])
    await send(ladder, { from: 4400, first: 4000 })
    const rung = await ladder.live.media('v90-t1.m3u8')
    expect(violationsOf(rung)).toEqual([])
    expect(rung.segments.at(-1)).toMatchObject({ sequence: 12, gap: false })
  })

  test('that was given up in the segment that was open begins again in the next publish', async () => {
    const ladder = await withLadder()
    await send(ladder, { to: 4500 })
    ladder.sink().announce([])
    ladder.publisher.end('lost')
    await ladder.live.clock.advance(1000)
    await send({ ...ladder, publisher: ladder.live.publish() }, { to: 4000 })
    const playlist = await ladder.live.media('v90-t1.m3u8')
    expect(violationsOf(playlist)).toEqual([])
    const source = await ladder.live.media('video-t1.m3u8')
    expect(playlist.segments.at(-1)?.sequence).toBe(source.segments.at(-1)?.sequence)
  })

  test('follows the source where that clock stood still', async () => {
    const ladder = await withLadder()
    await send(ladder, { to: 4000 })
    const still = (frame: Frame) => ({ ...frame, dts: 4000, pts: 4000 })
    const late = (frame: Frame) => ({ ...frame, dts: frame.dts - 2000, pts: frame.pts - 2000 })
    const seen = picturesOf(SOURCE).filter(({ dts }) => dts >= 4000 && dts < 10_000)
    const small = picturesOf(SMALL).filter(({ dts }) => dts >= 4000 && dts < 10_000)
    for (const [i, frame] of seen.entries()) {
      const change = frame.dts < 6000 ? still : late
      await ladder.live.clock.advance(33)
      ladder.publisher.write(change(frame))
      const picture = small[i]
      if (picture) ladder.sink().onFrame('v90', change(picture))
    }
    expect(Math.abs(endsOf(ladder).window ?? Number.NaN)).toBeLessThan(0.5)
  })

  test('goes on in the next publish, behind a discontinuity as the source', async () => {
    const ladder = await withLadder()
    await send(ladder, { to: 4000 })
    ladder.publisher.end('lost')
    await ladder.live.clock.advance(1000)
    await send({ ...ladder, publisher: ladder.live.publish() }, { to: 4000 })
    for (const file of ['video-t1.m3u8', 'v90-t1.m3u8']) {
      const playlist = await ladder.live.media(file)
      expect(violationsOf(playlist)).toEqual([])
      expect(playlist.segments.filter((segment) => segment.discontinuity)).toHaveLength(1)
    }
  })
})

/** How far the rung's end is behind the source's, in seconds. */
function endsOf({ live }: Awaited<ReturnType<typeof withLadder>>): { window: number | undefined } {
  const [stream] = live.packager.describe()
  const ends = stream?.renditions.filter(({ kind }) => kind === 'video').map(({ ends: at }) => at)
  const [source, rung] = ends ?? []
  return { window: source && rung ? (source - rung) / 1000 : undefined }
}

describe('a publisher of several tracks', () => {
  test('has a rendition for each, cut at the same moments', async () => {
    const live = await LiveFixture.open()
    const second = { ...TRACK, id: 3 }
    const sound = SOURCE.tracks.find(({ kind }) => kind === 'audio')
    if (!sound) throw new Error('no sound')
    const german = { ...sound, id: 4, language: 'de' }
    const frames = [
      ...SOURCE.frames,
      ...picturesOf(SMALL).map((frame) => ({ ...frame, trackId: 3 })),
      ...SOURCE.frames
        .filter(({ trackId }) => trackId === sound.id)
        .map((frame) => ({ ...frame, trackId: 4 })),
    ].sort((a, b) => a.dts - b.dts)
    const media = { tracks: [...SOURCE.tracks, second, german], frames }
    await live.publish().send(media, 0, 6000)
    const master = readPlaylist((await live.get('/live/main/index.m3u8')).text)
    if (master.kind !== 'multivariant') throw new Error('not a master')
    expect(master.variants.map(({ uri }) => uri)).toEqual(['video-t1.m3u8', 'video2-t1.m3u8'])
    for (const file of ['video2-t1.m3u8', 'audio-t1.m3u8', 'audio2-t1.m3u8']) {
      const playlist = await live.media(file)
      expect(violationsOf(playlist)).toEqual([])
      expect(playlist.segments.at(-1)?.sequence).toBe(6)
    }
  })
})
