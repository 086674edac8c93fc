import { describe, expect, test } from 'vitest'
import type { OriginMessage } from '../../server/http/message.ts'
import { FLV_TAG } from '../../server/formats/flv/write-tags.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { flvOf, readFlvAddress } from '../../server/live/http-flv.ts'
import { createLiveReplicas } from '../../server/live/replicas.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { ask, LiveFixture } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 4, gop: 30 })
const PICTURE = MEDIA.tracks.find((track) => track.kind === 'video')

interface Tag {
  readonly type: number
  readonly timeMs: number
  readonly body: Buffer
}

/** FLV 10.1 §E.3, E.4.1 */
function tagsOf(file: Buffer): readonly Tag[] {
  const tags: Tag[] = []
  expect(file.toString('latin1', 0, 3)).toBe('FLV')
  for (let at = 13; at < file.length; ) {
    const size = file.readUIntBE(at + 1, 3)
    const timeMs = file.readUIntBE(at + 4, 3) + file.readUInt8(at + 7) * 2 ** 24
    tags.push({ type: file.readUInt8(at), timeMs, body: file.subarray(at + 11, at + 11 + size) })
    expect(file.readUInt32BE(at + 11 + size)).toBe(11 + size)
    at += 11 + size + 4
  }
  return tags
}

/** All that a reader gets until the stream ends. */
async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function open(
  live: LiveFixture,
  signal: AbortSignal,
): Promise<OriginMessage & { readonly body: AsyncIterable<Uint8Array> }> {
  const answer = await live.packager.origin.fetch({
    method: 'GET',
    path: '/live/main.flv',
    query: '',
    headers: {},
    body: null,
    signal,
  })
  if (answer.kind !== 'message') throw new Error('an upgrade')
  const { body } = answer
  if (body === null || !(Symbol.asyncIterator in body)) throw new Error('no stream')
  return { ...answer, body }
}

describe('HTTP-FLV', () => {
  test('a viewer begins with the newest key frame and has all that comes after it', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 1500)
    const answer = await open(live, new AbortController().signal)
    const reading = readAll(answer.body)
    await publisher.send(MEDIA, 1500, 2500)
    publisher.end()
    const tags = tagsOf(await reading)
    const [picture, sound, first] = tags
    expect(answer.headers).toEqual({ 'content-type': 'video/x-flv', 'cache-control': 'no-store' })
    expect([picture?.type, picture?.body[1]]).toEqual([FLV_TAG.video, 0])
    expect([sound?.type, sound?.body[1]]).toEqual([FLV_TAG.audio, 0])
    expect([first?.type, first?.body[0]]).toEqual([FLV_TAG.video, 0x17])
    const sent = MEDIA.frames.filter(({ trackId, dts }) => trackId === PICTURE?.id && dts < 2500)
    const key = sent.findLast((frame) => frame.key && frame.dts < 1500)
    const pictures = tags.filter((tag) => tag.type === FLV_TAG.video && tag.body[1] === 1)
    expect(pictures.map((tag) => tag.timeMs)).toEqual(
      sent.map(({ dts }) => dts).filter((dts) => dts >= (key?.dts ?? 0)),
    )
  })

  test('a viewer who has gone is no reader any more', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 500)
    const before = publisher.stream.readerCount
    const stop = new AbortController()
    const { body } = await open(live, stop.signal)
    const reading = readAll(body)
    expect(publisher.stream.readerCount).toBe(before + 1)
    stop.abort()
    await reading
    expect(publisher.stream.readerCount).toBe(before)
  })

  test('a viewer who reads nothing holds no more than the bound, and goes on at a key frame', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 100)
    const limits = { bytes: 2 ** 20, mediaMs: 1000 }
    const reader = flvOf(publisher.stream, new AbortController().signal, limits)
    const head = await reader.next()
    await publisher.send(MEDIA, 100, 2900)
    publisher.end()
    const rest: Uint8Array[] = []
    for await (const piece of reader) rest.push(piece)
    const tags = tagsOf(Buffer.concat([head.value ?? Buffer.alloc(0), ...rest]))
    const at = tags.findIndex((tag) => tag.timeMs > 100)
    expect(tags.slice(at, at + 3).map((tag) => [tag.type, tag.body[0], tag.body[1]])).toEqual([
      [FLV_TAG.video, 0x17, 0],
      [FLV_TAG.audio, 0xaf, 0],
      [FLV_TAG.video, 0x17, 1],
    ])
    const kept = tags.slice(at)
    expect(Math.max(...kept.map((tag) => tag.timeMs)) - (kept[0]?.timeMs ?? 0)).toBeLessThan(1001)
  })

  test('another decoder configuration comes before the first key frame that needs it', async () => {
    const other = await makeLiveMedia({ seconds: 1, gop: 30, size: '160x90' })
    const live = await LiveFixture.open()
    const { stream } = live.publish()
    const reading = readAll(flvOf(stream, new AbortController().signal))
    for (const media of [MEDIA, other]) {
      stream.setTracks(media.tracks)
      for (const frame of media.frames.slice(0, 40)) stream.write(frame)
    }
    stream.end('ended')
    const configs = tagsOf(await reading).filter(
      (tag) => tag.type === FLV_TAG.video && tag.body[1] === 0,
    )
    const records = [MEDIA, other].map(
      ({ tracks }) => tracks.find((track) => track.kind === 'video')?.config,
    )
    expect(configs.map((tag) => tag.body.subarray(5))).toEqual(
      records.map((record) => Buffer.from(record ?? [])),
    )
  })

  test('sound alone begins with any frame', async () => {
    const live = await LiveFixture.open()
    const { stream } = live.publish()
    stream.setTracks(MEDIA.tracks.filter((track) => track.kind === 'audio'))
    const reading = readAll(flvOf(stream, new AbortController().signal))
    for (const frame of MEDIA.frames.filter((one) => one.trackId !== PICTURE?.id).slice(0, 5))
      stream.write(frame)
    stream.end('ended')
    expect(tagsOf(await reading)).toHaveLength(6)
  })

  test('HEAD has the fields without a body, other methods are 405, and what nobody sends is 404', async () => {
    const live = await LiveFixture.open()
    live.publish()
    const signal = new AbortController().signal
    const request = (path: string, method: string) =>
      ask(live.packager.origin, path, {}, signal, method)
    expect(await request('/live/main.flv', 'HEAD')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'video/x-flv' },
      text: '',
    })
    expect((await request('/live/main.flv', 'POST')).status).toBe(405)
    const missing = await request('/live/other.flv', 'GET')
    expect([missing.status, JSON.parse(missing.text)]).toEqual([
      404,
      { code: 'stream-not-live', message: 'nobody is sending other' },
    ])
  })

  test('an edge passes on its parent’s, and gives the place back when the viewer leaves', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 1500)
    let asked = 0
    const replicas = createLiveReplicas({
      openTail: async () => undefined,
      fetchParent: (request) => {
        asked++
        return live.packager.origin.fetch(request)
      },
      clock: live.clock,
      log: silentLog,
      metrics: new Metrics(),
      idleMs: 10_000,
    })
    const watch = async (signal: AbortSignal) =>
      replicas.origin.fetch({
        method: 'GET',
        path: '/live/main.flv',
        query: '',
        headers: {},
        body: null,
        signal,
      })
    const viewers = Array.from({ length: 128 }, () => new AbortController())
    for (const { signal } of viewers) await watch(signal)
    expect(await watch(new AbortController().signal)).toMatchObject({ status: 503 })
    for (const viewer of viewers) viewer.abort()
    expect(await watch(new AbortController().signal)).toMatchObject({ status: 200 })
    expect(asked).toBe(129)
    replicas.close()
  })

  test.each([
    ['/live/main.flv', 'main'],
    ['/main.flv', 'main'],
    ['/live/a%20b.flv', 'a b'],
    ['/live/%.flv', undefined],
    ['/live/main/index.flv', undefined],
    ['/live/.flv', undefined],
  ])('%s names %s', (path, name) => {
    expect(readFlvAddress(path)).toBe(name)
  })
})
