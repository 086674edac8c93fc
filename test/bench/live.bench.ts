import type { Browser, BrowserContext, Frame } from 'playwright-core'
import { systemClock } from '../../server/lib/clock.ts'
import { launchBrowser } from '../support/browser.ts'
import { startDelayProxy } from '../support/delay-proxy.ts'
import { startServer } from '../support/server.ts'
import { type ENCODERS, publishClock } from './clock-publisher.ts'
import { type PageServer, startPageServer } from './page-server.ts'
import { atMost, list, median, quantile, report, type Row } from './report.ts'
import { frameWithPicture, installSight } from './sight.ts'

// A source whose picture carries the clock, published over RTMP, watched in Chromium from another origin.
// npm run bench -- live [seconds] [off | auto | heights of rungs, such as 480,360]
const WATCH_SECONDS = Number(process.argv[2] ?? 60)
/** Long enough to say that it plays. */
const PLAYS_SECONDS = Math.min(20, WATCH_SECONDS)
const LADDER = process.argv[3] ?? 'off'
const VISITS = 5
const ONE_WAY_MS = 50
const WARM_UP_MS = 6000
const SETTLE_MS = 3000
const FIRST_FRAME_MS = 1000
const LATENCY_MS = 2000

interface Watch {
  readonly name: string
  readonly page: string
  /** Milliseconds asked for; none for a stream that is only asked to play. */
  readonly limits: { readonly firstMs: number; readonly latencyMs: number } | undefined
}

const browser = await launchBrowser()
const pages = await startPageServer()
const rows: Row[] = []
try {
  await benchSource('KEYINT=1')
  await benchSource('untouched OBS')
} finally {
  pages.close()
  await browser.close()
}
report(rows)

async function benchSource(encoder: keyof typeof ENCODERS): Promise<void> {
  const rungs = LADDER.split(',').map((height) => `{ height: ${height} }`)
  const ladder = /^\d/.test(LADDER) ? `[${rungs.join(', ')}]` : LADDER
  await using origin = await startServer({ config: `live: { ladder: ${ladder} }\n` })
  const wire = await startDelayProxy(Number(new URL(origin.ready.origin ?? '').port), ONE_WAY_MS)
  await using edge = await startServer({
    env: {
      NEARCAST_ROLE: 'edge',
      NEARCAST_PARENT: `http://127.0.0.1:${wire.port}`,
      NEARCAST_PARENT_TOKEN: origin.ready.edgeToken ?? '',
    },
  })
  const publisher = publishClock(`${origin.rtmp}/${origin.streamKey}`, encoder)
  await systemClock.sleep(encoder === 'KEYINT=1' ? WARM_UP_MS : 3 * WARM_UP_MS)
  const asked = { firstMs: FIRST_FRAME_MS, latencyMs: LATENCY_MS }
  const limits = encoder === 'KEYINT=1' ? asked : undefined
  for (const watch of watches(pages, origin.http, edge.http, encoder, limits))
    rows.push(...(await benchWatch(browser, watch)))
  const { body } = await origin.api('GET', '/streams')
  process.stdout.write(
    `${JSON.stringify(body, ['streams', 'ladder', 'state', 'reason', 'rungs', 'id', 'delayMs', 'restarts'])}\n`,
  )
  await publisher.stop()
  await wire.close()
}

function watches(
  from: PageServer,
  origin: string,
  edge: string,
  encoder: string,
  limits: Watch['limits'],
): Watch[] {
  const embed = (server: string) => from.framed(`${server}/embed/live/main`)
  const playlist = (server: string) => from.plainHls(`${server}/live/main/index.m3u8`)
  return [
    { name: `${encoder}, embed page`, page: embed(origin), limits },
    { name: `${encoder}, plain hls.js`, page: playlist(origin), limits },
    { name: `${encoder}, embed page, edge 100 ms away`, page: embed(edge), limits },
  ]
}

async function benchWatch(on: Browser, { name, page, limits }: Watch): Promise<Row[]> {
  const firsts: number[] = []
  for (let visit = 1; visit < VISITS; visit++) {
    const { context, firstMs } = await open(on, page)
    firsts.push(firstMs)
    await context.close()
  }
  const { context, frame, firstMs } = await open(on, page)
  firsts.push(firstMs)
  if (frame === undefined) {
    await context.close()
    return [{ figure: name, asked: 'plays', measured: 'no picture in 30 s', holds: false }]
  }
  const seconds = limits ? WATCH_SECONDS : PLAYS_SECONDS
  await systemClock.sleep(SETTLE_MS)
  await frame.evaluate(() => window.sight?.restart())
  await systemClock.sleep(seconds * 1000)
  const { ages, freezes, frames } = await frame.evaluate(() => ({
    ages: window.sight?.ages ?? [],
    freezes: window.sight?.freezes ?? [],
    frames: window.sight?.frames ?? 0,
  }))
  await context.close()
  const visits = `visits ${list(firsts)}`
  const spread = `p95 ${Math.round(quantile(ages, 0.95))}, ${ages.length} read`
  return [
    rowOf(`${name}: first frame, median of ${VISITS}`, limits?.firstMs, median(firsts), visits),
    rowOf(`${name}: glass to glass, median`, limits?.latencyMs, median(ages), spread),
    {
      figure: `${name}: freezes over 250 ms in ${seconds} s`,
      asked: limits ? '0' : 'plays',
      measured: `${freezes.length}${freezes.length > 0 ? ` (${list(freezes)} ms)` : ''}, ${Math.round(frames / seconds)} pictures/s`,
      holds: frames > 0 && (limits === undefined || freezes.length === 0),
    },
  ]
}

function rowOf(figure: string, limit: number | undefined, value: number, more: string): Row {
  if (limit !== undefined) return atMost(figure, limit, value, 'ms', more)
  const measured = `${Math.round(value)} ms (${more})`
  return { figure, asked: 'plays', measured, holds: Number.isFinite(value) }
}

interface Visit {
  readonly context: BrowserContext
  readonly frame: Frame | undefined
  readonly firstMs: number
}

/** A visit with empty caches; the time runs from the page's address to the first picture. */
async function open(on: Browser, url: string): Promise<Visit> {
  const context = await on.newContext()
  const page = await context.newPage()
  await installSight(page)
  const began = systemClock.now()
  await page.goto(url, { waitUntil: 'commit' })
  const frame = await frameWithPicture(page, 30_000)
  const at = await frame?.evaluate(() => window.sight?.firstFrameAt)
  return { context, frame, firstMs: (at ?? Number.NaN) - began }
}
