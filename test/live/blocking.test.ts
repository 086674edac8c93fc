import { describe, expect, test } from 'vitest'
import { makeLiveMedia } from '../support/live-media.ts'
import { answered, ask, LiveFixture, type Publisher, readMedia } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 20, gop: 30 })
const VIDEO = '/live/main/video-t1.m3u8'

/** A stream that has been running for 8.3 s: segment 9 is open with one part. */
async function running(): Promise<{ live: LiveFixture; publisher: Publisher }> {
  const live = await LiveFixture.open()
  const publisher = live.publish()
  await publisher.send(MEDIA, 0, 8300)
  return { live, publisher }
}

describe('a blocking reload (rfc8216bis §6.2.5.2)', () => {
  test('for a part is held until the part is there', async () => {
    const { live, publisher } = await running()
    const { segments } = await live.media('video-t1.m3u8')
    expect(segments.at(-1)).toMatchObject({ sequence: 9, uri: undefined })
    expect(segments.at(-1)?.parts).toHaveLength(1)
    const answer = live.get(`${VIDEO}?_HLS_msn=9&_HLS_part=1`)
    expect(await answered(answer)).toBeUndefined()
    await publisher.send(MEDIA, 8300, 8440)
    const playlist = readMedia(await answer)
    expect(playlist.segments.at(-1)?.parts).toHaveLength(2)
  })

  test('for a segment is held until it is complete', async () => {
    const { live, publisher } = await running()
    const answer = live.get(`${VIDEO}?_HLS_msn=9`)
    await publisher.send(MEDIA, 8300, 8990)
    expect(await answered(answer)).toBeUndefined()
    await publisher.send(MEDIA, 8990, 9040)
    const playlist = readMedia(await answer)
    expect(playlist.segments.find(({ sequence }) => sequence === 9)?.uri).toBeDefined()
  })

  test('for a part past the last of its segment is held for the first part of the next', async () => {
    const { live, publisher } = await running()
    const answer = live.get(`${VIDEO}?_HLS_msn=9&_HLS_part=7`)
    await publisher.send(MEDIA, 8300, 9100)
    expect(await answered(answer)).toBeUndefined()
    await publisher.send(MEDIA, 9100, 9240)
    expect(readMedia(await answer).segments.at(-1)).toMatchObject({ sequence: 10 })
  })

  test('for what is there, or has left the window, is answered at once with the whole playlist', async () => {
    const { live } = await running()
    for (const query of ['_HLS_msn=9&_HLS_part=0', '_HLS_msn=5&_HLS_part=99', '_HLS_msn=0']) {
      const answer = await answered(live.get(`${VIDEO}?${query}`))
      expect(answer?.status, query).toBe(200)
    }
  })

  test('for what is too far ahead, or no number, is 400 at once', async () => {
    const { live } = await running()
    const bad = [
      '_HLS_msn=11',
      // The Advance Part Limit is 3 / 0.202: 14.85 parts.
      '_HLS_msn=9&_HLS_part=15',
      '_HLS_msn=10&_HLS_part=14',
      '_HLS_part=0',
      '_HLS_msn=-1',
      '_HLS_msn=',
      '_HLS_msn=1e3',
      '_HLS_msn=9&_HLS_part=x',
      '_HLS_msn=99999999999999999999',
    ]
    for (const query of bad) {
      const answer = await answered(live.get(`${VIDEO}?${query}`))
      expect(answer?.status, query).toBe(400)
      expect(JSON.parse(answer?.text ?? '{}')).toMatchObject({ code: 'bad-request' })
    }
    for (const query of ['_HLS_msn=10', '_HLS_msn=9&_HLS_part=14', '_HLS_msn=10&_HLS_part=13'])
      expect(await answered(live.get(`${VIDEO}?${query}`)), query).toBeUndefined()
  })

  test('that is held for more than three target durations is 503', async () => {
    const { live } = await running()
    const answer = live.get(`${VIDEO}?_HLS_msn=9&_HLS_part=1`)
    expect(await answered(answer)).toBeUndefined()
    await live.clock.advance(2999)
    expect(await answered(answer)).toBeUndefined()
    await live.clock.advance(2)
    expect((await answer).status).toBe(503)
    expect((await answer).headers['cache-control']).toBe('no-store')
  })

  test('after the end is answered at once, whatever it waits for', async () => {
    const { live, publisher } = await running()
    const held = live.get(`${VIDEO}?_HLS_msn=10`)
    publisher.end()
    live.packager.end('main')
    expect(readMedia(await held).endList).toBe(true)
    const after = readMedia(await live.get(`${VIDEO}?_HLS_msn=999&_HLS_skip=YES`))
    expect(after).toMatchObject({ endList: true, skippedSegments: 0, preloadHints: [] })
  })

  test('of a viewer who leaves waits no longer', async () => {
    const { live } = await running()
    const leaving = new AbortController()
    const answer = ask(live.packager.origin, `${VIDEO}?_HLS_msn=10`, {}, leaving.signal)
    expect(await answered(answer)).toBeUndefined()
    expect(live.packager.describe()[0]?.waitingRequests).toBe(1)
    leaving.abort(new Error('left'))
    await expect(answer).rejects.toThrow('left')
    expect(live.packager.describe()[0]?.waitingRequests).toBe(0)
  })

  test('of a thousand viewers is answered with the same playlist', async () => {
    const { live, publisher } = await running()
    const answers = Array.from({ length: 1000 }, () => live.get(`${VIDEO}?_HLS_msn=9&_HLS_part=1`))
    await publisher.send(MEDIA, 8300, 8440)
    const texts = new Set((await Promise.all(answers)).map((answer) => answer.text))
    expect(texts.size).toBe(1)
  })
})

describe('the viewers of a stream', () => {
  test('are counted by how often they ask, whether for each part or each target duration', async () => {
    const { live, publisher } = await running()
    const viewers = () => live.packager.describe()[0]?.viewers
    expect(viewers()).toBe(0)
    let over = false
    const lowLatency = async () => {
      for (let query = ''; !over; ) {
        const last = readMedia(await live.get(VIDEO + query)).segments.at(-1)
        const whole = last?.uri !== undefined
        const sequence = (last?.sequence ?? 0) + (whole ? 1 : 0)
        query = `?_HLS_msn=${sequence}&_HLS_part=${whole ? 0 : last?.parts.length}`
      }
    }
    const plain = async () => {
      for (; !over; await live.clock.sleep(1000)) await live.get(VIDEO)
    }
    const watching = [lowLatency, lowLatency, lowLatency, lowLatency, lowLatency, plain, plain]
    const all = watching.map((watch) => watch())
    await publisher.send(MEDIA, 8300, 18_300, () => new Promise((next) => setImmediate(next)))
    expect(viewers()).toBe(7)
    over = true
    await publisher.send(MEDIA, 18_300, 20_000)
    await live.clock.advance(8000)
    await Promise.all(all)
    expect(viewers()).toBe(0)
  })
})

describe('a delta update (rfc8216bis §6.2.5.1)', () => {
  test('skips what lies beyond the skip boundary and keeps the rest as it is', async () => {
    const live = await LiveFixture.open()
    await live.publish().send(MEDIA)
    const full = await live.media('video-t1.m3u8')
    for (const skip of ['YES', 'v2']) {
      const delta = readMedia(await live.get(`${VIDEO}?_HLS_skip=${skip}`))
      expect(delta.skippedSegments).toBeGreaterThan(10)
      // §8
      expect([full.version, delta.version]).toEqual([6, 9])
      expect(delta.mediaSequence).toBe(full.mediaSequence)
      expect(delta.segments).toEqual(full.segments.slice(delta.skippedSegments))
      const kept = delta.segments.reduce((sum, segment) => sum + segment.durationSeconds, 0)
      expect(kept).toBeGreaterThanOrEqual(6)
      expect(kept).toBeLessThan(8)
    }
    const odd = readMedia(await live.get(`${VIDEO}?_HLS_skip=no`))
    expect(odd.skippedSegments).toBe(0)
  })

  test('is not offered where nothing lies beyond the boundary', async () => {
    const live = await LiveFixture.open({ windowSeconds: 60 })
    await live.publish().send(MEDIA)
    const playlist = readMedia(await live.get('/live/main/video-t12.m3u8?_HLS_skip=YES'))
    expect(playlist.serverControl['CAN-SKIP-UNTIL']).toBeUndefined()
    expect(playlist.skippedSegments).toBe(0)
  })
})

describe('a hinted part (rfc8216bis §6.2.6)', () => {
  test('that is asked for early is held until all of it is there', async () => {
    const { live, publisher } = await running()
    const [hint] = (await live.media('video-t1.m3u8')).preloadHints
    const answer = live.get(`/live/main/${hint?.['URI']}`)
    expect(await answered(answer)).toBeUndefined()
    await publisher.send(MEDIA, 8300, 8440)
    expect((await answer).status).toBe(200)
    const { segments } = await live.media('video-t1.m3u8')
    expect(segments.at(-1)?.parts.at(-1)?.uri).toBe(hint?.['URI'])
  })

  test('is always the part that comes next, also over the end of a segment', async () => {
    const { live, publisher } = await running()
    for (let to = 8440; to < 11_000; to += 33) {
      const [hint] = (await live.media('video-t1.m3u8')).preloadHints
      await publisher.send(MEDIA, to - 33, to)
      const { segments, preloadHints } = await live.media('video-t1.m3u8')
      if (preloadHints[0]?.['URI'] === hint?.['URI']) continue
      expect(segments.flatMap(({ parts }) => parts).at(-1)?.uri).toBe(hint?.['URI'])
    }
  })

  test('that never comes is 404', async () => {
    const { live, publisher } = await running()
    const [hint] = (await live.media('video-t1.m3u8')).preloadHints
    const answer = live.get(`/live/main/${hint?.['URI']}`)
    publisher.end('lost')
    expect((await answer).status).toBe(200)
    const [next] = (await live.media('video-t1.m3u8')).preloadHints
    const lost = live.get(`/live/main/${next?.['URI']}`)
    await live.publish().send(MEDIA, 0, 500)
    expect((await lost).status).toBe(404)
  })

  test('that is still to come after three target durations is 503', async () => {
    const { live } = await running()
    const [hint] = (await live.media('video-t1.m3u8')).preloadHints
    const answer = live.get(`/live/main/${hint?.['URI']}`)
    await live.clock.advance(2999)
    expect(await answered(answer)).toBeUndefined()
    await live.clock.advance(2)
    expect((await answer).status).toBe(503)
    expect((await answer).headers['cache-control']).toBe('no-store')
  })

  test('of another publish than the one that sends is not waited for', async () => {
    const { live } = await running()
    const [hint] = (await live.media('video-t1.m3u8')).preloadHints
    const other = hint?.['URI']?.replace(/^[^/]+/, 'other')
    expect((await answered(live.get(`/live/main/${other}`)))?.status).toBe(404)
  })

  test('other than the next one is not waited for', async () => {
    const { live } = await running()
    const [hint] = (await live.media('video-t1.m3u8')).preloadHints
    const later = hint?.['URI']?.replace('.1.m4s', '.2.m4s')
    expect((await live.get(`/live/main/${later}`)).status).toBe(404)
  })
})

describe('a stream that nobody sends', () => {
  test('is 404 with a code', async () => {
    const live = await LiveFixture.open()
    const answer = await live.get('/live/main/index.m3u8')
    expect(answer.status).toBe(404)
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'stream-not-live' })
  })

  test('is waited for when its publisher has just come', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    const answer = live.get('/live/main/index.m3u8')
    expect(await answered(answer)).toBeUndefined()
    await publisher.send(MEDIA, 0, 1000)
    expect((await answer).status).toBe(200)
  })

  test('is waited for five seconds and no more', async () => {
    const live = await LiveFixture.open()
    live.publish()
    const answer = live.get('/live/main/index.m3u8')
    expect(await answered(answer)).toBeUndefined()
    await live.clock.advance(5001)
    expect((await answer).status).toBe(404)
  })
})
