import { systemClock } from '../../server/lib/clock.ts'
import { launchBrowser } from '../support/browser.ts'
import { startPageServer } from './page-server.ts'
import { atMost, list, median, report, type Row } from './report.ts'
import { frameWithPicture, installSight } from './sight.ts'

// A stream that somebody publishes already, from OBS for one, watched in Chromium beside what the browser itself takes for a
// film of the same server. Without an address it has nothing to watch.
// npm run bench -- watch http://127.0.0.1:8080 [stream] [seconds] [film]
const [, , server, stream = 'main', seconds = '60', film = 'sample.mp4'] = process.argv
const VISITS = 6
const PATIENCE_MS = 30_000
const SETTLE_MS = 3000
const FIRST_FRAME_MS = 1000

if (server === undefined) process.stdout.write('no address given: nothing is watched\n')
else report(await watch(new URL(server).origin))

async function watch(origin: string): Promise<readonly Row[]> {
  const browser = await launchBrowser()
  const pages = await startPageServer()
  const open = async (url: string) => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await installSight(page)
    const began = systemClock.now()
    await page.goto(url, { waitUntil: 'commit' })
    const frame = await frameWithPicture(page, PATIENCE_MS)
    const at = await frame?.evaluate(() => window.sight?.firstFrameAt)
    return { context, frame, firstMs: at === undefined ? Number.NaN : at - began }
  }
  const embed = `${origin}/embed/live/${stream}?autoplay=muted`
  const kinds = [
    { name: 'bare video of a film', url: pages.bareVideo(`${origin}/media/${film}`) },
    { name: 'embed page', url: embed },
    { name: 'plain hls.js', url: pages.plainHls(`${origin}/live/${stream}/index.m3u8`) },
  ]
  const firsts = new Map<string, number[]>(kinds.map(({ name }) => [name, []]))
  // In turns, so that what else the machine does hits all alike.
  for (let visit = 0; visit < VISITS; visit++)
    for (const { name, url } of kinds) {
      const { context, firstMs } = await open(url)
      firsts.get(name)?.push(firstMs)
      await context.close()
    }
  const rows = [...firsts].map(([name, ms]) =>
    atMost(`${name}: first frame, median of ${VISITS}`, FIRST_FRAME_MS, median(ms), 'ms', list(ms)),
  )
  const { frame } = await open(embed)
  await systemClock.sleep(SETTLE_MS)
  await frame?.evaluate(() => window.sight?.restart())
  await systemClock.sleep(Number(seconds) * 1000)
  const seen = await frame?.evaluate(() => ({
    frames: window.sight?.frames ?? 0,
    freezes: window.sight?.freezes ?? [],
  }))
  rows.push({
    figure: `embed page: freezes over 250 ms in ${seconds} s`,
    asked: '0',
    measured: seen ? `${list(seen.freezes) || 'none'}, ${seen.frames} pictures` : 'no picture',
    holds: seen !== undefined && seen.frames > 0 && seen.freezes.length === 0,
  })
  pages.close()
  await browser.close()
  return rows
}
