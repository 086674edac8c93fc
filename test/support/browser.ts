import { existsSync } from 'node:fs'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll } from 'vitest'

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
]

/** The system's Chromium: `CHROMIUM`, else where Debian and Ubuntu put it. */
export function findChromium(): string {
  const found = [
    process.env['CHROMIUM'],
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
  ]
    .filter((path) => path !== undefined)
    .find(existsSync)
  if (found === undefined)
    throw new Error('Chromium is missing: set CHROMIUM or apt-get install chromium')
  return found
}

let shared: Promise<Browser> | undefined

/** One browser for all tests of a worker; a context each. Closed after the file that opened it. */
export function sharedBrowser(): Promise<Browser> {
  shared ??= launchBrowser()
  return shared
}

/** A browser of one's own, closed by the caller; `args` come after the common ones and so win. */
export function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), args: [...ARGS, ...args] })
}

/** Closes the shared browser after the tests of the file that calls it. */
export function closeBrowserAfterAll(): void {
  afterAll(async () => {
    const browser = shared
    shared = undefined
    await (await browser)?.close()
  })
}

/** A page in a context of its own, with everything it complained about. */
export async function openPage(
  url: string,
  options: BrowserContextOptions = {},
): Promise<{ readonly page: Page; readonly complaints: string[] }> {
  const context = await (await sharedBrowser()).newContext(options)
  // A bound on hanging, not on speed.
  context.setDefaultTimeout(60_000)
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (line) => {
    if (line.type() === 'error' && !line.text().startsWith('Failed to load resource'))
      complaints.push(line.text())
  })
  await page.goto(url)
  return { page, complaints }
}
