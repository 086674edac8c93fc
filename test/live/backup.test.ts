import { expect, test } from 'vitest'
import type { ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import { changeViolations, violationsOf } from '../support/hls-conformance.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { LiveFixture, Publisher } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 20, gop: 30 })
const OTHER = await makeLiveMedia({ seconds: 20, gop: 60, size: '160x90' })

function publishBackup(live: LiveFixture): Publisher {
  const stream = live.registry.publish('main', {
    description: 'backup',
    backup: true,
    cut: () => {},
    mayPublish: () => true,
  })
  stream.setTracks(OTHER.tracks)
  return new Publisher(stream, live.clock)
}

/** Milliseconds between the end of each segment and the date of the next. */
function holesIn({ segments }: ReadMedia): readonly number[] {
  return segments.slice(1).map(({ startedAt = 0 }, at) => {
    const { startedAt: before = 0, durationSeconds = 0 } = segments[at] ?? {}
    return Math.abs(startedAt - before - durationSeconds * 1000)
  })
}

test.each([
  ['lost', true],
  ['silent', false],
])(
  'a publisher that is %s is relieved by the backup, and is back with its first picture',
  async (_, lost) => {
    const live = await LiveFixture.open({ slateSeconds: 3 })
    const main = live.publish()
    const backup = publishBackup(live)
    const began = live.clock.now()
    let sent = 0
    const sendBackup = () => {
      const now = live.clock.now() - began
      for (; (OTHER.frames[sent]?.dts ?? Number.POSITIVE_INFINITY) <= now; sent++) {
        const frame = OTHER.frames[sent]
        if (frame) backup.write(frame)
      }
      return undefined
    }
    await main.send(MEDIA, 0, 6500, sendBackup)
    const before = await live.media('video-t12.m3u8')
    if (lost) main.end('lost')
    for (let i = 0; i < 100; i++) {
      await live.clock.advance(40)
      sendBackup()
    }
    const between = await live.media('video-t12.m3u8')
    expect((await live.get('/live/main/index.m3u8')).text).toContain('RESOLUTION=160x90')
    expect(live.packager.describe()[0]?.state).toBe('live')
    const back = lost ? live.publish() : main
    await back.send(MEDIA, 11_000, 15_000, sendBackup)
    for (const file of ['video-t12.m3u8', 'audio-t12.m3u8']) {
      const after = await live.media(file)
      expect(violationsOf(after)).toEqual([])
      expect(after.segments.filter((segment) => segment.discontinuity)).toHaveLength(2)
      expect(Math.max(...holesIn(after).slice(1))).toBeLessThan(100)
    }
    const after = await live.media('video-t12.m3u8')
    expect(changeViolations(between, after)).toEqual([])
    expect(after.mediaSequence).toBe(before.mediaSequence)
    const maps = new Map(after.segments.map(({ map, uri }) => [map, uri]))
    expect(maps.size).toBe(3)
    for (const map of maps.keys()) expect((await live.get(`/live/main/${map}`)).status).toBe(200)
  },
)
