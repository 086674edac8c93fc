import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import type { ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import { changeViolations, violationsOf } from '../support/hls-conformance.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { answered, LiveFixture, readMedia } from './live-fixture.ts'

const END = Number.POSITIVE_INFINITY

/** Reads both renditions after each picture that is sent, and checks each read and each change. */
class Follower {
  readonly #live: LiveFixture
  readonly #wrong = new Set<string>()
  readonly #before = new Map<string, ReadMedia>()
  reads = 0

  constructor(live: LiveFixture) {
    this.#live = live
  }

  get wrong(): readonly string[] {
    return [...this.#wrong]
  }

  readonly look = async (frame: Frame): Promise<void> => {
    if (frame.trackId !== 1) return
    for (const file of ['video-t12.m3u8', 'audio-t12.m3u8', 'video-t1.m3u8']) {
      const answer = await answered(this.#live.get(`/live/main/${file}`))
      if (answer?.status !== 200) continue
      const now = readMedia(answer)
      const before = this.#before.get(file)
      const changes = before ? changeViolations(before, now) : []
      for (const wrong of [...violationsOf(now), ...changes]) this.#wrong.add(`${file} ${wrong}`)
      this.#before.set(file, now)
      this.reads++
    }
  }
}

describe('the playlists of a running stream', () => {
  test('keep every rule at each moment, with a key frame a second', async () => {
    const media = await makeLiveMedia({ seconds: 20, gop: 30 })
    const live = await LiveFixture.open({ windowSeconds: 10 })
    const follower = new Follower(live)
    await live.publish().send(media, 0, END, follower.look)
    expect(follower.wrong).toEqual([])
    expect(follower.reads).toBeGreaterThan(900)
    const video = await live.media('video-t1.m3u8')
    const audio = await live.media('audio-t1.m3u8')
    expect(violationsOf(video)).toEqual([])
    expect(violationsOf(audio)).toEqual([])
    // §6.2.4: segments of one number begin at the same time in all renditions, to a frame of sound.
    for (const segment of video.segments) {
      const beside = audio.segments.find((other) => other.sequence === segment.sequence)
      expect(Math.abs((beside?.startedAt ?? 0) - (segment.startedAt ?? 0))).toBeLessThan(25)
    }
    expect(video.mediaSequence).toBe(audio.mediaSequence)
    const listed = video.segments.reduce((sum, segment) => sum + segment.durationSeconds, 0)
    expect(listed).toBeGreaterThanOrEqual(10)
    expect(listed).toBeLessThan(12)
  })

  test('keep every rule for an untouched OBS: key frames 8.33 s apart, B-frames, 44.1 kHz', async () => {
    const media = await makeLiveMedia({ seconds: 36, gop: 250, bframes: 2, sampleRate: 44_100 })
    const live = await LiveFixture.open()
    const follower = new Follower(live)
    await live.publish().send(media, 0, END, follower.look)
    expect(follower.wrong).toEqual([])
    expect(follower.reads).toBeGreaterThan(900)
    const { text } = await live.get('/live/main/index.m3u8')
    expect(text).toContain('video-t8.m3u8')
    const video = await live.media('video-t8.m3u8')
    expect(violationsOf(video)).toEqual([])
    const natural = video.segments.filter((segment) => !segment.gap && segment.uri)
    expect(natural.length).toBeGreaterThanOrEqual(3)
    for (const segment of natural) expect(segment.durationSeconds).toBeCloseTo(8.333, 1)
    // A player finds a part to join on, however long ago the last key frame was.
    expect(video.segments.some((s) => s.parts.some((part) => part.independent))).toBe(true)
  })

  test('are there as soon as a player can begin: a hold-back behind the end, behind a gap', async () => {
    const media = await makeLiveMedia({ seconds: 36, gop: 250, bframes: 2, sampleRate: 44_100 })
    const live = await LiveFixture.open()
    const publisher = live.publish()
    const waiting = live.get('/live/main/index.m3u8')
    await publisher.send(media, 0, 700)
    expect(await answered(waiting)).toBeUndefined()
    await publisher.send(media, 700, 950)
    expect((await waiting).text).toContain('video-t12.m3u8')
    const { segments } = await live.media('video-t12.m3u8')
    // §4.4.4.7, §4.4.4.9
    expect(segments[0]).toMatchObject({ gap: true, durationSeconds: 0.2, sequence: 0 })
    expect(segments[0]?.parts).toMatchObject([{ gap: true, durationSeconds: 0.2 }])
    expect(segments[1]?.parts[0]).toMatchObject({ independent: true })
    expect(segments[1]?.parts.length).toBeGreaterThanOrEqual(3)
  })

  test('never exceed a target duration that was promised, when key frames move apart later', async () => {
    const often = await makeLiveMedia({ seconds: 20, gop: 30 })
    const seldom = await makeLiveMedia({ seconds: 20, gop: 600 })
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(often, 0, 8000)
    expect((await live.get('/live/main/index.m3u8')).text).toContain('video-t1.m3u8')
    const follower = new Follower(live)
    const { frames } = seldom
    const later = frames.map((frame) => ({ ...frame, dts: frame.dts + 8e3, pts: frame.pts + 8e3 }))
    await publisher.send({ tracks: often.tracks, frames: later }, 0, 18_000, follower.look)
    expect(follower.wrong).toEqual([])
    const video = await live.media('video-t1.m3u8')
    expect(video.targetDurationSeconds).toBe(1)
    const cut = video.segments.filter((s) => s.parts.length > 0 && !s.parts[0]?.independent)
    expect(cut.length).toBeGreaterThan(0)
    // Who comes now is sent to a longer list, in which the last key frame is still to be found.
    expect((await live.get('/live/main/index.m3u8')).text).toContain('video-t12.m3u8')
  })

  test('of another publish are cut at its own key frames, however far apart', async () => {
    const live = await LiveFixture.open()
    await live.publish().send(await makeLiveMedia({ seconds: 20, gop: 30 }), 0, 8000)
    const seldom = await makeLiveMedia({ seconds: 36, gop: 250, bframes: 2, sampleRate: 44_100 })
    await live.publish().send(seldom, 0, 20_000)
    const { text } = await live.get('/live/main/index.m3u8')
    expect(text).toContain('video-t12.m3u8')
    for (const file of ['video-t1.m3u8', 'video-t12.m3u8']) {
      const video = await live.media(file)
      expect(violationsOf(video)).toEqual([])
      expect(video.targetDurationSeconds).toBe(file === 'video-t1.m3u8' ? 8 : 12)
      const last = video.segments.filter((segment) => segment.uri !== undefined).slice(-2)
      for (const segment of last) expect(segment.durationSeconds).toBeCloseTo(8.333, 1)
    }
  })

  test('of sound alone and of pictures alone are complete', async () => {
    for (const kind of ['audio', 'video'] as const) {
      const options = { seconds: 6, audio: kind === 'audio', video: kind === 'video' }
      const live = await LiveFixture.open()
      await live.publish().send(await makeLiveMedia(options))
      const { text } = await live.get('/live/main/index.m3u8')
      expect(text).not.toContain('EXT-X-MEDIA')
      const [file = ''] = /\S+\.m3u8/.exec(text) ?? []
      expect(file).toContain(kind)
      const playlist = await live.media(file)
      expect(violationsOf(playlist)).toEqual([])
      expect(playlist.segments.length).toBeGreaterThan(4)
      expect(playlist.renditionReports).toEqual([])
    }
  })
})

test('a playlist is never shorter than three target durations, however short its window (§6.2.2)', async () => {
  const live = await LiveFixture.open({ windowSeconds: 4 })
  await live.publish().send(await makeLiveMedia({ seconds: 20, gop: 30 }))
  const secondsOf = async (file: string) => {
    const { segments, mediaSequence } = await live.media(file)
    expect(mediaSequence, file).toBe(segments[0]?.sequence)
    return segments.reduce((sum, segment) => sum + segment.durationSeconds, 0)
  }
  expect(await secondsOf('video-t1.m3u8')).toBeLessThan(6)
  expect(await secondsOf('video-t12.m3u8')).toBeGreaterThan(19)
})

describe('the multivariant playlist', () => {
  test('says what was measured: codecs, size, frame rate, bits', async () => {
    const live = await LiveFixture.open({ windowSeconds: 10 })
    await live.publish().send(await makeLiveMedia({ seconds: 20, gop: 30 }))
    const { text, headers } = await live.get('/live/main/index.m3u8')
    expect(text).toMatch(
      /CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2",RESOLUTION=320x180,FRAME-RATE=30\.000/,
    )
    const [, peak, average] = /BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+)/.exec(text) ?? []
    expect(Number(average)).toBeGreaterThan(300_000)
    expect(Number(peak)).toBeGreaterThanOrEqual(Number(average))
    expect(headers['content-type']).toBe('application/vnd.apple.mpegurl')
    expect(text).toContain('EXT-X-INDEPENDENT-SEGMENTS')
  })
})

describe('an answer', () => {
  const start = async () => {
    const live = await LiveFixture.open({ dvrSeconds: 20, windowSeconds: 10 })
    await live.publish().send(await makeLiveMedia({ seconds: 20, gop: 30 }))
    return live
  }

  test('is compressed for those who can read it, and says so', async () => {
    const live = await start()
    const plain = await live.get('/live/main/video-t1.m3u8', { 'accept-encoding': 'gzip;q=0, br' })
    const gzip = await live.get('/live/main/video-t1.m3u8', { 'accept-encoding': 'br, gzip' })
    // RFC 9110 §12.5.3: what is not named is what the star says.
    for (const [accepted, coding] of [
      ['*', 'gzip'],
      ['*;q=0', undefined],
      ['gzip;q=0, *', undefined],
      ['br, *;q=0, gzip', 'gzip'],
    ]) {
      const { headers } = await live.get('/live/main/video-t1.m3u8', {
        'accept-encoding': accepted ?? '',
      })
      expect(headers['content-encoding'], accepted).toBe(coding)
    }
    expect(plain.headers['content-encoding']).toBeUndefined()
    expect(gzip.headers['content-encoding']).toBe('gzip')
    expect(gzip.headers['vary']).toBe('accept-encoding')
    expect(gunzipSync(gzip.body).toString()).toBe(plain.text)
    expect(gzip.body.length).toBeLessThan(plain.body.length / 2)
  })

  test('carries the lifetimes of Appendix B.1, an error only where it stays one', async () => {
    const live = await start()
    const get = async (path: string) => (await live.get(path)).headers['cache-control']
    expect(await get('/live/main/video-t12.m3u8')).toBe('max-age=6')
    expect(await get('/live/main/video-t12.m3u8?_HLS_msn=3')).toBe('max-age=72')
    const { segments } = await live.media('video-t1.m3u8')
    expect(await get(`/live/main/${segments[0]?.uri}`)).toMatch(/^max-age=\d+, immutable$/)
    expect(await get('/live/main/video-t12.m3u8?_HLS_msn=99')).toBe('no-store')
    expect(await get('/live/nobody/index.m3u8')).toBe('no-store')
    expect(await get('/live/main/none.m3u8')).toBe('no-store')
    // What can't become right by waiting: 4 target durations of a blocking playlist, 1 of media.
    expect(await get('/live/main/video-t12.m3u8?_HLS_part=1')).toBe('max-age=48')
    expect(await get('/live/main/video-t12.m3u8?_HLS_msn=x')).toBe('max-age=48')
    const past = segments.find((one) => one.uri && one.parts.length > 0)?.uri
    expect(await get(`/live/main/${past?.replace('.m4s', '.99.m4s')}`)).toBe('max-age=1')
    expect(await get(`/live/main/${past?.replace(/-\d+\.m4s/, '-999.m4s')}`)).toBe('no-store')
  })

  test('for a segment is the bytes of its parts, the same ones', async () => {
    const live = await start()
    const { segments } = await live.media('video-t1.m3u8')
    const segment = segments.findLast((one) => one.uri && one.parts.length > 0)
    const parts = await Promise.all(
      (segment?.parts ?? []).map(({ uri }) => live.get(`/live/main/${uri}`)),
    )
    const whole = await live.get(`/live/main/${segment?.uri}`)
    expect(whole.body.equals(Buffer.concat(parts.map((part) => part.body)))).toBe(true)
    expect(whole.headers['content-type']).toBe('video/mp4')
  })

  test('for what left the playlist is still there for a while (§6.2.2)', async () => {
    const live = await start()
    const main = await live.media('video-t1.m3u8')
    const dvr = await live.media('dvr-video-t1.m3u8')
    expect(dvr.segments.length).toBeGreaterThan(main.segments.length)
    const old = dvr.segments.find((segment) => segment.sequence === main.mediaSequence - 2)
    expect((await live.get(`/live/main/${old?.uri}`)).status).toBe(200)
    const part = old?.uri?.replace('.m4s', '.0.m4s')
    expect((await live.get(`/live/main/${part}`)).status).toBe(200)
  })

  test('to HEAD has no body, to another method is 405', async () => {
    const live = await start()
    const { origin } = live.packager
    const request = { path: '/live/main/index.m3u8', query: '', headers: {}, body: null }
    const { signal } = new AbortController()
    const head = await origin.fetch({ ...request, method: 'HEAD', signal })
    expect(head).toMatchObject({ status: 200, body: null })
    const post = await origin.fetch({ ...request, method: 'POST', signal })
    expect(post).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } })
  })
})
