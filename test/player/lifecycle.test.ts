import type { Page, Route } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type {} from '../../player/element/nearcast-player.ts'
import { closeBrowserAfterAll, openPage } from '../support/browser.ts'
import { type PlayerServer, startPlayerServer } from './player-server.ts'

const DOT = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs='
const FILM = '/vod/film.mp4/index.m3u8'
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

describe('requests that come before the code they need', () => {
  it('play opens a source once, while hls.js is still on its way', async () => {
    const { page, held } = await openHeld('**/hls.*.js', `<nearcast-player src="${FILM}">`)
    const hls = await held
    await page.locator('.big').click()
    await hls.continue()
    await state(page, 'playing')
    expect(server.asked.filter((path) => path === FILM)).toHaveLength(1)
    await page.context().close()
  })

  it('a new source is not taken away by the one before it, whose engine came late', async () => {
    server.answers.set('/media/film.mp4', await plainFilm())
    const { page, held } = await openHeld('**/hls.*.js', `<nearcast-player src="${FILM}" autoplay>`)
    const hls = await held
    await page.evaluate(() => {
      document.querySelector('nearcast-player')?.setAttribute('src', '/media/film.mp4')
    })
    await state(page, 'playing')
    await hls.continue()
    // The module counts as there for the page before it does for us.
    await page.addScriptTag({ type: 'module', url: hls.request().url() })
    expect(await page.evaluate(() => document.querySelector('nearcast-player')?.media.src)).toBe(
      `${server.url}/media/film.mp4`,
    )
    await page.context().close()
  })

  it('play right after a new source plays that one', async () => {
    const { page } = await open('<nearcast-player>')
    await page.evaluate((src) => {
      const player = document.querySelector('nearcast-player')
      if (!player) throw new Error('no player')
      player.src = src
      player.play()
    }, FILM)
    await state(page, 'playing')
    await page.context().close()
  })

  it('the controls are whole when their code came while the player was out of the page', async () => {
    const { page, held } = await openHeld(
      '**/chrome.*.js',
      `<nearcast-player src="${FILM}" autoplay>`,
    )
    const chrome = await held
    await page.evaluate(() => {
      const player = document.querySelector('nearcast-player')
      player?.remove()
      Object.assign(globalThis, { player })
    })
    await chrome.continue()
    await page.waitForFunction(() => customElements.get('media-playback-rate-menu'))
    await page.evaluate(() => {
      const { player } = globalThis as unknown as { player: HTMLElement }
      document.body.append(player)
    })
    await state(page, 'playing')
    const controls = await page.evaluate(() => {
      const root = document.querySelector('nearcast-player')?.shadowRoot
      const controller = root?.querySelector('media-controller')
      const range = root?.querySelector('media-time-range')?.shadowRoot
      return {
        fullscreenHidesSetter: Object.hasOwn(controller ?? {}, 'fullscreenElement'),
        tabStop: controller?.hasAttribute('tabindex'),
        ring: range?.lastElementChild?.textContent?.includes('#range:focus-visible'),
      }
    })
    expect(controls).toEqual({ fullscreenHidesSetter: false, tabStop: false, ring: true })
    await page.context().close()
  })

  it('f fills the screen before there is a button for it', async () => {
    const { page, held } = await openHeld(
      '**/chrome.*.js',
      `<nearcast-player src="${FILM}" autoplay>`,
    )
    await held
    await page.locator('nearcast-player').press('f')
    await page.waitForFunction(() => document.fullscreenElement?.localName === 'nearcast-player')
    await page.context().close()
  })

  it('the poster does not cover the picture when the controls never come', async () => {
    const { page } = await openPage('about:blank')
    await page.route('**/chrome.*.js', (route) => route.abort())
    await goTo(page, `<nearcast-player src="${FILM}" poster="${DOT}" autoplay>`)
    await state(page, 'playing')
    await page.evaluate(() => document.querySelector('nearcast-player')?.pause())
    await state(page, 'paused')
    expect(await page.locator('.poster').isVisible()).toBe(false)
    await page.context().close()
  })
})

describe('what happens behind the player’s back', () => {
  it('a live stream paused for long goes on when the browser itself plays it', async () => {
    const text = async (name: string) => (await fetch(`${server.url}/vod/film.mp4/${name}`)).text()
    const media = (await text('media.m3u8'))
      .replace('#EXT-X-ENDLIST', '')
      .replace('#EXT-X-PLAYLIST-TYPE:VOD\n', '')
    const type = 'application/vnd.apple.mpegurl'
    server.answers.set('/vod/film.mp4/media.m3u8', { status: 200, type, body: media })
    const { page } = await openPage('about:blank')
    await page.clock.install()
    await goTo(page, `<nearcast-player src="${FILM}" autoplay>`)
    await state(page, 'live')
    await page.evaluate(() => document.querySelector('nearcast-player')?.media.pause())
    await state(page, 'paused')
    await page.clock.runFor(31_000)
    const asked = page.waitForRequest('**/media.m3u8', { timeout: 60_000 })
    await page.evaluate(() => void document.querySelector('nearcast-player')?.media.play())
    await asked
    await page.context().close()
  })

  it('a server that never answers is asked again', async () => {
    const { page } = await openPage('about:blank')
    await page.clock.install()
    await page.route('**/index.m3u8', () => {}, { times: 1 })
    const asked = page.waitForRequest('**/index.m3u8')
    await goTo(page, `<nearcast-player src="${FILM}" stream-type="live">`)
    await asked
    await vi.waitFor(
      async () => {
        await page.clock.runFor(5000)
        expect(server.asked).toContain(FILM)
      },
      { timeout: 60_000 },
    )
    await page.context().close()
  })

  it('a film that breaks while it is paused is where it was when it is whole again', async () => {
    server.answers.set('/vod/film.mp4/s3.m4s', { status: 404, body: '' })
    const { page } = await openPage('about:blank')
    await page.clock.install()
    /** It may be in a state for less than a step of the clock. */
    const until = async (kind: string) => {
      await page.evaluate(() => {
        const player = document.querySelector('nearcast-player')
        const kinds = [player?.state.kind]
        player?.addEventListener('statechange', () => kinds.push(player.state.kind))
        Object.assign(globalThis, { kinds })
      })
      await vi.waitFor(
        async () => {
          await page.clock.runFor(3000)
          const kinds = await page.evaluate(
            () => (globalThis as unknown as { kinds: string[] }).kinds,
          )
          expect(kinds).toContain(kind)
        },
        { timeout: 60_000 },
      )
    }
    await goTo(page, `<nearcast-player src="${FILM}" autoplay>`)
    await state(page, 'playing')
    await page.evaluate(() => {
      const player = document.querySelector('nearcast-player')
      if (player) player.currentTime = 4
      player?.pause()
    })
    // hls.js gives up after half a minute.
    await until('reconnecting')
    server.answers.clear()
    await until('paused')
    await page.locator('.big').click()
    await state(page, 'playing')
    const time = await page.evaluate(() => document.querySelector('nearcast-player')?.currentTime)
    expect(time).toBeGreaterThan(3.9)
    await page.context().close()
  })
})

async function goTo(page: Page, tag: string): Promise<void> {
  const script = '<script type="module" src="/player.js"></script>'
  const body = `<!doctype html>${script}${tag}</nearcast-player>`
  server.answers.set('/page.html', { status: 200, body })
  await page.goto(`${server.url}/page.html`)
}

async function open(tag: string) {
  const { page } = await openPage('about:blank')
  await goTo(page, tag)
  return { page }
}

/** The page, and the first request for `pattern`, which waits until it is continued. */
async function openHeld(pattern: string, tag: string) {
  const { page } = await openPage('about:blank')
  const held = new Promise<Route>((resolve) => {
    void page.route(pattern, resolve, { times: 1 })
  })
  await goTo(page, tag)
  return { page, held }
}

async function plainFilm() {
  const names = ['init.mp4', 's0.m4s', 's1.m4s', 's2.m4s', 's3.m4s']
  const parts = names.map(async (name) =>
    Buffer.from(await (await fetch(`${server.url}/vod/film.mp4/${name}`)).arrayBuffer()),
  )
  return { status: 200, type: 'video/mp4', body: Buffer.concat(await Promise.all(parts)) }
}

async function state(page: Page, kind: string): Promise<void> {
  await page.locator(`nearcast-player[data-state="${kind}"]`).waitFor({ timeout: 60_000 })
}
