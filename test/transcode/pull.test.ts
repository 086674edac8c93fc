import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import { isOwnAddress } from '../../server/lib/own-address.ts'
import { openPulls, type Pulls } from '../../server/transcode/pull.ts'
import { startTestListener } from '../ingest/start-listener.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { LiveFixture } from '../live/live-fixture.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import { watchedFfmpeg } from './watched-ffmpeg.ts'

const MEDIA = await makeLiveMedia({ seconds: 8, gop: 30 })
const NO_PORTS = () => new Set<number>()

const opened: { close(): void | Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
})

/** Another server, which sends `main` for as long as a test needs. */
async function elsewhere() {
  const server = await startTestListener()
  opened.push(server)
  const publisher = { description: 'test', cut: () => {}, mayPublish: () => true }
  const stream = server.registry.publish('main', publisher)
  stream.setTracks(MEDIA.tracks)
  let at = 0
  const sending = systemClock.every(5, () => {
    const frame = MEDIA.frames[at % MEDIA.frames.length]
    const shiftMs = 8000 * Math.floor(at++ / MEDIA.frames.length)
    if (frame) stream.write({ ...frame, dts: frame.dts + shiftMs, pts: frame.pts + shiftMs })
  })
  opened.push({ close: () => sending[Symbol.dispose]() })
  return { ...server, stream, url: `rtmp://127.0.0.1:${server.port}/live/main` }
}

function pulling(
  url: string,
  options: { always?: boolean; clock?: FakeClock; ffmpeg?: { path: string } } = {},
) {
  const clock = options.clock ?? systemClock
  const registry = new StreamRegistry(clock, systemRandom)
  const always = options.always ?? false
  const { ffmpeg = { path: undefined } } = options
  const deps = { registry, ffmpeg, clock, log: silentLog }
  const pulls = openPulls([{ name: 'cam', url, always }], deps)
  opened.push(pulls)
  return { registry, pulls }
}

/** An RTSP server that wants a password (RFC 2326 §14, RFC 7617) and has nothing to send. */
async function passwordCamera() {
  let asked = ''
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      const request = bytes.toString('latin1')
      asked += request
      const [, sequence = ''] = /CSeq: *(\d+)/i.exec(request) ?? []
      const say = (status: string, more: string, body = '') =>
        socket.write(`RTSP/1.0 ${status}\r\nCSeq: ${sequence}\r\n${more}\r\n\r\n${body}`)
      if (request.startsWith('OPTIONS')) say('200 OK', 'Public: DESCRIBE, SETUP')
      else if (!/^Authorization:/im.test(request))
        say('401 Unauthorized', 'WWW-Authenticate: Basic realm="camera"')
      else if (request.startsWith('DESCRIBE'))
        say('200 OK', `Content-Type: application/sdp\r\nContent-Length: ${SDP.length}`, SDP)
      else say('503 Service Unavailable', 'Content-Length: 0')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  opened.push({ close: () => void server.close() })
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return { port, asked: () => asked }
}

const SDP =
  'v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:a\r\n'

/** `clock`: one that stands still, so that an attempt that a busy machine lets fail is tried again. */
async function untilState(pulls: Pulls, state: string, clock?: FakeClock) {
  for (;;) {
    const [report] = pulls.report()
    if (report?.state === state) return report
    if (report?.state === 'backing-off') await clock?.advance(30_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('pulling on demand', () => {
  test('nothing is fetched before somebody wants it; then the stream is here, not encoded again', async () => {
    const { url, stream } = await elsewhere()
    const ffmpeg = await watchedFfmpeg()
    const { registry, pulls } = pulling(url, { ffmpeg })
    pulls.begin(NO_PORTS)
    const readers = stream.readerCount
    expect([pulls.wanted('other'), pulls.hold('other')]).toEqual([false, undefined])
    expect(pulls.report()).toMatchObject([{ name: 'cam', state: 'idle' }])
    expect(stream.readerCount).toBe(readers)
    using _hold = pulls.hold('cam')
    await untilState(pulls, 'live')
    expect(
      registry.get('cam')?.tracks.map(({ codec, config }) => [codec, Buffer.from(config)]),
    ).toEqual(MEDIA.tracks.map(({ codec, config }) => [codec, Buffer.from(config)]))
    expect(pulls.report()).toMatchObject([{ state: 'live', trouble: undefined }])
    expect(await ffmpeg.commandLines()).toContain('pipe:0')
    expect(await ffmpeg.commandLines()).not.toContain('/live/main')
  })

  test('a camera is given the password of its address, and asked for one connection', async () => {
    const camera = await passwordCamera()
    const ffmpeg = await watchedFfmpeg()
    const { pulls } = pulling(`rtsp://me:p%40ss@127.0.0.1:${camera.port}/a'b`, { ffmpeg })
    pulls.begin(NO_PORTS)
    using _hold = pulls.hold('cam')
    while (!camera.asked().includes('Transport:'))
      await new Promise((resolve) => setImmediate(resolve))
    const { trouble } = await untilState(pulls, 'backing-off')
    expect(camera.asked()).toContain(`/a'b RTSP/1.0`)
    expect(camera.asked()).toContain(Buffer.from('me:p@ss').toString('base64'))
    expect(camera.asked()).toContain('Transport: RTP/AVP/TCP')
    for (const text of [trouble, await ffmpeg.commandLines()]) expect(text).not.toContain('p%40ss')
  })

  test('it ends 30 s after the last viewer, and not while there is one', async () => {
    const clock = new FakeClock()
    const { url } = await elsewhere()
    const { registry, pulls } = pulling(url, { clock })
    pulls.begin(NO_PORTS)
    const hold = pulls.hold('cam')
    await untilState(pulls, 'live', clock)
    await clock.advance(60_000)
    expect(pulls.report()[0]?.state).toBe('live')
    hold?.[Symbol.dispose]()
    await clock.advance(29_000)
    expect(pulls.report()[0]?.state).toBe('live')
    await clock.advance(2000)
    expect(pulls.report()[0]?.state).toBe('idle')
    expect(registry.get('cam')).toBeUndefined()
  })

  test('what is always fetched begins by itself, and what fails is tried again', async () => {
    const clock = new FakeClock()
    const { pulls } = pulling('rtmp://127.0.0.1:1/live/main?key=secret', { always: true, clock })
    pulls.begin(NO_PORTS)
    const { trouble, from } = await untilState(pulls, 'backing-off')
    expect(from).toBe('rtmp://127.0.0.1:1')
    expect(trouble).not.toContain('secret')
    expect(trouble).toContain('pull rtmp://127.0.0.1:1: Connection refused')
    await clock.advance(1000)
    await untilState(pulls, 'connecting')
    await untilState(pulls, 'backing-off')
  })

  test('an address of this server itself is not fetched', async () => {
    const { url, port, stream } = await elsewhere()
    const { pulls } = pulling(url, { always: true })
    const readers = stream.readerCount
    pulls.begin(() => new Set([port]))
    const { trouble } = await untilState(pulls, 'backing-off')
    expect(trouble).toContain('server’s own')
    expect(stream.readerCount).toBe(readers)
  })

  test('a publisher who is there keeps the stream', async () => {
    const { url } = await elsewhere()
    const { registry, pulls } = pulling(url)
    const publisher = { description: 'test', cut: () => {}, mayPublish: () => true }
    const own = registry.publish('cam', publisher)
    pulls.begin(NO_PORTS)
    pulls.wanted('cam')
    const { trouble } = await untilState(pulls, 'backing-off')
    expect(trouble).toContain('somebody else sends cam')
    expect([registry.get('cam'), own.ended]).toEqual([own, undefined])
  })

  test.each([
    ['rtmp://127.0.0.1/live/a', true],
    ['rtmp://localhost:1935/live/a', true],
    ['rtmp://[::1]:1935/live/a', true],
    ['http://0.0.0.0:8080/live/a/index.m3u8', true],
    ['rtmp://127.0.0.1:1936/live/a', false],
    ['rtmp://192.0.2.1/live/a', false],
  ])('%s is one of its own: %s', async (url, own) => {
    expect(await isOwnAddress(url, new Set([1935, 8080]))).toBe(own)
  })
})

describe('who watches a stream that begins on demand', () => {
  /** A demand for `cam` that publishes it when it is wanted. */
  function demandOf(begin: () => void) {
    let holds = 0
    const wanted = (name: string) => {
      if (name === 'cam') begin()
      return name === 'cam'
    }
    const hold = (name: string) => {
      if (!wanted(name)) return undefined
      holds++
      return { [Symbol.dispose]: () => void holds-- }
    }
    return { demand: { wanted, hold }, holds: () => holds }
  }

  test('is held by HLS until the stream is there', async () => {
    let begun = false
    const { demand } = demandOf(() => {
      if (begun) return
      begun = true
      queueMicrotask(() => void live.publish('cam').send(MEDIA, 0, 3000))
    })
    const live = await LiveFixture.open({ demand })
    expect((await live.get('/live/cam/index.m3u8')).status).toBe(200)
    expect((await live.get('/live/other/index.m3u8')).status).toBe(404)
  })

  test('holds it over RTMP for as long as he plays', async () => {
    let begun = false
    const { demand, holds } = demandOf(() => {
      if (begun) return
      begun = true
      queueMicrotask(() => {
        const publisher = { description: 'test', cut: () => {}, mayPublish: () => true }
        const stream = server.registry.publish('cam', publisher)
        stream.setTracks(MEDIA.tracks)
        for (const frame of MEDIA.frames.slice(0, 30)) stream.write(frame)
      })
    })
    const server = await startTestListener({ demand })
    opened.push(server)
    const player = await RtmpClient.playing(server.port, 'cam')
    await player.until(() => player.media().length > 10)
    expect(holds()).toBe(1)
    player.socket.destroy()
    while (holds() > 0) await new Promise((resolve) => setImmediate(resolve))
  })
})
