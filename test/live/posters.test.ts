import { describe, expect, test } from 'vitest'
import { deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import type { MakePicture } from '../../server/live/posters.ts'
import { createLiveReplicas } from '../../server/live/replicas.ts'
import { createPictureMaker } from '../../server/transcode/pictures.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { ask, LiveFixture } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 10, gop: 30 })
const JPEG = Buffer.from([0xff, 0xd8, 0xff])

/** A stream of some seconds, whose pictures `make` draws. */
async function liveWith(make: MakePicture) {
  const live = await LiveFixture.open({ makePicture: make })
  const publisher = live.publish()
  await publisher.send(MEDIA, 0, 3000)
  return { live, publisher }
}

/** Width and height in a JPEG's frame header (ITU-T T.81 §B.2.2). */
function sizeOf(jpeg: Buffer): readonly [number, number] {
  for (let at = 2; at + 9 < jpeg.length; at += 2 + jpeg.readUInt16BE(at + 2))
    if (jpeg[at + 1] === 0xc0) return [jpeg.readUInt16BE(at + 7), jpeg.readUInt16BE(at + 5)]
  throw new Error('no frame header')
}

describe('posters', () => {
  test('ffmpeg makes a JPEG of the newest key frame, as wide as asked and never wider', async () => {
    const make = createPictureMaker({
      ffmpeg: { path: undefined },
      clock: systemClock,
      log: silentLog,
    })
    const { live } = await liveWith(make)
    const whole = await live.get('/live/main/poster.jpg')
    expect([whole.status, whole.headers]).toEqual([
      200,
      {
        'content-type': 'image/jpeg',
        'cache-control': 'max-age=5',
        'content-length': `${whole.body.length}`,
      },
    ])
    expect(sizeOf(whole.body)).toEqual([320, 180])
    expect(sizeOf((await live.get('/live/main/poster.jpg?width=160')).body)).toEqual([160, 90])
  })

  test('without ffmpeg it is 404 with a sentence', async () => {
    const path = '/nowhere/ffmpeg'
    const make = createPictureMaker({ ffmpeg: { path }, clock: systemClock, log: silentLog })
    const { live } = await liveWith(make)
    const answer = await live.get('/live/main/poster.jpg')
    expect(answer.status).toBe(404)
    expect(answer.text).toContain('no ffmpeg')
  })

  test('who asks meanwhile waits for the same picture, and within five seconds it is that one', async () => {
    const drawn = deferred<Buffer>()
    let made = 0
    const { live, publisher } = await liveWith(() => {
      made++
      return drawn.promise
    })
    const both = [live.get('/live/main/poster.jpg'), live.get('/live/main/poster.jpg')]
    drawn.resolve(JPEG)
    expect((await Promise.all(both)).map(({ body }) => body)).toEqual([JPEG, JPEG])
    await publisher.send(MEDIA, 3000, 7000)
    await live.get('/live/main/poster.jpg')
    expect(made).toBe(1)
    await publisher.send(MEDIA, 7000, 8500)
    await live.get('/live/main/poster.jpg')
    expect(made).toBe(2)
  })

  test('what can’t be made anew stays as it was', async () => {
    const answers = [JPEG, undefined]
    const { live, publisher } = await liveWith(async () => answers.shift())
    await live.get('/live/main/poster.jpg')
    await publisher.send(MEDIA, 3000, 9000)
    expect((await live.get('/live/main/poster.jpg')).body).toEqual(JPEG)
  })

  test('any number of widths is a few pictures', async () => {
    let made = 0
    const { live } = await liveWith(async () => {
      made++
      return JPEG
    })
    for (let width = 1; width < 5000; width += 50)
      await live.get(`/live/main/poster.jpg?width=${width}`)
    expect(made).toBe(7)
    for (const width of ['0', '-1', '1e3', 'x', '100000', ''])
      expect((await live.get(`/live/main/poster.jpg?width=${width}`)).status).toBe(400)
  })

  test('a replica gives its parent’s', async () => {
    const { live } = await liveWith(async () => JPEG)
    const replicas = createLiveReplicas({
      openTail: async (name, signal) => live.packager.tail(name, signal),
      fetchParent: (request) => live.packager.origin.fetch(request),
      clock: live.clock,
      log: silentLog,
      metrics: new Metrics(),
      idleMs: 10_000,
    })
    expect((await ask(replicas.origin, '/live/main/poster.jpg')).body).toEqual(JPEG)
    replicas.close()
  })

  test('a stream of sound alone, and one that nobody sends, have none', async () => {
    const live = await LiveFixture.open({ makePicture: async () => JPEG })
    const sound = await makeLiveMedia({ seconds: 3, video: false })
    await live.publish('radio').send(sound)
    expect((await live.get('/live/radio/poster.jpg')).status).toBe(404)
    expect((await live.get('/live/other/poster.jpg')).text).toContain('stream-not-live')
  })
})
