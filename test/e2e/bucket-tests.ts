import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import { createCachedStore } from '../../server/edge/cached-store.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import type { ObjectStore } from '../../server/storage/object-store.ts'
import { openS3Store } from '../../server/storage/s3.ts'
import { createVodOrigin } from '../../server/vod/origin.ts'
import { makeFilm } from '../support/media.ts'
import type { RealS3 } from '../support/real-s3.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { countReads } from '../vod/play.ts'
import { readFilmThrough } from './read-film-through.ts'

const PREFIX = 'films'

/** A film in a bucket of this S3 service, through our own parts and through the whole server. */
export function bucketTests(place: () => RealS3): void {
  let store: ObjectStore
  let film: Buffer
  let server: TestServer | undefined

  beforeAll(async () => {
    const { accessKeyId, secretAccessKey, ...where } = place()
    store = openS3Store(
      { ...where, prefix: PREFIX, pathStyle: true, credentials: { accessKeyId, secretAccessKey } },
      { clock: systemClock, log: silentLog },
    )
    film = await readFile(await makeFilm({ seconds: 20, gop: 50, size: '320x180', bframes: 2 }))
    const signal = AbortSignal.timeout(20_000)
    await store.write('a film.mp4', film, { contentType: 'video/mp4', signal })
  })
  afterAll(async () => {
    await server?.stop()
    await store.close()
  })

  it('reads a film with its index at the end three times at most until the first segment is there', async () => {
    const counted = countReads(store)
    const cache = new Cache({ memoryBytes: 64 * 2 ** 20 })
    const cached = createCachedStore({
      originId: 'media',
      store: counted,
      cache,
      clock: systemClock,
    })
    const vod = createVodOrigin({
      store: cached,
      clock: systemClock,
      log: silentLog,
      metrics: new Metrics(),
    })
    const { segment } = await readFilmThrough(async (path) => {
      const signal = AbortSignal.timeout(10_000)
      const request = { method: 'GET', path, query: '', headers: {}, body: null, signal }
      const answer = await vod.fetch(request)
      if (answer.kind !== 'message' || answer.status !== 200)
        throw new Error(`no answer for ${path}`)
      return answer.body
    }, '/vod/a%20film.mp4/index.m3u8')
    expect(segment.length).toBeGreaterThan(10_000)
    expect(counted.reads.length).toBeLessThanOrEqual(3)
  })

  it('plays it from the bucket through the whole server, as HLS and as a file', async () => {
    server = await startServer({ env: bucketEnv(place()) })
    const { http } = server
    const { segment } = await readFilmThrough(async (path) => {
      const answer = await fetch(`${http}${path}`)
      expect(answer.status).toBe(200)
      return Buffer.from(await answer.arrayBuffer())
    }, '/vod/a%20film.mp4/index.m3u8')
    expect(segment.length).toBeGreaterThan(10_000)
    const range = await fetch(`${http}/media/a%20film.mp4`, { headers: { range: 'bytes=-500' } })
    expect(range.status).toBe(206)
    expect(Buffer.from(await range.arrayBuffer()).equals(film.subarray(-500))).toBe(true)
  })

  it.each([
    ['a wrong secret', { AWS_SECRET_ACCESS_KEY: 'wrong' }, 502, 'store-denied'],
    [
      'a bucket that is not there',
      { NEARCAST_MEDIA: 's3://no-such-bucket' },
      502,
      'bucket-not-found',
    ],
    ['no network', { NEARCAST_S3_ENDPOINT: 'http://127.0.0.1:1' }, 504, 'store-unreachable'],
  ])('answers %s with one clear error, and goes on serving', async (_, env, status, code) => {
    const wrong = await startServer({ env: { ...bucketEnv(place()), ...env } })
    for (const path of ['/media/a%20film.mp4', '/vod/a%20film.mp4/index.m3u8']) {
      const answer = await fetch(`${wrong.http}${path}`)
      expect(answer.status).toBe(status)
      expect(await answer.json()).toMatchObject({ code })
    }
    expect((await fetch(`${wrong.http}/`)).status).toBe(200)
    await expect.poll(() => wrong.output()).toContain(`origins.media: ${code}`)
    expect(await wrong.stop()).toBe(0)
    expect(wrong.output()).not.toContain(place().secretAccessKey)
  })
}

function bucketEnv(place: RealS3): Readonly<Record<string, string>> {
  const { endpoint, accessKeyId, secretAccessKey, bucket, region } = place
  return {
    NEARCAST_MEDIA: `s3://${bucket}/${PREFIX}`,
    NEARCAST_S3_ENDPOINT: endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  }
}
