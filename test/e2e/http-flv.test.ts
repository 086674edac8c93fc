import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { closeBrowserAfterAll, openPage } from '../support/browser.ts'
import { type FfmpegRun, publishPicture } from '../support/publish-picture.ts'
import { startServer, type TestServer } from '../support/server.ts'

const require = createRequire(import.meta.url)
const MPEGTS = require.resolve('mpegts.js')

let origin: TestServer
let edge: TestServer
let publisher: FfmpegRun

closeBrowserAfterAll()
beforeAll(async () => {
  origin = await startServer()
  edge = await startServer({
    env: {
      NEARCAST_ROLE: 'edge',
      NEARCAST_PARENT: origin.ready.origin ?? '',
      NEARCAST_PARENT_TOKEN: origin.ready.edgeToken ?? '',
    },
  })
  publisher = publishPicture(`${origin.rtmp}/${origin.streamKey}`)
})
afterAll(async () => {
  await publisher.stop()
  await edge.stop()
  await origin.stop()
})

it.each([
  ['this process', () => origin, () => edge],
  ['an edge elsewhere', () => edge, () => origin],
])('mpegts.js plays HTTP-FLV from %s on a page of another site', async (_, server, site) => {
  const url = `${server().http}/live/main.flv`
  await untilLive(server())
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
  await untilMoving(page)
  expect(complaints).toEqual([])
  await page.context().close()
})

/** A playlist of a stream that nobody sends yet is held for some seconds. */
async function untilLive(server: TestServer): Promise<void> {
  for (;;) if ((await fetch(`${server.http}/live/main/index.m3u8`)).ok) return
}

async function untilMoving(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const video = document.querySelector('video')
    const played = video?.played
    return video !== null && video.videoWidth === 320 && (played?.length ?? 0) > 0
      ? video.currentTime - (played?.start(0) ?? 0) > 1
      : false
  })
}
