import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type {} from '../../player/element/nearcast-player.ts'
import { closeBrowserAfterAll, openPage } from '../support/browser.ts'
import { type FfmpegRun, publishPicture } from '../support/publish-picture.ts'
import { startServer, type TestServer } from '../support/server.ts'

const PATIENCE = { timeout: 60_000, interval: 300 }

let root: string
let server: TestServer
let publisher: FfmpegRun
closeBrowserAfterAll()
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'nearcast-recordings-'))
  server = await startServer({
    config: JSON.stringify({
      live: { record: 'shows' },
      origins: { shows: { kind: 'file', root } },
    }),
  })
  publisher = publishPicture(`${server.rtmp}/${server.streamKey}`)
}, 120_000)
afterAll(async () => {
  await publisher.stop()
  await server.stop()
  await rm(root, { recursive: true, force: true })
})

test('the console shows what is being recorded, it plays in the player meanwhile, and a clip of it', async () => {
  await vi.waitFor(async () => {
    const { body } = await server.api('GET', '/recordings')
    expect(JSON.stringify(body)).toMatch(/"seconds":([6-9]|\d\d)/)
  }, PATIENCE)
  const { page, complaints } = await openPage(`${server.control}/#token=${server.ready.adminToken}`)
  await page.getByRole('heading', { name: 'Recordings' }).waitFor()
  await page.getByText('recording', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Clip the last 30 s' }).click()
  await page.getByRole('cell', { name: 'main, clip' }).waitFor()
  expect(complaints).toEqual([])
  const links = await page.getByRole('link', { name: 'Watch' }).all()
  const addresses = await Promise.all(links.map((link) => link.getAttribute('href')))
  await page.context().close()
  for (const address of addresses.filter((one) => one?.includes('/recordings/'))) {
    const watched = await openPage(address ?? '')
    await watched.page.waitForFunction(
      () => (document.querySelector('nearcast-player')?.currentTime ?? 0) > 0,
    )
    const at = await watched.page.evaluate(
      () => document.querySelector('nearcast-player')?.currentTime ?? 0,
    )
    await watched.page.waitForFunction(
      (from) => (document.querySelector('nearcast-player')?.currentTime ?? 0) > from + 2,
      at,
    )
    expect(watched.complaints).toEqual([])
    await watched.page.context().close()
  }
  expect(addresses.filter((one) => one?.includes('/clips/'))).toHaveLength(1)
}, 180_000)
