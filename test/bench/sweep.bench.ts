import { readdirSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import type { Browser } from 'playwright-core'
import type {} from '../../player/element/nearcast-player.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { launchBrowser } from '../support/browser.ts'
import { startServer } from '../support/server.ts'
import { startPageServer } from './page-server.ts'
import { report } from './report.ts'

// Every file of a folder asked for as /media/… and as /vod/…/index.m3u8, and opened in Chromium from another origin.
// npm run bench -- sweep FOLDER
const LIMIT_MS = 8000
/** It plays when its time has gone on this far, or to its end. */
const PLAYED_SECONDS = 0.15
const SENTENCE = 90

type Outcome =
  | { readonly kind: 'plays'; readonly soundOnly: boolean }
  /** Said in words, by the server or by the player. */
  | { readonly kind: 'refused'; readonly sentence: string }
  | { readonly kind: 'neither'; readonly state: string }

const [folderName = ''] = process.argv.slice(2)
if (folderName === '') throw new Error('npm run bench -- sweep FOLDER')
const folder = resolve(folderName)
const keys = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
  .sort()

await using server = await startServer({ env: { NEARCAST_MEDIA: folder } })
const pages = await startPageServer()
const browser = await launchBrowser()
const counts = { plays: 0, refused: 0, neither: 0 }
const table: Record<string, string>[] = []
for (const key of keys) {
  const path = key.split('/').map(encodeURIComponent).join('/')
  const media = await ask(`${server.http}/media/${path}`)
  const vod = await ask(`${server.http}/vod/${path}/index.m3u8`)
  table.push({ key, '/media': media, '/vod': vod })
}
pages.close()
await browser.close()
console.table(table)
const alive = await fetch(`${server.http}/`).then((response) => response.status)
report([
  {
    figure: `${keys.length} files, each twice: neither plays nor says why`,
    asked: '0',
    measured: `${counts.neither} (${counts.plays} play, ${counts.refused} refused in words)`,
    holds: counts.neither === 0,
  },
  {
    figure: 'the server answers the next request',
    asked: '200',
    measured: `${alive}`,
    holds: alive === 200,
  },
])

async function ask(url: string): Promise<string> {
  const status = await statusOf(url)
  const outcome = await openInChromium(browser, pages.component(server.http, url))
  counts[outcome.kind] += 1
  switch (outcome.kind) {
    case 'plays':
      return `${status} plays${outcome.soundOnly ? ' (sound)' : ''}`
    case 'refused':
      return `${status} ${outcome.sentence.slice(0, SENTENCE)}`
    case 'neither':
      return `${status} NEITHER: ${outcome.state}`
  }
}

/** The status and, of a refusal, the sentence. */
async function statusOf(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(LIMIT_MS) })
  if (response.ok) {
    await response.body?.cancel()
    return `${response.status}`
  }
  return `${response.status} ${(await response.text()).slice(0, SENTENCE)} |`
}

async function openInChromium(on: Browser, url: string): Promise<Outcome> {
  const context = await on.newContext()
  const page = await context.newPage()
  try {
    await page.goto(url)
    const until = systemClock.monotonic() + LIMIT_MS
    let state = 'no player'
    while (systemClock.monotonic() < until) {
      const seen = await page.evaluate(look)
      if (seen.played > PLAYED_SECONDS || (seen.ended && seen.played > 0))
        return { kind: 'plays', soundOnly: seen.soundOnly }
      if (seen.message) return { kind: 'refused', sentence: seen.message }
      state = seen.state
      await systemClock.sleep(50)
    }
    return { kind: 'neither', state }
  } finally {
    await context.close()
  }
}

function look() {
  const player = document.querySelector('nearcast-player')
  const video = player?.media
  const state = player?.state
  const error = state?.kind === 'error' ? state : undefined
  let played = 0
  for (let n = 0; n < (video?.played.length ?? 0); n++)
    played += (video?.played.end(n) ?? 0) - (video?.played.start(n) ?? 0)
  return {
    played,
    ended: video?.ended ?? false,
    soundOnly: video?.videoWidth === 0,
    state: JSON.stringify(state ?? 'no player'),
    // What the viewer reads.
    message: error && `${player?.shadowRoot?.querySelector('.sentence')?.textContent ?? ''}`.trim(),
  }
}
