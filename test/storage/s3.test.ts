import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { collect } from '../../server/lib/bytes.ts'
import { type Clock, systemClock } from '../../server/lib/clock.ts'
import type { Log } from '../../server/lib/log.ts'
import { silentLog } from '../../server/lib/log.ts'
import type { ObjectStore, ReadOptions } from '../../server/storage/object-store.ts'
import { type S3StoreOptions, openS3Store } from '../../server/storage/s3.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type S3Stub, startS3Stub } from '../support/s3-stub.ts'
import { startWebServer } from '../support/web-server.ts'
import { objectStoreContract, readText } from './object-store.contract.ts'

function optionsFor(stub: S3Stub, more: Partial<S3StoreOptions> = {}): S3StoreOptions {
  const { bucket, region, endpoint, credentials } = stub
  return { bucket, prefix: '', region, endpoint, pathStyle: true, credentials, ...more }
}

function openStore(
  stub: S3Stub,
  more: Partial<S3StoreOptions> = {},
  deps: { readonly clock?: Clock; readonly log?: Log } = {},
): ObjectStore {
  return openS3Store(optionsFor(stub, more), { clock: systemClock, log: silentLog, ...deps })
}

objectStoreContract('a bucket of the stub', async () => {
  const stub = await startS3Stub()
  const store = openStore(stub, { prefix: '/some/where/' })
  const missing = openStore(stub, { bucket: 'no-such-bucket' })
  // Beside the prefix: what shows here would be a defect.
  for (const key of ['elsewhere', 'some/whereabouts', 'some/where']) stub.put(key, Buffer.from('x'))
  return {
    store,
    missing,
    keepsContentType: true,
    close: async () => {
      await store.close()
      await missing.close()
      await stub.close()
    },
  }
})

describe('a bucket', () => {
  let stub: S3Stub
  let store: ObjectStore
  const film = Buffer.alloc(1_000_000, 'f')
  const ask = (more: Partial<ReadOptions> = {}): ReadOptions => ({
    signal: new AbortController().signal,
    ...more,
  })

  beforeAll(async () => {
    stub = await startS3Stub()
    store = openStore(stub)
    stub.put('film.mp4', film, {
      'content-type': 'video/mp4',
      'cache-control': 'max-age=60',
      'x-amz-meta-cache-tag': 'films',
    })
    stub.put('untyped.mp4', film)
  })
  afterEach(() => {
    stub.clearFaults()
    stub.forget()
  })
  afterAll(async () => {
    await store.close()
    await stub.close()
  })

  it('is read with exactly one request, with the range and the etag in it', async () => {
    const { etag } = (await store.read('film.mp4', ask())).info
    stub.forget()
    await collect((await store.read('film.mp4', ask({ range: { suffix: 9 }, ifMatch: etag }))).body)
    expect(stub.journal).toMatchObject([
      { operation: 'GetObject', key: 'film.mp4', range: 'bytes=-9', ifMatch: `"${etag}"` },
    ])
  })

  it('keeps a weak etag weak, and pins no read by it (RFC 9110 §13.1.1)', async () => {
    const { etag } = (await store.read('film.mp4', ask())).info
    stub.fault({ kind: 'weak-etag' })
    expect((await store.read('film.mp4', ask())).info).toMatchObject({ etag, weak: true })
    expect(await store.stat('film.mp4', ask().signal)).toMatchObject({ etag, weak: true })
    const pinned = store.read('film.mp4', ask({ range: { start: 5 }, ifMatch: etag }))
    await expect(pinned).rejects.toThrow(/^object-changed: .*W\//)
    stub.clearFaults()
    expect((await store.read('film.mp4', ask())).info).not.toHaveProperty('weak')
  })

  it('gives type and stored fields; the type nobody ever set is none', async () => {
    const info = await store.stat('film.mp4', ask().signal)
    expect(info).toMatchObject({
      contentType: 'video/mp4',
      headers: { 'cache-control': 'max-age=60', 'x-amz-meta-cache-tag': 'films' },
    })
    expect((await store.stat('untyped.mp4', ask().signal))?.contentType).toBeUndefined()
  })

  it('is the whole bucket without a prefix, and else what is below it', async () => {
    stub.put('below/a', Buffer.from('x'))
    stub.put('below/', Buffer.from('a folder, as the AWS console makes them'))
    const below = openStore(stub, { prefix: 'below' })
    const { signal } = ask()
    const keysOf = async (one: ObjectStore) =>
      (await one.list('', { signal })).objects.map((object) => object.key)
    expect(await keysOf(store)).toEqual(['below/', 'below/a', 'film.mp4', 'untyped.mp4'])
    expect(await keysOf(below)).toEqual(['a'])
    expect([store.description, below.description]).toEqual(['s3://media', 's3://media/below'])
    await below.close()
    await store.remove('below/a', signal)
    await store.remove('below/', signal)
  })

  it('keeps its connections', async () => {
    for (let i = 0; i < 10; i++) await readText(store.read('film.mp4', ask()))
    const before = stub.connections()
    for (let i = 0; i < 10; i++) await readText(store.read('film.mp4', ask()))
    expect(stub.connections()).toBe(before)
  })

  it('reads on beside a hundred readers that rest', async () => {
    stub.put('rested', Buffer.alloc(16 * 1024 * 1024))
    const resting = await Promise.all(
      Array.from({ length: 100 }, () => store.read('rested', ask())),
    )
    expect(await readText(store.read('film.mp4', ask({ range: { suffix: 2 } })))).toBe('ff')
    for (const { body } of resting) await body[Symbol.asyncIterator]().return?.()
    await store.remove('rested', ask().signal)
  })

  it('says that an object in an archive must be restored', async () => {
    stub.fault({ kind: 'error', status: 403, code: 'InvalidObjectState' })
    await expect(store.read('film.mp4', ask())).rejects.toThrow(/store-failed: .*restore it/)
  })

  it('lists keys that XML cannot hold', async () => {
    stub.put('odd/\u0001 +%.txt', Buffer.from('x'))
    const { objects } = await store.list('odd/', { signal: ask().signal })
    expect(objects.map((object) => object.key)).toEqual(['odd/\u0001 +%.txt'])
  })

  it('asks for the etag of an upload whose end does not say it', async () => {
    stub.fault({ kind: 'no-etag' }, { operation: 'CompleteMultipartUpload' })
    const body = (async function* () {
      yield Buffer.alloc(17 * 1024 * 1024)
    })()
    const written = await store.write('parts', body, { signal: ask().signal })
    expect(written.etag).toMatch(/-3$/)
    expect(stub.journal.at(-1)?.operation).toBe('HeadObject')
  })

  it('refuses a cursor that no listing gave', async () => {
    const listed = store.list('', { signal: ask().signal, cursor: '%%' })
    await expect(listed).rejects.toMatchObject({ code: 'bad-request' })
  })

  describe('whose credentials are wrong', () => {
    const secret = 'a-secret-that-must-not-be-seen'
    it.each([
      ['InvalidAccessKeyId', { accessKeyId: 'NOBODY' }, /does not know the access key/],
      ['SignatureDoesNotMatch', { secretAccessKey: secret }, /the secret key is wrong/],
    ])('says store-denied and the cure: %s', async (_, wrong, cure) => {
      const denied = openStore(stub, { credentials: { ...stub.credentials, ...wrong } })
      const failures = [
        await denied.read('film.mp4', ask()).catch((error: unknown) => error),
        await denied.list('', { signal: ask().signal }).catch((error: unknown) => error),
        await denied
          .write('new', Buffer.from('x'), { signal: ask().signal })
          .catch((error: unknown) => error),
      ]
      for (const failure of failures) {
        expect(failure).toMatchObject({ code: 'store-denied' })
        expect(String(failure)).toMatch(cure)
        expect(String(failure)).toContain(`media at ${stub.endpoint}`)
        expect(JSON.stringify(failure) + String(failure)).not.toContain(secret)
        expect(String(failure)).not.toContain('\n')
      }
      await expect(denied.stat('film.mp4', ask().signal)).rejects.toMatchObject({
        code: 'store-denied',
      })
      await denied.close()
    })

    it('says so when the region is wrong', async () => {
      const denied = openStore(stub, { region: 'eu-west-1' })
      await expect(denied.read('film.mp4', ask())).rejects.toThrow(/store-denied: .*the region/)
      await denied.close()
    })

    it('says that a denied object may be a missing one', async () => {
      stub.fault({ kind: 'error', status: 403, code: 'AccessDenied' })
      await expect(store.read('x', ask())).rejects.toThrow(/store-denied: .*s3:ListBucket/)
      await expect(store.stat('x', ask().signal)).rejects.toMatchObject({ code: 'store-denied' })
    })
  })

  describe('that fails', () => {
    it('is asked once more after a 500, a SlowDown or a reset', async () => {
      for (const fault of [
        { kind: 'error', status: 500, code: 'InternalError' },
        { kind: 'error', status: 503, code: 'SlowDown' },
        { kind: 'reset', afterBytes: 0 },
      ] as const) {
        stub.fault(fault, { times: 1 })
        expect(await readText(store.read('film.mp4', ask({ range: { suffix: 2 } })))).toBe('ff')
      }
    })

    it('says store-failed when it fails twice', async () => {
      stub.fault({ kind: 'error', status: 503, code: 'SlowDown' })
      await expect(store.read('film.mp4', ask())).rejects.toMatchObject({
        code: 'store-failed',
        message: expect.stringContaining('503 SlowDown'),
      })
      expect(stub.journal).toHaveLength(2)
    })

    it.each(['short', 'reset'] as const)('throws where the body stops: %s', async (kind) => {
      stub.fault({ kind, afterBytes: 500_000 })
      const { body } = await store.read('film.mp4', ask())
      let length = 0
      const reading = async () => {
        for await (const chunk of body) length += chunk.length
      }
      await expect(reading()).rejects.toMatchObject({ code: 'store-failed' })
      expect(length).toBeLessThanOrEqual(500_000)
    })

    it('gives up on a body that stops, but not while its reader rests', async () => {
      const clock = new FakeClock()
      const patient = openStore(stub, {}, { clock })
      stub.fault({ kind: 'hang', afterBytes: 100_000 })
      const { body } = await patient.read('film.mp4', ask())
      const iterator = body[Symbol.asyncIterator]()
      let length = 0
      await clock.advance(3_600_000)
      while (length < 100_000) length += (await iterator.next()).value?.length ?? 0
      const next = iterator.next()
      next.catch(() => {})
      await clock.advance(30_000)
      await expect(next).rejects.toThrow(/store-failed: .*no byte came after 100000 of 1000000/)
      expect(clock.pending).toBe(0)
      await patient.close()
    })

    it('gives up on an answer that does not begin', async () => {
      const clock = new FakeClock()
      const patient = openStore(stub, {}, { clock })
      stub.fault({ kind: 'hang', afterBytes: 0 })
      const asked = patient.read('film.mp4', ask())
      asked.catch(() => {})
      await clock.advance(15_000)
      await expect(asked).rejects.toThrow(/store-unreachable: .*no answer within 15000 ms/)
      await patient.close()
    })

    it('stops waiting when the signal is aborted', async () => {
      stub.fault({ kind: 'hang', afterBytes: 0 })
      const controller = new AbortController()
      const asked = store.read('film.mp4', ask({ signal: controller.signal }))
      controller.abort(new Error('nobody waits'))
      await expect(asked).rejects.toThrow('nobody waits')
    })

    it('says store-unreachable when nobody listens, and when the name has no address', async () => {
      const closed = await startS3Stub()
      await closed.close()
      for (const endpoint of [closed.endpoint, 'http://s3.invalid']) {
        const lost = openStore(stub, { endpoint })
        await expect(lost.read('film.mp4', ask())).rejects.toMatchObject({
          code: 'store-unreachable',
        })
        await lost.close()
      }
    })

    it('has object-changed for the rest of an object that was replaced', async () => {
      const { info } = await store.read('untyped.mp4', ask({ range: { start: 0, end: 9 } }))
      stub.fault({ kind: 'replace', bytes: Buffer.alloc(1_000_000, 'g') }, { times: 1 })
      const first = { range: { start: 10, end: 19 }, ifMatch: info.etag }
      expect(await readText(store.read('untyped.mp4', ask(first)))).toBe('f'.repeat(10))
      const second = { range: { start: 20, end: 29 }, ifMatch: info.etag }
      await expect(store.read('untyped.mp4', ask(second))).rejects.toMatchObject({
        code: 'object-changed',
      })
    })

    it('leaves no parts of an upload that failed, or was stopped', async () => {
      const part = Buffer.alloc(8 * 1024 * 1024)
      async function* three() {
        yield part
        yield part
        yield part
      }
      stub.fault({ kind: 'error', status: 500, code: 'InternalError' }, { operation: 'UploadPart' })
      const failed = store.write('big', three(), { signal: ask().signal })
      await expect(failed).rejects.toMatchObject({ code: 'store-failed' })
      stub.clearFaults()
      const controller = new AbortController()
      async function* stopped() {
        yield* three()
        controller.abort(new Error('stopped'))
        yield part
      }
      const written = store.write('big', stopped(), { signal: controller.signal })
      await expect(written).rejects.toThrow('stopped')
      expect(stub.unfinishedUploads()).toBe(0)
      expect(await store.stat('big', ask().signal)).toBeUndefined()
    })

    it('says nothing in the log when the upload had already ended', async () => {
      const warned: unknown[] = []
      const log = { ...silentLog, warn: (_: string, facts: unknown) => void warned.push(facts) }
      const noting = openStore(stub, {}, { log })
      stub.fault(
        { kind: 'error', status: 404, code: 'NoSuchUpload' },
        { operation: 'AbortMultipartUpload' },
      )
      stub.fault(
        { kind: 'error', status: 500, code: 'InternalError' },
        { operation: 'CompleteMultipartUpload' },
      )
      const body = Buffer.alloc(9 * 1024 * 1024)
      const written = noting.write('ended', body, { signal: ask().signal })
      await expect(written).rejects.toThrow('InternalError')
      expect(warned).toEqual([])
      await noting.close()
    })

    it('says in the log when it must leave them', async () => {
      const warned: unknown[] = []
      const log = { ...silentLog, warn: (_: string, facts: unknown) => void warned.push(facts) }
      const noting = openStore(stub, {}, { log })
      for (const operation of ['UploadPart', 'AbortMultipartUpload'])
        stub.fault({ kind: 'error', status: 500, code: 'InternalError' }, { operation })
      const body = (async function* () {
        yield Buffer.alloc(17 * 1024 * 1024)
      })()
      await expect(noting.write('big', body, { signal: ask().signal })).rejects.toThrow(
        'InternalError',
      )
      expect(warned).toMatchObject([{ bucket: 'media', key: 'big' }])
      await noting.close()
    })
  })

  it('pulls no faster than its reader', async () => {
    const size = 64 * 1024 * 1024
    stub.put('huge', Buffer.alloc(size))
    stub.fault({ kind: 'rate', bytesPerSecond: 1e12 })
    const iterator = (await store.read('huge', ask())).body[Symbol.asyncIterator]()
    await iterator.next()
    for (let still = 0, last = -1; still < 20; ) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      const sent = stub.journal[0]?.sentBytes ?? 0
      still = sent === last ? still + 1 : 0
      last = sent
    }
    // What the kernel's socket buffers take is not ours.
    expect(stub.journal[0]?.sentBytes).toBeLessThan(24 * 1024 * 1024)
    await iterator.return?.()
  })
})

it('takes nothing from a service that names no etag: old and new bytes could not be told apart', async () => {
  const server = await startWebServer((_, response) => response.end('film'))
  const { url: endpoint } = server
  const credentials = { accessKeyId: 'a', secretAccessKey: 's' }
  const options = { bucket: 'b', prefix: '', region: 'eu-west-1', endpoint, pathStyle: true }
  const store = openS3Store({ ...options, credentials }, { clock: systemClock, log: silentLog })
  const { signal } = new AbortController()
  const refused = /^store-failed: .* names no etag$/
  await expect(store.read('film.mp4', { signal })).rejects.toThrow(refused)
  await expect(store.stat('film.mp4', signal)).rejects.toThrow(refused)
  await store.close()
  await server.close()
})
