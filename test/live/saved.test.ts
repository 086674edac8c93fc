import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Log } from '../../server/lib/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { changeViolations, violationsOf } from '../support/hls-conformance.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { LiveFixture, readMedia } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 20, gop: 30 })

async function newFolder(): Promise<string> {
  return join(await mkdtemp(join(tmpdir(), 'nearcast-')), 'live')
}

class Warnings implements Log {
  readonly lines: string[] = []
  debug(): void {}
  info(): void {}
  error(): void {}
  warn(message: string): void {
    this.lines.push(message)
  }
  with(): Log {
    return this
  }
}

describe('a restart', () => {
  test('goes on where the playlists were: numbers, dates, bytes, and no end', async () => {
    const stateDir = await newFolder()
    const clock = new FakeClock()
    const first = await LiveFixture.open({ stateDir }, clock)
    await first.publish().send(MEDIA, 0, 9500)
    await first.packager.save()
    const before = await first.media('video-t1.m3u8')
    const segment = before.segments.at(-1)
    const bytes = await first.get(`/live/main/${segment?.uri}`)
    first.packager.close()

    await clock.advance(2000)
    const second = await LiveFixture.open({ stateDir }, clock)
    const between = await second.media('video-t1.m3u8')
    expect(between.endList).toBe(false)
    expect(between.segments).toEqual(before.segments)
    expect((await second.get(`/live/main/${segment?.uri}`)).body.equals(bytes.body)).toBe(true)
    const held = second.get(`/live/main/video-t1.m3u8?_HLS_msn=${(segment?.sequence ?? 0) + 1}`)
    await second.publish().send(MEDIA, 0, 3000)
    expect(readMedia(await held).segments.at(-1)?.sequence).toBe((segment?.sequence ?? 0) + 1)
    const after = await second.media('video-t1.m3u8')
    expect(changeViolations(before, after)).toEqual([])
    expect(violationsOf(after)).toEqual([])
    expect(after.segments.filter((one) => one.discontinuity)).toHaveLength(1)
  })

  test('after which nobody publishes ends the playlists when the grace is over', async () => {
    const stateDir = await newFolder()
    const clock = new FakeClock()
    const first = await LiveFixture.open({ stateDir }, clock)
    await first.publish().send(MEDIA, 0, 5000)
    await first.packager.save()
    const second = await LiveFixture.open({ stateDir }, clock)
    await clock.advance(30_001)
    expect((await second.media('video-t1.m3u8')).endList).toBe(true)
  })

  test('much later, or without a save before it, begins anew', async () => {
    const stateDir = await newFolder()
    const clock = new FakeClock()
    const first = await LiveFixture.open({ stateDir }, clock)
    await first.publish().send(MEDIA, 0, 5000)
    await first.packager.save()
    await clock.advance(11 * 60_000)
    const second = await LiveFixture.open({ stateDir }, clock)
    expect((await second.get('/live/main/index.m3u8')).status).toBe(404)
    expect(await readdir(stateDir)).toEqual([])
  })

  test('with a file that is torn or of somebody else is a start with one warning for each', async () => {
    const stateDir = await newFolder()
    const clock = new FakeClock()
    const first = await LiveFixture.open({ stateDir }, clock)
    await first.publish().send(MEDIA, 0, 5000)
    await first.packager.save()
    const [file = ''] = await readdir(stateDir)
    const whole = await readFile(join(stateDir, file))
    await writeFile(join(stateDir, file), whole.subarray(0, whole.length - 20))
    await writeFile(join(stateDir, 'YWxpZW4.window'), 'something else')
    const log = new Warnings()
    const second = await LiveFixture.open({ stateDir, log }, clock)
    expect(log.lines).toHaveLength(2)
    expect((await second.get('/live/main/index.m3u8')).status).toBe(404)
  })
})
