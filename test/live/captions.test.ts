import { execFile } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { factsOf } from '../../server/live/lane-tracks.ts'
import type { RungSink } from '../../server/live/rung.ts'
import { ccData, pair, servicePacket, type Triplet, withSei } from '../support/captions.ts'
import { changeViolations } from '../support/hls-conformance.ts'
import { type LiveMedia, makeLiveMedia } from '../support/live-media.ts'
import { ask, LiveFixture } from './live-fixture.ts'

const run = promisify(execFile)
const MEDIA = await makeLiveMedia({ seconds: 10, gop: 30 })
const RESUME_CC1: Triplet = [0, ...pair(0x14, 0x20)]
const SERVICE_1 = servicePacket({ service: 1, bytes: [0x48] })

/** The same stream with these captions in its pictures from `fromMs` on. */
function captioned(fromMs: number, ...triplets: readonly Triplet[]): LiveMedia {
  const payload = ccData(...triplets)
  const frames = MEDIA.frames.map((frame) =>
    frame.trackId === 1 && frame.dts >= fromMs
      ? { ...frame, data: withSei('avc', frame.data, payload) }
      : frame,
  )
  return { ...MEDIA, frames }
}

async function masterOf(live: LiveFixture) {
  const master = readPlaylist((await live.get('/live/main/index.m3u8')).text)
  if (master.kind !== 'multivariant') throw new Error('not a master')
  const captions = master.media.filter((one) => one['TYPE'] === 'CLOSED-CAPTIONS')
  return { captions, groups: master.variants.map((one) => one.attributes['CLOSED-CAPTIONS']) }
}

describe('a stream with captions', () => {
  test('offers their channels in the master, and is decoded with them', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(captioned(0, RESUME_CC1, ...SERVICE_1), 0, 3000)
    expect(await masterOf(live)).toEqual({
      captions: [
        {
          TYPE: 'CLOSED-CAPTIONS',
          'GROUP-ID': 'captions',
          NAME: 'CC1',
          DEFAULT: 'NO',
          AUTOSELECT: 'YES',
          'INSTREAM-ID': 'CC1',
        },
        {
          TYPE: 'CLOSED-CAPTIONS',
          'GROUP-ID': 'captions',
          NAME: 'Service 1',
          DEFAULT: 'NO',
          AUTOSELECT: 'YES',
          'INSTREAM-ID': 'SERVICE1',
        },
      ],
      groups: ['captions'],
    })
    const { segments } = await live.media('video-t12.m3u8')
    const [segment] = segments.filter(({ gap, uri }) => !gap && uri !== undefined)
    const pieces = await Promise.all(
      [segment?.map, segment?.uri].map(async (uri) => (await live.get(`/live/main/${uri}`)).body),
    )
    const path = join(await mkdtemp(join(tmpdir(), 'nearcast-')), 'segment.mp4')
    await writeFile(path, Buffer.concat(pieces))
    const { stdout, stderr } = await run('ffprobe', [
      ...'-v warning -select_streams v -show_frames -show_entries frame=pts:side_data=side_data_type -of json'.split(
        ' ',
      ),
      path,
    ])
    expect(stderr).toBe('')
    expect(stdout).toContain('ATSC A53 Part 4 Closed Captions')
  })

  test('that begin later are offered from then on, with the same init section and without a break', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    const media = captioned(4000, RESUME_CC1)
    await publisher.send(media, 0, 3900)
    expect(await masterOf(live)).toEqual({ captions: [], groups: [undefined] })
    const before = await live.media('video-t1.m3u8')
    await publisher.send(media, 3900, 5000)
    expect((await masterOf(live)).groups).toEqual(['captions'])
    const after = await live.media('video-t1.m3u8')
    expect(changeViolations(before, after)).toEqual([])
    expect(new Set(after.segments.map(({ map }) => map)).size).toBe(1)
    expect(after.segments.some(({ discontinuity }) => discontinuity)).toBe(false)
  })

  test('has them in the master of a replica', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    const media = captioned(4000, RESUME_CC1)
    await publisher.send(media, 0, 3000)
    const replicas = live.replicas()
    const get = async () => (await ask(replicas.origin, '/live/main/index.m3u8')).text
    expect(await get()).not.toContain('CAPTIONS')
    await publisher.send(media, 3000, 5000)
    for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve))
    expect(await get()).toBe((await live.get('/live/main/index.m3u8')).text)
    expect(await get()).toContain('INSTREAM-ID="CC1"')
    replicas.close()
  })

  test('keeps them when its encoder changes its settings', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(captioned(0, RESUME_CC1), 0, 3000)
    const tracks = MEDIA.tracks.map((track) =>
      track.kind === 'video'
        ? { ...track, colour: { primaries: 1, transfer: 1, matrix: 1, fullRange: false } }
        : track,
    )
    await publisher.send({ ...MEDIA, tracks }, 3000, 5000)
    expect((await masterOf(live)).groups).toEqual(['captions'])
  })

  test('has groups of its own for a rung that carries other channels, and none for one that carries none', async () => {
    const sinks: RungSink[] = []
    const [track] = MEDIA.tracks
    if (track?.kind !== 'video') throw new Error('no picture')
    const rungs = ['v1', 'v2'].map((id) => ({ id, facts: factsOf(track), bitsPerSecond: 1000 }))
    const live = await LiveFixture.open({
      startLadder: (stream, sink) => {
        sinks.push(sink)
        return stream.addReader({
          onTracks: () => sink.announce(rungs),
          onFrame: () => {},
          onEnd: () => {},
        })
      },
    })
    const publisher = live.publish()
    await publisher.send(captioned(0, RESUME_CC1), 0, 3000)
    expect((await masterOf(live)).groups).toEqual(['captions', undefined, undefined])
    const [sink] = sinks
    const frame = captioned(0, ...SERVICE_1).frames.find(({ trackId }) => trackId === 1)
    if (!sink || !frame) throw new Error('no ladder')
    sink.onTrack('v1', track)
    sink.onFrame('v1', frame)
    const wanted = ['captions', 'captions2', undefined]
    expect((await masterOf(live)).groups).toEqual(wanted)
    sink.announce(rungs)
    expect((await masterOf(live)).groups).toEqual(wanted)
    expect((await masterOf(live)).captions.map((one) => one['GROUP-ID'])).toEqual([
      'captions',
      'captions2',
    ])
  })
})
