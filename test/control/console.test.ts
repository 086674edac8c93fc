import type { Route } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { closeBrowserAfterAll, openPage } from '../support/browser.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { PATIENT } from '../support/patience.ts'

let server: TestServer
closeBrowserAfterAll()
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

describe('the console', () => {
  it('asks for the token, refuses a wrong one, and opens to the right one', async () => {
    const { page, complaints } = await openPage(server.control)
    await page.getByLabel('Token').fill('wrong')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('That is not the token.').waitFor()
    await page.getByLabel('Token').fill(server.ready.adminToken)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('Nobody is live.').waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  it('opens by the printed link, whose token leaves the address', async () => {
    const { page } = await openPage(`${server.control}/#token=${server.ready.adminToken}`)
    await page.getByRole('heading', { name: 'Go live' }).waitFor()
    expect(page.url()).toBe(`${server.control}/`)
    await page.reload()
    await page.getByRole('heading', { name: 'Go live' }).waitFor()
    await page.context().close()
  })

  it('opens once when the form is sent twice before the server answers', async () => {
    const { page } = await openPage(server.control)
    const held: Route[] = []
    await page.route('**/overview', (route) => void held.push(route), { times: 2 })
    await page.getByLabel('Token').fill(server.ready.adminToken)
    await page.getByRole('button', { name: 'Sign in' }).dblclick()
    await vi.waitUntil(() => held.length === 2, PATIENT)
    for (const route of held) await route.continue()
    await page.getByRole('cell', { name: 'main' }).first().waitFor()
    expect(await page.getByRole('button', { name: 'New key' }).count()).toBe(1)
    await page.context().close()
  })

  it('offers what it cannot copy to the keyboard where there is no clipboard', async () => {
    const { page } = await openPage('about:blank')
    await page.addInitScript('Object.defineProperty(navigator, "clipboard", { value: undefined })')
    await page.goto(`${server.control}/#token=${server.ready.adminToken}`)
    const asked = page.waitForEvent('dialog')
    void page.getByRole('button', { name: 'Copy the server' }).click()
    const dialog = await asked
    expect(dialog.defaultValue()).toBe(server.ready.rtmp)
    await dialog.dismiss()
    await page.context().close()
  })

  it('shows a new key once, invalidates, and explains, whatever things are called', async () => {
    const { page, complaints } = await openPage(
      `${server.control}/#token=${server.ready.adminToken}`,
    )
    await page.getByRole('textbox', { name: 'Stream name' }).fill('stage-2')
    await page.getByRole('button', { name: 'New key' }).click()
    await page.getByText('Stream key of stage-2').waitFor()
    await page.getByRole('cell', { name: 'stage-2', exact: true }).waitFor()

    await page.getByLabel('Paths, one a line').fill('/<b>bold</b>/*')
    await page.getByRole('button', { name: 'Invalidate' }).click()
    await page.getByRole('cell', { name: '/<b>bold</b>/*' }).waitFor()
    await page.getByText('completed').waitFor()
    await page.getByRole('button', { name: 'Undo' }).click()
    await page.getByText('undone, completed').waitFor()
    await page.getByLabel('Paths, one a line').fill('/nothing*\n#no-tag')
    await page.getByRole('button', { name: 'Dry run' }).click()
    await page.getByText('Would take 0 objects, 0 B at this edge').waitFor()
    await page.getByLabel('Paths, one a line').fill('no-slash')
    await page.getByRole('button', { name: 'Invalidate' }).click()
    await page.getByText('is not a path that starts with /').waitFor()

    await page.getByRole('textbox', { name: 'Path, address or key' }).fill('/index.html')
    await page.getByRole('button', { name: 'Explain' }).click()
    const first = page.locator('.rows div').first()
    await first.getByText('nobody asked for it since it was last removed').waitFor()
    expect(await first.locator('dt').textContent()).toBe('why')
    await page.getByRole('cell', { name: '/live/* → live' }).waitFor()
    expect(complaints).toEqual([])
    await page.context().close()
  })

  it('rotates a key by keyboard, with an overlap, and copies what OBS needs', async () => {
    const { page, complaints } = await openPage(
      `${server.control}/#token=${server.ready.adminToken}`,
    )
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.getByRole('textbox', { name: 'Stream name' }).fill('stage-3')
    await page.getByRole('checkbox', { name: 'For a backup publisher' }).check()
    await page.getByRole('button', { name: 'New key' }).click()
    await page.getByText('Backup stream key of stage-3').waitFor()
    const key = page.locator('#fresh-key code')
    const former = (await key.textContent()) ?? ''
    const row = page.getByRole('row').filter({ hasText: 'stage-3' })
    await row.getByText('backup').waitFor()
    expect(await row.textContent()).not.toContain(former)

    const rotate = page.getByRole('button', { name: 'Rotate the key of stage-3' })
    await rotate.press('Enter')
    await page.getByRole('dialog', { name: 'Another key for stage-3' }).press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect(await key.textContent()).toBe(former)

    await rotate.press('Enter')
    await page.getByLabel(`The key that ends in ${former.slice(-4)}`).selectOption('3600')
    await page.getByRole('button', { name: 'Make the new key' }).press('Enter')
    await page.getByText('The former key holds until').waitFor()
    const made = (await key.textContent()) ?? ''
    expect(made).not.toBe(former)
    expect(await page.evaluate('document.activeElement.ariaLabel')).toBe('Copy the key')
    await row.getByText('until').waitFor()
    expect(await row.count()).toBe(2)
    expect(await rotate.count()).toBe(1)

    await page.getByRole('button', { name: 'Copy OBS settings' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    const copied = await page.evaluate('navigator.clipboard.readText()')
    expect(copied).toContain(`Server: ${server.ready.rtmp}\nStream Key: ${made}\n`)
    expect(copied).toContain('Keyframe Interval: 1 s')
    expect(complaints).toEqual([])
    await page.context().close()
  })

  it('has all that can be done with recordings in sight on a phone', async () => {
    const { page, complaints } = await openPage('about:blank', {
      viewport: { width: 390, height: 844 },
    })
    const one = {
      stream: 'a-stream-with-quite-a-long-name',
      id: '20260102T030405Z',
      key: 'recordings/a-stream-with-quite-a-long-name/20260102T030405Z',
      origin: 'media',
      state: 'recording',
      from: Date.UTC(2026, 0, 2, 3, 4, 5),
      to: Date.UTC(2026, 0, 2, 4, 4, 5),
      seconds: 3600,
      bytes: 2 ** 30,
      missingSegments: 0,
      waitingBytes: 0,
      storeFails: false,
    }
    const before = { ...one, state: 'complete', from: one.from - 86_400_000 }
    await page.route('**/api/v1/recordings', (route) =>
      route.fulfill({ json: { recordings: [one, before], clips: [] } }),
    )
    await page.goto(`${server.control}/#token=${server.ready.adminToken}`)
    const shown = page.getByRole('region', { name: 'Recordings' })
    for (const [role, name, count] of [
      ['link', 'Watch', 2],
      ['button', 'Clip the last 30 s', 1],
      ['button', 'Remove', 1],
    ] as const) {
      const found = shown.getByRole(role, { name })
      await found.first().waitFor()
      expect([name, await found.count()]).toEqual([name, count])
      for (const each of await found.all()) {
        const { x, width } = (await each.boundingBox()) ?? { x: -1, width: 0 }
        expect([name, x >= 0 && x + width <= 390]).toEqual([name, true])
      }
    }
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390)
    expect(complaints).toEqual([])
    await page.unrouteAll({ behavior: 'wait' })
    await page.context().close()
  })

  it('shows the health of a stream in the words of the API, on a phone too', async () => {
    const advice = [
      { weight: 'problem', sentence: 'The upload is <b>too slow</b>.' },
      { weight: 'hint', sentence: 'In OBS, set the key frame interval to 1 s.' },
    ]
    const measured = { gaps: 3, missingFrames: 40, lagMs: 1400, jitterMs: 80, driftMs: -12 }
    let health: object | undefined = { condition: 'poor', advice, ...measured }
    const { page, complaints } = await openPage('about:blank', {
      viewport: { width: 390, height: 844 },
    })
    await page.route('**/api/v1/overview', async (route) => {
      const overview: object = await (await route.fetch()).json()
      const stream = {
        name: 'main',
        state: 'live',
        startedAt: 0,
        keyIntervalSeconds: 8.3,
        tracks: [],
      }
      await route.fulfill({ json: { ...overview, streams: [{ ...stream, health }] } })
    })
    await page.goto(`${server.control}/#token=${server.ready.adminToken}`)
    const shown = page.getByRole('region', { name: 'Health of main' })
    await shown.getByText('viewers notice').waitFor()
    expect(await shown.getByRole('listitem').allTextContents()).toEqual(
      advice.map(({ sentence }) => sentence),
    )
    const terms = await shown.locator('.facts div').allTextContents()
    expect(terms).toEqual([
      'Frames come1.4 s late',
      'Jitter80 ms',
      'Holes in a minute3, about 40 frames',
      'Sound against picture12 ms late',
    ])
    // What makes a stream better is said once, by the advice.
    expect((await page.locator('#streams').textContent())?.match(/key frame/gi)).toHaveLength(2)
    const width = await page.evaluate('document.documentElement.scrollWidth')
    expect(width).toBe(390)

    health = { ...measured, condition: 'good', advice: [], gaps: 0, lagMs: 3 }
    await shown.getByText('good').waitFor()
    await shown.getByText('on time').waitFor()
    expect(await shown.getByRole('listitem').count()).toBe(0)
    health = undefined
    await shown.waitFor({ state: 'hidden' })
    expect(complaints).toEqual([])
    await page.unrouteAll({ behavior: 'wait' })
    await page.context().close()
  })
})
