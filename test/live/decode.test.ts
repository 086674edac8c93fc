import { execFile } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import { type LiveMediaOptions, makeLiveMedia } from '../support/live-media.ts'
import { LiveFixture } from './live-fixture.ts'

const run = promisify(execFile)

/** Init section and all segments of a playlist, as one file. */
async function download(live: LiveFixture, playlist: ReadMedia): Promise<string> {
  const pieces: Buffer[] = []
  const there = playlist.segments.filter((segment) => !segment.gap)
  const uris = [there[0]?.map, ...there.flatMap(({ uri }) => uri ?? [])]
  for (const uri of uris) {
    const answer = await live.get(`/live/main/${uri}`)
    expect(answer.status, uri).toBe(200)
    pieces.push(answer.body)
  }
  const path = join(await mkdtemp(join(tmpdir(), 'nearcast-')), 'live.mp4')
  await writeFile(path, Buffer.concat(pieces))
  return path
}

interface Packet {
  readonly pts: number
  readonly dts: number
}

async function packetsOf(path: string): Promise<readonly Packet[]> {
  const options = ['-v', 'error', '-show_entries', 'packet=pts,dts', '-of', 'json']
  const { stdout } = await run('ffprobe', [...options, path])
  return (JSON.parse(stdout) as { packets: readonly Packet[] }).packets
}

const STREAMS: readonly (readonly [string, LiveMediaOptions])[] = [
  ['a key frame a second', { seconds: 20, gop: 30 }],
  ['an untouched OBS', { seconds: 36, gop: 250, bframes: 2, sampleRate: 44_100 }],
]

describe.each(STREAMS)('what is packaged of %s', (_name, options) => {
  test('decodes without a complaint, every picture and sound in its time', async () => {
    const media = await makeLiveMedia(options)
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(media)
    publisher.end()
    live.packager.end('main')
    for (const [file, id] of [
      ['video-t12.m3u8', 1],
      ['audio-t12.m3u8', 2],
    ] as const) {
      const playlist = await live.media(file)
      const path = await download(live, playlist)
      const decoded = await run('ffmpeg', [
        '-v',
        'warning',
        '-xerror',
        '-i',
        path,
        '-f',
        'null',
        '-',
      ])
      expect(decoded.stderr).toBe('')
      const sent = media.frames.filter((frame) => frame.trackId === id)
      const packets = await packetsOf(path)
      // The first key frame decides where sound begins: what was before it has no picture.
      expect(packets.length).toBeGreaterThanOrEqual(sent.length - (id === 1 ? 0 : 4))
      const dts = packets.map((packet) => packet.dts)
      expect(dts.every((value, i) => i === 0 || value > (dts[i - 1] ?? 0))).toBe(true)
      // What the playlist says of time is what the media holds, to a frame.
      const there = playlist.segments.filter((segment) => !segment.gap)
      const listed = there.reduce((sum, { durationSeconds }) => sum + durationSeconds, 0)
      const timescale = id === 1 ? 90_000 : (options.sampleRate ?? 48_000)
      const held = ((dts.at(-1) ?? 0) - (dts[0] ?? 0)) / timescale
      expect(listed - held).toBeGreaterThan(0.015)
      expect(listed - held).toBeLessThan(0.04)
    }
  })
})

test('sound and picture stay together as they were sent', async () => {
  const media = await makeLiveMedia({ seconds: 20, gop: 30 })
  const live = await LiveFixture.open()
  await live.publish().send(media, 0, 10_000)
  const starts = await Promise.all(
    ['video-t12.m3u8', 'audio-t12.m3u8'].map(async (file) => {
      const [first] = await packetsOf(await download(live, await live.media(file)))
      return (first?.pts ?? 0) / (file.startsWith('video') ? 90_000 : 48_000)
    }),
  )
  const sent = [1, 2].map((id) => media.frames.find((frame) => frame.trackId === id)?.pts ?? 0)
  const apart = (starts[1] ?? 0) - (starts[0] ?? 0)
  // Up to one frame of sound lies before the first picture and is left out.
  expect(Math.abs(apart - ((sent[1] ?? 0) - (sent[0] ?? 0)) / 1000)).toBeLessThan(0.03)
})
