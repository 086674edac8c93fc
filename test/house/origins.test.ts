import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import type { OriginOptions } from '../../server/distribution/types.ts'
import type { Origin, OriginResponse } from '../../server/http/message.ts'
import { collect } from '../../server/lib/bytes.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { type OriginSet, openOrigins } from '../../server/main-origins.ts'
import { type S3Stub, startS3Stub } from '../support/s3-stub.ts'

const film = Buffer.alloc(8 * 1024 * 1024, 'film')
let stub: S3Stub
let origins: OriginSet

beforeEach(async () => {
  stub = await startS3Stub()
  stub.put('film.mp4', film)
  vi.stubEnv('AWS_ACCESS_KEY_ID', stub.credentials.accessKeyId)
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', stub.credentials.secretAccessKey)
  origins = openOrigins({
    cache: new Cache({ memoryBytes: 1024 * 1024 }),
    clock: systemClock,
    log: silentLog,
    invalidationSeq: () => 0,
  })
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await origins.close()
  await stub.close()
})

function bucket(prefix = ''): OriginOptions {
  const { bucket: name, region, endpoint } = stub
  return { kind: 's3', bucket: name, prefix, region, endpoint, pathStyle: true }
}

function get(origin: Origin | undefined): Promise<OriginResponse> {
  if (!origin) throw new Error('no origin')
  const { signal } = new AbortController()
  const [method, path, query] = ['GET', '/film.mp4', '']
  return origin.fetch({ method, path, query, headers: {}, body: null, signal })
}

function streamOf(answer: OriginResponse): AsyncIterable<Uint8Array> {
  if (answer.kind === 'message' && answer.body !== null && Symbol.asyncIterator in answer.body)
    return answer.body
  throw new Error('expected a stream')
}

it('finishes a transfer whose bucket was replaced meanwhile, and one that begins behind it', async () => {
  origins.update({ media: bucket() })
  const former = origins.get('media')
  const running = await get(former)

  origins.update({ media: bucket('other') })

  expect((await collect(streamOf(running))).equals(film)).toBe(true)
  expect((await collect(streamOf(await get(former)))).equals(film)).toBe(true)
  await expect(get(origins.get('media'))).rejects.toMatchObject({ code: 'object-not-found' })
})

it('finishes a transfer of an origin that was removed, and is still read through the cache', async () => {
  origins.update({ media: bucket() })
  const { signal } = new AbortController()
  const read = await origins.store('media').read('film.mp4', { signal })

  origins.update({})

  expect((await collect(read.body)).equals(film)).toBe(true)
})

it('leaves an origin alone that did not change', async () => {
  const options = bucket()
  origins.update({ media: options })
  const media = origins.get('media')
  origins.update({ media: options, site: { kind: 'file', root: '/nowhere' } })
  expect(origins.get('media')).toBe(media)
})
