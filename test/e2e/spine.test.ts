import { createRequire } from 'node:module'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { closeBrowserAfterAll, openPage } from '../support/browser.ts'
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.ts'
import { makeFilm } from '../support/media.ts'
import { type FfmpegRun, publishPicture } from '../support/publish-picture.ts'
import { startServer, type TestServer } from '../support/server.ts'

const require = createRequire(import.meta.url)
const MPEGTS = require.resolve('mpegts.js')
const ONE_WAY_MS = 50
let media: string
let origin: TestServer
let wire: DelayProxy
let edge: TestServer
let publisher: FfmpegRun | undefined
/** Outlives the server that made it. */
let kept: string | undefined

closeBrowserAfterAll()
beforeAll(async () => {
  media = await mkdtemp(join(tmpdir(), 'nearcast-media-'))
  await copyFile(
    await makeFilm({ seconds: 20, gop: 50, size: '320x180', bframes: 2 }),
    join(media, 'film.mp4'),
  )
  origin = await startServer({ env: { NEARCAST_MEDIA: media } })
  wire = await startDelayProxy(portOf(origin.ready.origin), ONE_WAY_MS)
  edge = await startServer({
    env: {
      NEARCAST_ROLE: 'edge',
      NEARCAST_PARENT: `http://127.0.0.1:${wire.port}`,
      NEARCAST_PARENT_TOKEN: origin.ready.edgeToken ?? '',
    },
  })
})
afterAll(async () => {
  await publisher?.stop()
  await edge.stop()
  await wire.close()
  await origin.stop()
  for (const folder of [media, kept]) if (folder) await rm(folder, { recursive: true, force: true })
})

it('waits at the watch page until the publisher comes, and then shows the picture by itself', async () => {
  const { page, complaints } = await openPage(`${origin.http}/watch/live/main`)
  await page
    .getByText(/not live/i)
    .first()
    .waitFor()
  publisher = publishPicture(`${origin.rtmp}/${origin.streamKey}`)
  await untilMoving(page)
  expect(complaints).toEqual([])
  await page.context().close()
})

it('shows live through the second process, 100 ms away', async () => {
  const { page, complaints } = await openPage(`${edge.http}/embed/live/main`)
  await untilMoving(page)
  expect(complaints).toEqual([])
  await page.context().close()
})

it.each([
  ['this process', () => origin, () => edge],
  ['an edge elsewhere', () => edge, () => origin],
])('mpegts.js plays HTTP-FLV from %s on a page of another site', async (_, server, site) => {
  const url = `${server().http}/live/main.flv`
  const { page, complaints } = await openPage(`${site().http}/player.js`)
  await page.setContent('<video muted></video>')
  await page.addScriptTag({ path: MPEGTS })
  // What runs in the page is text: mpegts.js is a global there.
  await page.evaluate(`(() => {
    const player = mpegts.createPlayer({ type: 'flv', isLive: true, url: ${JSON.stringify(url)} })
    player.attachMediaElement(document.querySelector('video'))
    player.load()
    player.play()
  })()`)
  await page.waitForFunction(() => {
    const video = document.querySelector('video')
    const played = video?.played
    return video !== null && video.videoWidth === 320 && (played?.length ?? 0) > 0
      ? video.currentTime - (played?.start(0) ?? 0) > 1
      : false
  })
  expect(complaints).toEqual([])
  await page.context().close()
})

it.each([
  ['this process', () => origin],
  ['the second process', () => edge],
])('plays a film that lies in the media folder, and seeks in it, from %s', async (_, server) => {
  const { page, complaints } = await openPage(`${server().http}/watch/vod/film.mp4`)
  await untilMoving(page)
  await seek(page, 13)
  await untilMoving(page, 13)
  expect(complaints).toEqual([])
  await page.context().close()
})

it('serves the start page with its sample film, from both', async () => {
  for (const server of [origin, edge]) {
    const page = await fetch(`${server.http}/`)
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('nearcast-player')
    const missing = await fetch(`${server.http}/no-such-page`)
    expect(missing.status).toBe(404)
    expect(missing.headers.get('content-type')).toContain('text/html')
  }
})

it('answers ranges of the file itself, and again without asking the parent', async () => {
  const url = `${edge.http}/media/film.mp4`
  const first = await fetch(url, { headers: { range: 'bytes=1000-1999' } })
  expect(first.status).toBe(206)
  const bytes = Buffer.from(await first.arrayBuffer())
  expect(bytes.length).toBe(1000)
  const again = await fetch(url, { headers: { range: 'bytes=1000-1999' } })
  expect(again.headers.get('cache-status')).toContain('hit')
  expect(Buffer.from(await again.arrayBuffer()).equals(bytes)).toBe(true)
})

it('forgets an invalidated path here and in the second process', async () => {
  const urls = [origin, edge].map((server) => `${server.http}/media/film.mp4`)
  for (const url of urls) {
    await (await fetch(url)).arrayBuffer()
    const hit = await fetch(url)
    expect(hit.headers.get('cache-status')).toContain('hit')
    await hit.arrayBuffer()
  }
  const created = await origin.api('POST', '/invalidations', { paths: ['/media/*'] })
  expect(created.status).toBe(201)
  // Here at once; over the wire within the time of one trip.
  const here = await fetch(urls[0] ?? '')
  expect(here.headers.get('cache-status')).not.toContain('hit')
  await here.arrayBuffer()
  await expect
    .poll(
      async () => {
        const there = await fetch(urls[1] ?? '')
        await there.arrayBuffer()
        return there.headers.get('cache-status')
      },
      { timeout: 60_000 },
    )
    .not.toContain('hit')
})

it('keeps going through a restart: the playlist continues, without an end', async () => {
  await publisher?.stop()
  publisher = undefined
  const before = await mediaPlaylist(origin)
  await origin.stop({ keep: true })
  kept = dirname(origin.data)
  origin = await startServer({ data: origin.data, env: { NEARCAST_MEDIA: media } })
  const after = await mediaPlaylist(origin)
  expect(after).not.toContain('#EXT-X-ENDLIST')
  expect(segmentsOf(before).length).toBeGreaterThan(0)
  expect(segmentsOf(after)).toEqual(expect.arrayContaining(segmentsOf(before)))
  expect(sequenceOf(after)).toBeGreaterThanOrEqual(sequenceOf(before))
  // The oldest may be the gap that a window begins with.
  const segment = segmentsOf(after).at(-1)
  const bytes = await fetch(`${origin.http}/live/main/${segment}`)
  expect(bytes.status).toBe(200)
  await bytes.arrayBuffer()
})

async function mediaPlaylist(server: TestServer): Promise<string> {
  const base = `${server.http}/live/main/`
  const master = await (await fetch(`${base}index.m3u8`)).text()
  const uri = /^video[^\s]*\.m3u8$/m.exec(master)?.[0]
  return (await fetch(`${base}${uri}`)).text()
}

function segmentsOf(playlist: string): string[] {
  return playlist.match(/^[^#\s]+\.m4s$/gm) ?? []
}

function sequenceOf(playlist: string): number {
  return Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(playlist)?.[1])
}

/** The picture is there and its time goes on, past `from` seconds. */
async function untilMoving(page: Page, from = 0): Promise<void> {
  await page.waitForFunction(
    (start) => {
      const video = findVideo(document)
      return (
        video !== null && video.videoWidth > 0 && video.currentTime > start + 0.3 && !video.paused
      )
      function findVideo(root: Document | ShadowRoot): HTMLVideoElement | null {
        const found = root.querySelector('video')
        if (found) return found
        for (const element of root.querySelectorAll('*')) {
          const inside = element.shadowRoot && findVideo(element.shadowRoot)
          if (inside) return inside
        }
        return null
      }
    },
    from,
    { timeout: 60_000 },
  )
}

async function seek(page: Page, seconds: number): Promise<void> {
  await page.evaluate((to) => {
    const player = document.querySelector('nearcast-player') as
      | (HTMLElement & { currentTime: number })
      | null
    if (player) player.currentTime = to
  }, seconds)
}

function portOf(url: string | undefined): number {
  return Number(new URL(url ?? '').port)
}
