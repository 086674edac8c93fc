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
    await page.getByRole('cell', { name: 'stage-2' }).waitFor()

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
})
