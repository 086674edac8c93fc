import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Page, Route } from 'playwright-core'
import type {} from '../../player/element/nearcast-player.ts'
import { closeBrowserAfterAll, openPage } from '../support/browser.ts'
import { publishPicture } from '../support/publish-picture.ts'
import { startServer } from '../support/server.ts'
import { type PlayerServer, startPlayerServer } from './player-server.ts'

const FILM = '/vod/film.mp4/index.m3u8'
const HLS_JS = '**/hls.*.js'
let server: PlayerServer
closeBrowserAfterAll()
beforeAll(async () => {
  server = await startPlayerServer()
})
afterAll(() => server.close())
beforeEach(() => {
  server.answers.clear()
  server.asked.length = 0
})

describe('the first picture', () => {
  it('of a film is there before hls.js, which goes on with it to the end', async () => {
    const { page } = await openPage('about:blank')
    const held = hold(page)
    await page.goto(`${server.url}/embed/vod/film.mp4?autoplay=muted`)
    await untilTime(page, 1)
    await (await held).continue()
    await page.locator('nearcast-player[data-state="ended"]').waitFor({ timeout: 60_000 })
    expect(await ranges(page)).toHaveLength(1)
    const media = server.asked.filter((path) => path.endsWith('.m4s'))
    expect(media.filter((path) => path.endsWith('s0.m4s'))).toHaveLength(1)
    expect(server.asked.filter((path) => path === FILM)).toHaveLength(1)
    await page.context().close()
  })

  it('of a film is where it was asked for, and seeking works after it as before', async () => {
    const { page } = await openPage('about:blank')
    const held = hold(page)
    await page.goto(`${server.url}/embed/vod/film.mp4?autoplay=muted&t=5`)
    await untilTime(page, 5)
    expect(server.asked.some((path) => path.endsWith('s0.m4s'))).toBe(false)
    await page.evaluate(() => document.querySelector('nearcast-player')?.pause())
    await (await held).continue()
    await page.evaluate(() => {
      const player = document.querySelector('nearcast-player')
      if (player) player.currentTime = 1
      player?.play()
    })
    await untilTime(page, 1.2)
    await page.context().close()
  })

  it('is not waited for by a viewer who goes elsewhere before it is there', async () => {
    const { page } = await openPage('about:blank')
    await page.clock.install()
    await page.route('**/s0.m4s', () => {}, { times: 1 })
    await page.goto(`${server.url}/embed/vod/film.mp4?autoplay=muted`)
    await page.waitForFunction(() => document.querySelector('nearcast-player')?.media.readyState)
    // By the clock of the page no time passes, so nothing but the seek can be the reason.
    await page.clock.pauseAt(Date.now() + 1000)
    const asked = page.waitForRequest('**/s2.m4s')
    await page.evaluate(() => {
      const player = document.querySelector('nearcast-player')
      if (player) player.currentTime = 5
    })
    await asked
    await page.context().close()
  })

  it.each([
    ['is cut by a discontinuity', '#EXT-X-DISCONTINUITY\n'],
    ['has ranges of one file', '#EXT-X-BYTERANGE:100000000@0\n'],
  ])('of a film that %s is left to hls.js', async (_, line) => {
    const path = '/vod/film.mp4/media.m3u8'
    const body = await (await fetch(`${server.url}${path}`)).text()
    const type = 'application/vnd.apple.mpegurl'
    const cut = body.replace(/#EXTINF[^\n]*\ns2/, (text) => `${line}${text}`)
    server.answers.set(path, { status: 200, type, body: cut })
    const { page } = await openPage('about:blank')
    const held = hold(page)
    await page.goto(pageOf(FILM))
    const hls = await held
    expect(server.asked.some((asked) => asked.endsWith('.m4s'))).toBe(false)
    await hls.continue()
    await untilTime(page, 1)
    await page.context().close()
  })

  it('leaves nothing behind in a player that is taken out of the page', async () => {
    const { page } = await openPage('about:blank')
    const held = hold(page)
    await page.goto(`${server.url}/embed/vod/film.mp4?autoplay=muted`)
    await untilTime(page, 0.5)
    const hls = await held
    await page.evaluate(() => {
      const player = document.querySelector('nearcast-player')
      player?.remove()
      Object.assign(globalThis, { player })
    })
    await hls.continue()
    await page.waitForFunction(() => {
      const { player } = globalThis as unknown as {
        player: HTMLElementTagNameMap['nearcast-player']
      }
      return player.media.readyState === HTMLMediaElement.HAVE_NOTHING
    })
    await page.context().close()
  })

  it('of a live stream is there before hls.js, and plays on for as long as that takes', async () => {
    const live = await startServer({ config: 'live: { ladder: off }\n' })
    const publisher = publishPicture(`${live.rtmp}/${live.streamKey}`)
    for (;;) if ((await fetch(`${live.http}/live/main/index.m3u8`)).ok) break
    const { page, complaints } = await openPage('about:blank')
    const held = hold(page)
    await page.goto(`${live.http}/embed/live/main?autoplay=muted`)
    const hls = await held
    const time = () => page.evaluate(() => document.querySelector('nearcast-player')?.currentTime)
    const began = (await time()) ?? 0
    await untilTime(page, began + 4)
    expect(await page.evaluate(() => document.querySelector('nearcast-player')?.latency)).toBe(
      Number.NaN,
    )
    await hls.continue()
    await page.waitForFunction(() =>
      Number.isFinite(document.querySelector('nearcast-player')?.latency),
    )
    await untilTime(page, ((await time()) ?? 0) + 3)
    // Pictures and sound go on from the very place: nothing was lost, and nothing lies beside it.
    expect(await ranges(page)).toHaveLength(1)
    expect(complaints).toEqual([])
    await page.context().close()
    await publisher.stop()
    await live.stop()
  })
})

/** Requests for hls.js wait, from the first one, until it is let go. */
function hold(page: Page): Promise<{ continue(): Promise<void> }> {
  const waiting: Route[] = []
  let released = false
  return new Promise((resolve) => {
    void page.route(HLS_JS, async (route) => {
      if (released) await route.continue()
      else waiting.push(route)
      resolve({
        continue: async () => {
          released = true
          await Promise.all(waiting.map((one) => one.continue()))
        },
      })
    })
  })
}

/** A page of somebody's that asks for hls.js only when the player does. */
function pageOf(src: string): string {
  const script = '<script type="module" src="/player.js"></script>'
  const body = `<!doctype html>${script}<nearcast-player src="${src}" autoplay></nearcast-player>`
  server.answers.set('/page.html', { status: 200, body })
  return `${server.url}/page.html`
}

async function untilTime(page: Page, seconds: number): Promise<void> {
  await page.waitForFunction(
    (least) => (document.querySelector('nearcast-player')?.currentTime ?? 0) >= least,
    seconds,
    { timeout: 60_000 },
  )
}

function ranges(page: Page): Promise<number[][]> {
  return page.evaluate(() => {
    const { buffered } = document.querySelector('nearcast-player')?.media ?? {}
    return Array.from({ length: buffered?.length ?? 0 }, (_, i) => [
      buffered?.start(i) ?? 0,
      buffered?.end(i) ?? 0,
    ])
  })
}
