import { describe, expect, test } from 'vitest'
import { deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { createLiveReplicas, type LiveReplicas } from '../../server/live/replicas.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { type Answer, answered, ask, LiveFixture, readMedia } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 20, gop: 30 })

/** An edge whose tails a test can count, cut and hold back. */
class Edge {
  readonly replicas: LiveReplicas
  opened = 0
  /** Came over tails. */
  bytes = 0
  readonly kinds: string[] = []
  broken = false
  /** Bytes come no further while this is pending. */
  stalled: Promise<void> | undefined
  stallsAt = /^$/
  readonly #cuts = new Set<AbortController>()

  constructor(live: LiveFixture, idleMs = 10_000) {
    this.replicas = createLiveReplicas({
      openTail: async (name, signal) => {
        this.opened++
        if (this.broken) throw new Error('no way to the parent')
        const cut = new AbortController()
        this.#cuts.add(cut)
        const tail = live.packager.tail(name, AbortSignal.any([signal, cut.signal]))
        return tail && splitUp(this.#stalling(tail))
      },
      clock: live.clock,
      log: silentLog,
      metrics: new Metrics(),
      idleMs,
    })
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return ask(this.replicas.origin, path, headers)
  }

  async *#stalling(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      this.bytes += chunk.length
      const text = Buffer.from(chunk).toString('latin1', 8, 200)
      const [, kind] = /^\{"kind":"(\w+)"/.exec(text) ?? []
      if (kind !== undefined) this.kinds.push(kind)
      yield chunk
      if (this.stallsAt.test(text)) await this.stalled
    }
  }

  cut(): void {
    for (const tail of this.#cuts) tail.abort()
    this.#cuts.clear()
  }
}

/** Bytes come through a network in other pieces than they were sent. */
async function* splitUp(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    yield chunk.subarray(0, 5)
    for (let at = 5; at < chunk.length; at += 30_000) yield chunk.subarray(at, at + 30_000)
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

async function expectSame(live: LiveFixture, edge: Edge): Promise<void> {
  const main = await live.get('/live/main/index.m3u8')
  const files = new Set(['index.m3u8', ...(main.text.match(/\S+-t\d+\.m3u8/g) ?? [])])
  for (const file of [...files].map((name) => name.replace(/^.*"/, ''))) {
    const [origin, copy] = await Promise.all([
      live.get(`/live/main/${file}`),
      edge.get(`/live/main/${file}`),
    ])
    expect(copy.headers).toEqual(origin.headers)
    expect(copy.text).toBe(origin.text)
    if (file === 'index.m3u8') continue
    const { segments } = readMedia(origin)
    for (const uri of segments.flatMap((s) => [s.map, s.uri, s.parts.at(-1)?.uri])) {
      if (uri === undefined) continue
      const bytes = await Promise.all([
        live.get(`/live/main/${uri}`),
        edge.get(`/live/main/${uri}`),
      ])
      expect(bytes[1].status).toBe(bytes[0].status)
      expect(bytes[1].headers).toEqual(bytes[0].headers)
      expect(bytes[1].body.equals(bytes[0].body)).toBe(true)
    }
  }
}

describe('a replica', () => {
  test('answers byte for byte what its origin answers, from the first request on', async () => {
    const live = await LiveFixture.open({ windowSeconds: 6 })
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 9500)
    const edge = new Edge(live)
    await expectSame(live, edge)
    await publisher.send(MEDIA, 9500, 14_300)
    await settle()
    await expectSame(live, edge)
    publisher.end('lost')
    await live.publish().send(MEDIA, 0, 2000)
    await settle()
    await expectSame(live, edge)
    expect(edge.opened).toBe(1)
  })

  test('holds a blocking reload until the part comes over the tail', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 8300)
    const edge = new Edge(live)
    await edge.get('/live/main/index.m3u8')
    const path = '/live/main/video-t1.m3u8?_HLS_msn=9&_HLS_part=1'
    const held = Promise.all([live.get(path), edge.get(path)])
    await publisher.send(MEDIA, 8300, 8440)
    const [origin, copy] = await held
    expect(copy.text).toBe(origin.text)
    const early = await edge.get('/live/main/video-t1.m3u8?_HLS_msn=99')
    expect(early.status).toBe(400)
  })

  test('answers its first playlist when the newest segments are there, not the whole window', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 19_500)
    const edge = new Edge(live)
    const held = deferred()
    edge.stalled = held.promise
    edge.stallsAt = /"kind":"fill"/
    const playlist = await edge.get('/live/main/video-t1.m3u8')
    const window = await live.get('/live/main/video-t1.m3u8')
    expect(playlist.text).toBe(window.text)
    const { segments } = readMedia(playlist)
    const [first, second] = segments.filter(({ gap }) => !gap)
    let windowBytes = 0
    for (const { uri } of segments)
      windowBytes += uri === undefined ? 0 : (await live.get(`/live/main/${uri}`)).body.length
    expect(edge.bytes).toBeLessThan(windowBytes / 3)
    // The newest can be had at once, the oldest when its media is there; what happens meanwhile overtakes that.
    const newest = segments.findLast(({ uri }) => uri !== undefined)
    expect((await edge.get(`/live/main/${newest?.uri}`)).status).toBe(200)
    const old = edge.get(`/live/main/${first?.uri}`)
    expect(await answered(old)).toBeUndefined()
    await publisher.send(MEDIA, 19_500, 19_800)
    held.resolve()
    const kinds = edge.kinds.length
    const next = await edge.get('/live/main/video-t1.m3u8?_HLS_msn=20&_HLS_part=2')
    expect(readMedia(next).segments.at(-1)?.parts).toHaveLength(3)
    expect((await old).body.equals((await live.get(`/live/main/${first?.uri}`)).body)).toBe(true)
    expect((await edge.get(`/live/main/${second?.uri}`)).status).toBe(200)
    expect(edge.kinds.slice(kinds, kinds + 2)).toEqual(['part', 'part'])
    await settle()
    await expectSame(live, edge)
  })

  test('whose tail breaks before all older media is there gets the rest from the next one', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 12_500)
    const edge = new Edge(live)
    const held = deferred()
    edge.stalled = held.promise
    edge.stallsAt = /"kind":"fill"/
    await edge.get('/live/main/index.m3u8')
    edge.cut()
    held.resolve()
    await settle()
    await live.clock.advance(500)
    await publisher.send(MEDIA, 12_500, 14_000)
    await settle()
    expect(edge.opened).toBe(2)
    await expectSame(live, edge)
  })

  test('opens one tail for all viewers of a stream, and closes it when they have gone', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 3000)
    const edge = new Edge(live, 10_000)
    await Promise.all(Array.from({ length: 50 }, () => edge.get('/live/main/index.m3u8')))
    expect(edge.opened).toBe(1)
    await publisher.send(MEDIA, 3000, 20_000)
    await settle()
    await edge.get('/live/main/index.m3u8')
    expect(edge.opened).toBe(2)
  })

  test('whose tail breaks opens it again, and those who wait get what they wait for', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 8300)
    const edge = new Edge(live)
    await edge.get('/live/main/index.m3u8')
    const held = edge.get('/live/main/video-t12.m3u8?_HLS_msn=10')
    await settle()
    edge.cut()
    await settle()
    edge.broken = true
    await live.clock.advance(500)
    edge.broken = false
    await publisher.send(MEDIA, 8300, 12_000)
    await settle()
    expect(edge.opened).toBeGreaterThan(2)
    expect((await held).status).toBe(200)
    await expectSame(live, edge)
  })

  test('that was cut off for longer than the window goes on with what the window holds now', async () => {
    const live = await LiveFixture.open({ windowSeconds: 4 })
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 8300)
    const edge = new Edge(live, 60_000)
    await edge.get('/live/main/index.m3u8')
    edge.broken = true
    edge.cut()
    await publisher.send(MEDIA, 8300, 19_500)
    edge.broken = false
    await live.clock.advance(5000)
    await settle()
    await expectSame(live, edge)
  })

  test('says nothing of a segment before its first part is there', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 8900)
    const edge = new Edge(live)
    await edge.get('/live/main/index.m3u8')
    await settle()
    const stall = deferred()
    edge.stalled = stall.promise
    edge.stallsAt = /"kind":"segment"/
    const held = edge.get('/live/main/video-t1.m3u8?_HLS_msn=9&_HLS_part=9')
    await publisher.send(MEDIA, 8900, 9300)
    await settle()
    expect(await answered(held)).toBeUndefined()
    const audio = await edge.get('/live/main/audio-t1.m3u8')
    expect(audio.text).toContain('LAST-MSN=9,LAST-PART=4')
    stall.resolve()
    edge.stallsAt = /^$/
    expect(readMedia(await held).segments.at(-1)?.parts).toHaveLength(1)
    await settle()
    await expectSame(live, edge)
  })

  test('says 404 of a stream nobody sends, and asks again a second later', async () => {
    const live = await LiveFixture.open()
    const edge = new Edge(live)
    const answer = await edge.get('/live/main/index.m3u8')
    expect(answer.status).toBe(404)
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'stream-not-live' })
    await edge.get('/live/main/index.m3u8')
    expect(edge.opened).toBe(1)
    await live.publish().send(MEDIA, 0, 1000)
    await live.clock.advance(100)
    expect((await edge.get('/live/main/index.m3u8')).status).toBe(200)
  })

  test('says 502 while the parent can not be asked', async () => {
    const live = await LiveFixture.open()
    const edge = new Edge(live)
    edge.broken = true
    const answer = await edge.get('/live/main/index.m3u8')
    expect(answer.status).toBe(502)
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.text).not.toContain('no way to the parent')
    edge.broken = false
    await live.publish().send(MEDIA, 0, 1000)
    expect((await edge.get('/live/main/index.m3u8')).status).toBe(200)
  })

  test('ends when the stream ends', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    await publisher.send(MEDIA, 0, 5000)
    const edge = new Edge(live)
    await edge.get('/live/main/index.m3u8')
    publisher.end()
    live.packager.end('main')
    await settle()
    expect(readMedia(await edge.get('/live/main/video-t1.m3u8')).endList).toBe(true)
  })
})

test('a tail that is not read ends instead of growing', async () => {
  const live = await LiveFixture.open()
  const publisher = live.publish()
  const data = Buffer.alloc(200_000)
  const fat = {
    ...MEDIA,
    frames: MEDIA.frames.map((frame) => ({ ...frame, data })),
  }
  await publisher.send(fat, 0, 1000)
  const tail = live.packager.tail('main', new AbortController().signal)
  const reader = tail?.[Symbol.asyncIterator]()
  await reader?.next()
  await publisher.send(fat, 1000, 6000)
  const readAll = async () => {
    while (!(await reader?.next())?.done);
  }
  await expect(readAll()).rejects.toThrow('limit-exceeded')
})
