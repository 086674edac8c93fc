import type { Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type {} from '../../player/element/nearcast-player.ts'
import { closeBrowserAfterAll, launchBrowser, openPage } from '../support/browser.ts'
import { type PlayerServer, refusal, startPlayerServer } from './player-server.ts'

const HLS = 'application/vnd.apple.mpegurl'
let server: PlayerServer
closeBrowserAfterAll()
beforeAll(async () => {
  server = await startPlayerServer()
})
afterAll(() => server.close())
beforeEach(() => server.answers.clear())

describe('the player in a browser', () => {
  it('plays stored media on the watch page', async () => {
    const { page, complaints } = await openPage(`${server.url}/watch/vod/film.mp4`)
    await state(page, 'playing')
    await page.waitForFunction(
      () => (document.querySelector('nearcast-player')?.currentTime ?? 0) > 0.3,
    )
    expect(await page.title()).toBe('film')
    expect(complaints).toEqual([])
    await page.context().close()
  })

  it('waits for a stream, starts by itself when it comes, and again after a break', async () => {
    const offAir = refusal(404, 'stream-not-live', 'main')
    server.answers.set('/live/main/index.m3u8', offAir)
    const { page } = await openPage(`${server.url}/watch/live/main`)
    await state(page, 'waiting')
    expect(await card(page)).toBe('This stream is not live yet.')
    await goOnAir()
    await state(page, 'live')
    expect(await page.locator('.badge').textContent()).toContain('LIVE')
    server.answers.set('/live/main/index.m3u8', offAir)
    server.answers.set('/live/main/media.m3u8', offAir)
    server.asked.length = 0
    await vi.waitUntil(() => server.asked.includes('/live/main/index.m3u8'), { timeout: 60_000 })
    await state(page, 'reconnecting')
    await goOnAir()
    await state(page, 'live')
    await page.context().close()
  })

  it('begins a live stream with the rendition that is listed first, and asks for no other', async () => {
    await goOnAir({ withRung: true })
    server.asked.length = 0
    const { page } = await openPage(`${server.url}/watch/live/main`)
    await state(page, 'live')
    expect(server.asked).toContain('/live/main/media.m3u8')
    expect(server.asked).not.toContain('/live/main/rung.m3u8')
    await page.context().close()
  })

  it('leaves a rendition that is gone for another one', async () => {
    await goOnAir({ withRung: true })
    server.answers.set('/live/main/media.m3u8', refusal(404, 'not-found', 'no such playlist'))
    const { page } = await openPage(`${server.url}/watch/live/main`)
    await state(page, 'live')
    await page.context().close()
  })

  it.each([
    [refusal(404, 'object-not-found', 'a.mp4'), 'There is no video at this address.', 'misspelt'],
    [refusal(415, 'media-unsupported', 'a.mp4: AVI is not read'), 'cannot be played', 'AVI is not'],
    [playlistOf('hvc1.1.6.L120.90,mp4a.40.2'), 'cannot be played', 'no decoder for hvc1'],
  ])('says why it cannot play: %o', async (answer, sentence, detail) => {
    server.answers.set('/vod/a.mp4/index.m3u8', answer)
    const { page } = await openPage(`${server.url}/watch/vod/a.mp4`)
    await state(page, 'error')
    expect(await card(page)).toContain(sentence)
    expect(await page.locator('.detail').textContent()).toContain(detail)
    expect(await page.locator('.act').textContent()).toBe('Try again')
    await page.context().close()
  })

  it('plays after "Try again" when the source is there by then', async () => {
    server.answers.set('/vod/film.mp4/index.m3u8', refusal(404, 'object-not-found', 'film.mp4'))
    const { page } = await openPage(`${server.url}/watch/vod/film.mp4`)
    await state(page, 'error')
    server.answers.clear()
    await page.locator('.act').click()
    await state(page, 'playing')
    await page.context().close()
  })

  it('obeys keys only while it has the focus', async () => {
    const body = pageWith(
      '<input id="field"><nearcast-player src="/vod/film.mp4/index.m3u8" autoplay loop></nearcast-player>',
    )
    server.answers.set('/page.html', { status: 200, body })
    const { page } = await openPage(`${server.url}/page.html`)
    await state(page, 'playing')
    await page.locator('#field').focus()
    await page.keyboard.type('km 5')
    expect(await facts(page)).toMatchObject({ paused: false, muted: false })
    await page.locator('nearcast-player').focus()
    await page.keyboard.press('k')
    await state(page, 'paused')
    await page.keyboard.press('m')
    await page.keyboard.press('5')
    expect(await facts(page)).toMatchObject({ paused: true, muted: true, time: 4 })
    await page.keyboard.press('Home')
    expect((await facts(page)).time).toBe(0)
    await page.keyboard.press('ArrowRight')
    expect((await facts(page)).time).toBe(5)
    await page.keyboard.press('Space')
    await state(page, 'playing')
    await page.context().close()
  })

  it('plays muted with a button for the sound when the browser refuses sound', async () => {
    const browser = await launchBrowser(['--autoplay-policy=document-user-activation-required'])
    const page = await browser.newPage()
    // Whatever the test asks the page counts as a click of the user, so until it plays it only listens.
    await page.addInitScript(() => {
      document.addEventListener('playing', () => console.log('plays'), true)
    })
    const plays = page.waitForEvent('console', (line) => line.text() === 'plays')
    await page.goto(`${server.url}/watch/vod/film.mp4`)
    await plays
    expect((await facts(page)).muted).toBe(true)
    await page.locator('.unmute').click()
    expect((await facts(page)).muted).toBe(false)
    await browser.close()
  })

  it('waits for a click without autoplay', async () => {
    const { page } = await openPage(`${server.url}/embed/vod/film.mp4`)
    await state(page, 'paused')
    await page.locator('.big').click()
    await state(page, 'playing')
    await page.context().close()
  })

  it('has the controls of the browser when its own cannot be fetched', async () => {
    const { page } = await openPage('about:blank')
    await page.route('**/chrome.*.js', (route) => route.abort())
    await page.goto(`${server.url}/embed/vod/film.mp4?autoplay=muted`)
    await state(page, 'playing')
    await page.waitForFunction(() => document.querySelector('nearcast-player')?.media.controls)
    await page.context().close()
  })

  it('plays a plain file, and says why it cannot', async () => {
    const names = ['init.mp4', 's0.m4s', 's1.m4s', 's2.m4s', 's3.m4s']
    const parts = names.map(async (name) =>
      (await fetch(`${server.url}/vod/film.mp4/${name}`)).arrayBuffer(),
    )
    const body = Buffer.concat((await Promise.all(parts)).map((part) => Buffer.from(part)))
    server.answers.set('/media/film.mp4', { status: 200, type: 'video/mp4', body })
    server.answers.set('/media/gone.mp4', refusal(404, 'object-not-found', 'gone.mp4'))
    const player = (src: string) =>
      pageWith(`<nearcast-player src="${src}" autoplay></nearcast-player>`)
    server.answers.set('/plain.html', { status: 200, body: player('/media/film.mp4') })
    server.answers.set('/gone.html', { status: 200, body: player('/media/gone.mp4') })
    const { page } = await openPage(`${server.url}/plain.html`)
    await state(page, 'playing')
    await page.goto(`${server.url}/gone.html`)
    await state(page, 'error')
    expect(await card(page)).toBe('There is no video at this address.')
    await page.context().close()
  })

  it('fits an iframe of 320x180 without scroll bars, and moves nothing while it loads', async () => {
    const url = `${server.url}/embed/vod/film.mp4?autoplay`
    const { page } = await openPage(url, { viewport: { width: 320, height: 180 } })
    await state(page, 'playing')
    const measured = await page.evaluate(() => {
      const { scrollWidth, scrollHeight } = document.documentElement
      const shifts = performance.getEntriesByType('layout-shift').length
      return { scrollWidth, scrollHeight, shifts }
    })
    expect(measured).toEqual({ scrollWidth: 320, scrollHeight: 180, shifts: 0 })
    await page.context().close()
  })

  it('runs no script that a name brings along', async () => {
    const name = '"><img src=x onerror=alert(1)><script>alert(2)<script>.mp4'
    const { page, complaints } = await openPage(
      `${server.url}/watch/vod/${encodeURIComponent(name)}`,
    )
    const dialogs: string[] = []
    page.on('dialog', (dialog) => {
      dialogs.push(dialog.message())
      void dialog.dismiss()
    })
    await state(page, 'error')
    expect(dialogs).toEqual([])
    expect(complaints).toEqual([])
    expect(await page.locator('img[src=x]').count()).toBe(0)
    await page.context().close()
  })
})

/** A live playlist made of the film: the same segments, no end. */
async function goOnAir({ withRung = false } = {}): Promise<void> {
  const text = async (name: string) => (await fetch(`${server.url}/vod/film.mp4/${name}`)).text()
  const main = await text('index.m3u8')
  const rung = main
    .slice(main.indexOf('#EXT-X-STREAM-INF'))
    .replace(/BANDWIDTH=\d+/, 'BANDWIDTH=20000')
    .replace('media.m3u8', 'rung.m3u8')
  const media = (await text('media.m3u8'))
    .replace('#EXT-X-ENDLIST', '')
    .replace('#EXT-X-PLAYLIST-TYPE:VOD\n', '')
    .replaceAll(/URI="/g, 'URI="/vod/film.mp4/')
    .replaceAll(/^(?=s\d)/gm, '/vod/film.mp4/')
  server.answers.set('/live/main/media.m3u8', { status: 200, type: HLS, body: media })
  server.answers.set('/live/main/rung.m3u8', { status: 200, type: HLS, body: media })
  const body = withRung ? main + rung : main
  server.answers.set('/live/main/index.m3u8', { status: 200, type: HLS, body })
}

function pageWith(body: string): string {
  return `<!doctype html><script type="module" src="/player.js"></script>${body}`
}

async function state(page: Page, kind: string): Promise<void> {
  await page.locator(`nearcast-player[data-state="${kind}"]`).waitFor({ timeout: 60_000 })
}

async function card(page: Page): Promise<string | null> {
  return page.locator('.sentence').textContent()
}

async function facts(page: Page) {
  return page.evaluate(() => {
    const player = document.querySelector('nearcast-player')
    if (!player) throw new Error('no player')
    return { paused: player.paused, muted: player.muted, time: Math.round(player.currentTime) }
  })
}

function playlistOf(codecs: string) {
  const body = `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS="${codecs}"\n../film.mp4/media.m3u8\n`
  return { status: 200, type: 'application/vnd.apple.mpegurl', body }
}
