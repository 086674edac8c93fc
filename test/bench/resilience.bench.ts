import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContext, Frame } from 'playwright-core'
import { type ReadMedia, readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { listen } from '../../server/lib/listen.ts'
import { launchBrowser } from '../support/browser.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { type ClockPublisher, publishClock } from './clock-publisher.ts'
import { startPageServer } from './page-server.ts'
import { atMost, report, type Row } from './report.ts'
import { frameWithPicture, installSight } from './sight.ts'

// A publisher that is killed, falls silent or is relieved by a backup, and a server that is restarted, while two pages watch.
// npm run bench -- resilience
const AWAY_MS = 5000
/** Long enough for the slate to be made. */
const SETTLE_MS = 9000
const BACK_MS = 3000
/** As OBS does it (its first pause). */
const RECONNECT_MS = 2000
const PATIENCE_MS = 30_000

const browser = await launchBrowser()
const site = await startPageServer()
const rows: Row[] = []
async function benchKilled(): Promise<void> {
  await using server = await startServer()
  const address = `${server.rtmp}/${server.streamKey}`
  const first = publishClock(address, 'KEYINT=1')
  const viewers = await openViewers(browser, server)
  await systemClock.sleep(SETTLE_MS)
  await first.stop()
  await systemClock.sleep(AWAY_MS - 1000)
  const shown = await Promise.all(viewers.map((viewer) => viewer.picturesIn(1000)))
  const state = await stateOf(server)
  const asked = systemClock.now()
  const second = publishClock(address, 'KEYINT=1')
  for (const [i, viewer] of viewers.entries()) {
    rows.push({
      figure: `publisher killed for 5 s, ${viewer.name}: in the gap`,
      asked: 'the slate moves',
      measured: `${state}, ${shown[i]} pictures/s`,
      holds: state === 'slate' && (shown[i] ?? 0) > 10,
    })
  }
  await playAgain(viewers, 'publisher killed for 5 s', server, asked)
  await closeAll(viewers, second)
}

async function benchHalfOpen(): Promise<void> {
  await using server = await startServer()
  const wire = await startWire(Number(new URL(server.rtmp.replace('rtmp:', 'http:')).port))
  const first = publishClock(`rtmp://127.0.0.1:${wire.port}/live/${server.streamKey}`, 'KEYINT=1')
  const viewers = await openViewers(browser, server)
  await systemClock.sleep(SETTLE_MS)
  wire.stall()
  await systemClock.sleep(500)
  const asked = systemClock.monotonic()
  const port = Number(new URL(server.rtmp.replace('rtmp:', 'http:')).port)
  const accepted = await RtmpClient.publishing(port, server.streamKey)
  const ms = systemClock.monotonic() - asked
  const [status] = accepted.statuses()
  rows.push({
    figure: 'half-open publisher: a second publish is accepted',
    asked: '≤ 250 ms',
    measured: `${status} after ${Math.round(ms)} ms`,
    holds: ms <= 250 && status === 'NetStream.Publish.Start',
  })
  accepted.close()
  const launched = systemClock.now()
  const second = publishClock(`${server.rtmp}/${server.streamKey}`, 'KEYINT=1')
  await playAgain(viewers, 'half-open publisher', server, launched)
  await closeAll(viewers, first, second)
  wire.close()
}

async function benchRestart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const data = await mkdtemp(join(tmpdir(), 'nearcast-resilience-'))
  const env = {
    NEARCAST_HTTP_PORT: String(await freePort()),
    NEARCAST_RTMP_PORT: String(await freePort()),
  }
  const first = await startServer({ data, env })
  const address = `${first.rtmp}/${first.streamKey}`
  const publisher = publishLikeObs(address)
  // hls.js's defaults give a playlist up after one second of refused connections, so only our own page is asked to play on.
  const viewers = [await openWatch(browser, first)]
  await systemClock.sleep(SETTLE_MS)
  const before = await mediaOf(first)
  const since = systemClock.now()
  if (signal === 'SIGKILL') process.kill(first.pid, signal)
  await first.stop({ keep: true })
  const madeSince = systemClock.now()
  const second = await startServer({ data, env })
  const upMs = systemClock.now() - since
  await playAgain(viewers, signal, second, madeSince)
  const after = await mediaOf(second)
  const wrong = goneBack(before, after)
  rows.push({
    figure: `${signal}: numbers and dates go on, without an end`,
    asked: 'nothing goes back',
    measured: `${wrong.join('; ') || 'so it is'} (${Math.round(upMs)} ms from the signal to ready)`,
    holds: wrong.length === 0,
  })
  await closeAll(viewers, publisher)
  await second.stop()
  await rm(data, { recursive: true, force: true })
}

class Viewer {
  readonly name: string
  readonly #context: BrowserContext
  readonly #frame: Frame
  readonly #origin: number

  private constructor(name: string, context: BrowserContext, frame: Frame, origin: number) {
    this.name = name
    this.#context = context
    this.#frame = frame
    this.#origin = origin
  }

  static async open(on: Browser, name: string, url: string): Promise<Viewer> {
    const context = await on.newContext()
    const page = await context.newPage()
    await installSight(page)
    await page.goto(url, { waitUntil: 'commit' })
    const frame = await frameWithPicture(page, PATIENCE_MS)
    if (!frame) throw new Error(`${name}: no picture`)
    return new Viewer(name, context, frame, await frame.evaluate(() => performance.timeOrigin))
  }

  async picturesIn(ms: number): Promise<number> {
    await this.#frame.evaluate(() => window.sight?.restart())
    await systemClock.sleep(ms)
    return await this.#frame.evaluate(() => window.sight?.frames ?? 0)
  }

  /** When the first picture that was made after `madeSince` was on screen. */
  firstPicture(madeSince: number): Promise<number> {
    return this.#frame.evaluate(
      ([from, patience]) =>
        new Promise<number>((resolve) => {
          const until = Date.now() + patience
          const look = () => {
            const stamp = window.sight?.read()
            const age = stamp === undefined ? -1 : (stamp - (from % 2 ** 28) + 2 ** 28) % 2 ** 28
            if (age >= 0 && age < 2 ** 27) resolve(Date.now())
            else if (Date.now() > until) resolve(Number.NaN)
            else setTimeout(look, 20)
          }
          look()
        }),
      [madeSince, PATIENCE_MS] as const,
    )
  }

  async rowOf(what: string, ms: number): Promise<Row> {
    const { freezes, origin } = await this.#frame.evaluate(() => ({
      freezes: window.sight?.freezes ?? [],
      origin: performance.timeOrigin,
    }))
    const longest = Math.max(0, ...freezes)
    const reloaded = origin === this.#origin ? 'not reloaded' : 'reloaded'
    const row = atMost(
      `${what}, ${this.name}: plays again`,
      BACK_MS,
      ms,
      'ms',
      `${reloaded}, longest pause ${longest} ms`,
    )
    return { ...row, holds: row.holds && origin === this.#origin }
  }

  close(): Promise<void> {
    return this.#context.close()
  }
}

/** From the publisher's first picture at the server: an ffmpeg that is slow to begin is not the server's. */
async function playAgain(
  viewers: readonly Viewer[],
  what: string,
  server: TestServer,
  madeSince: number,
): Promise<void> {
  const [since, shown] = await Promise.all([
    untilLive(server, madeSince),
    Promise.all(viewers.map((viewer) => viewer.firstPicture(madeSince))),
  ])
  for (const [i, viewer] of viewers.entries())
    rows.push(await viewer.rowOf(what, (shown[i] ?? Number.NaN) - since))
}

/** Our own page, and one of plain hls.js with its defaults. */
function openViewers(on: Browser, server: TestServer): Promise<readonly Viewer[]> {
  const plain = site.plainHls(`${server.http}/live/main/index.m3u8`)
  return Promise.all([openWatch(on, server), Viewer.open(on, 'plain hls.js', plain)])
}

function openWatch(on: Browser, server: TestServer): Promise<Viewer> {
  return Viewer.open(on, 'watch page', `${server.http}/watch/live/main`)
}

async function closeAll(
  viewers: readonly Viewer[],
  ...publishers: readonly ClockPublisher[]
): Promise<void> {
  await Promise.all(publishers.map((one) => one.stop()))
  await Promise.all(viewers.map((viewer) => viewer.close()))
}

/** Comes back two seconds after each loss. */
function publishLikeObs(address: string): ClockPublisher {
  let current = publishClock(address, 'KEYINT=1')
  let stopped = false
  const again = async () => {
    while (!stopped) {
      await current.gone
      await current.stop()
      await systemClock.sleep(RECONNECT_MS)
      if (!stopped) current = publishClock(address, 'KEYINT=1')
    }
  }
  const running = again()
  return {
    gone: running,
    stop: async () => {
      stopped = true
      await current.stop()
      await running
    },
  }
}

interface Wire {
  readonly port: number
  /** Bytes are taken no more, and nothing is closed: a cable that was pulled. */
  stall(): void
  close(): void
}

async function startWire(to: number): Promise<Wire> {
  const sockets: Socket[] = []
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    sockets.push(near, far)
    for (const socket of [near, far]) socket.on('error', () => {})
    near.pipe(far)
    far.pipe(near)
  })
  const port = await listen(server, { name: 'wire', host: '127.0.0.1', port: 0 })
  return {
    port,
    stall: () => {
      for (const socket of sockets) socket.unpipe().pause()
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listen(server, { name: 'port', host: '127.0.0.1', port: 0 })
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function stateOf(server: TestServer): Promise<string> {
  return (await streamOf(server)).state
}

async function streamOf(server: TestServer): Promise<{ state: string; startedAt: number }> {
  const { body } = await server.api('GET', '/streams/main')
  const known = typeof body === 'object' && body !== null ? body : {}
  return {
    state: 'state' in known ? String(known.state) : 'unknown',
    startedAt: 'startedAt' in known ? Number(known.startedAt) : 0,
  }
}

/** When a publish that began after `asked` brought its first picture: how long ffmpeg takes to begin is not the server's. */
async function untilLive(server: TestServer, asked: number): Promise<number> {
  const until = systemClock.now() + PATIENCE_MS
  while (systemClock.now() < until) {
    const { state, startedAt } = await streamOf(server)
    if (state === 'live' && startedAt >= asked) return systemClock.now()
    await systemClock.sleep(20)
  }
  return Number.NaN
}

async function mediaOf(server: TestServer): Promise<ReadMedia> {
  const base = `${server.http}/live/main/`
  const master = await (await fetch(`${base}index.m3u8`)).text()
  const [uri] = /^video-t\d+\.m3u8$/m.exec(master) ?? []
  const playlist = readPlaylist(await (await fetch(`${base}${uri}`)).text())
  if (playlist.kind !== 'media') throw new Error(`${uri} is no media playlist`)
  return playlist
}

function goneBack(before: ReadMedia, after: ReadMedia): readonly string[] {
  const [old, young] = [before.segments.at(-1), after.segments.at(-1)]
  const wrong = [
    after.endList && 'ENDLIST',
    after.mediaSequence < before.mediaSequence && 'MEDIA-SEQUENCE went back',
    after.discontinuitySequence < before.discontinuitySequence &&
      'DISCONTINUITY-SEQUENCE went back',
    (young?.sequence ?? 0) < (old?.sequence ?? 0) && 'the last number went back',
    (young?.startedAt ?? 0) < (old?.startedAt ?? 0) && 'dates went back',
  ]
  return wrong.filter((one) => one !== false)
}

try {
  await benchKilled()
  await benchHalfOpen()
  await benchRestart('SIGTERM')
  await benchRestart('SIGKILL')
} finally {
  site.close()
  await browser.close()
}
report(rows)
