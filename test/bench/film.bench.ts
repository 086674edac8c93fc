import { CopyObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { createReadStream } from 'node:fs'
import { Agent, get } from 'node:http'
import type { Frame } from 'playwright-core'
import { systemClock } from '../../server/lib/clock.ts'
import { launchBrowser } from '../support/browser.ts'
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.ts'
import { type RealS3, realS3, setup } from '../support/real-s3.ts'
import { startServer } from '../support/server.ts'
import { FILM_FPS, FILM_SECONDS, makeNumberedFilm } from './film.ts'
import { startPageServer } from './page-server.ts'
import { atMost, list, median, report, type Row } from './report.ts'
import { frameWithPicture, installSight } from './sight.ts'

// A 10-minute 1080p MP4 with moov at its end, in radosgw: the first HLS segment from cold, 30 ms away; then Chromium, on loopback.
const KEY = 'numbered.mp4'
const OTHER_KEY = 'other.mp4'
const ROUNDS = 5
const ONE_WAY_MS = 15
/** A server that has just said that it is ready still loads what it needs later; it is given this long. */
const STARTED_MS = 2000
const SEEKS = 10

const film = await makeNumberedFilm()
const stopS3 = await setup()
const s3 = realS3()
const rows: Row[] = []
try {
  await upload(s3, film)
  rows.push(...(await benchFirstSegment(s3)), ...(await benchBrowser(s3)))
} finally {
  await stopS3?.()
}
report(rows)

async function upload({ endpoint, region, bucket, ...credentials }: RealS3, path: string) {
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true })
  const params = {
    Bucket: bucket,
    Key: KEY,
    Body: createReadStream(path),
    ContentType: 'video/mp4',
  }
  await new Upload({ client, params }).done()
  const copy = { Bucket: bucket, Key: OTHER_KEY, CopySource: `${bucket}/${KEY}` }
  await client.send(new CopyObjectCommand(copy))
  client.destroy()
}

function startOn({ bucket, region, accessKeyId, secretAccessKey }: RealS3, endpoint: string) {
  return startServer({
    env: {
      NEARCAST_MEDIA: `s3://${bucket}`,
      NEARCAST_S3_ENDPOINT: endpoint,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: region,
    },
  })
}

async function benchFirstSegment(from: RealS3): Promise<Row[]> {
  const wire = await startDelayProxy(Number(new URL(from.endpoint).port), ONE_WAY_MS)
  const first: Opening[] = []
  const next: Opening[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await using server = await startOn(from, `http://127.0.0.1:${wire.port}`)
    await systemClock.sleep(STARTED_MS)
    first.push(await openFilm(server.http, KEY, wire))
    next.push(await openFilm(server.http, OTHER_KEY, wire))
  }
  await wire.close()
  for (const step of [...(first.at(-1)?.steps ?? []), ...(next.at(-1)?.steps ?? [])])
    console.log(step)
  const reads = Math.max(...[...first, ...next].map((opening) => opening.reads))
  const row = (figure: string, openings: readonly Opening[]) => {
    const totals = openings.map((opening) => opening.totalMs)
    return atMost(figure, 150, median(totals), 'ms', list(totals))
  }
  return [
    row('first HLS segment from cold, 30 ms: first film of a process', first),
    row('first HLS segment from cold, 30 ms: next film', next),
    atMost('S3 reads up to the end of it', 3, reads, 'reads'),
  ]
}

interface Opening {
  readonly totalMs: number
  readonly reads: number
  readonly steps: readonly string[]
}

/** Main playlist, media playlist, init section and first segment of a film nobody asked for yet, one after the other on one connection. */
async function openFilm(server: string, key: string, wire: DelayProxy): Promise<Opening> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const steps: string[] = []
  const began = systemClock.monotonic()
  wire.restart()
  const take = async (url: URL) => {
    const started = systemClock.monotonic()
    const bytes = await fetchWhole(url, agent)
    const ms = (systemClock.monotonic() - started).toFixed(1)
    steps.push(`  ${url.pathname}: ${ms} ms, ${bytes.length} B`)
    return bytes
  }
  const main = new URL(`${server}/vod/${key}/index.m3u8`)
  const media = uriIn(await take(main), main, /^#EXT-X-STREAM-INF.*\n(\S+)/m)
  const playlist = await take(media)
  await take(uriIn(playlist, media, /#EXT-X-MAP:URI="([^"]+)"/))
  await take(uriIn(playlist, media, /^#EXTINF.*\n(\S+)/m))
  const totalMs = systemClock.monotonic() - began
  agent.destroy()
  steps.push(...wire.reads.map((read) => `    S3: ${read}`))
  return { totalMs, reads: wire.reads.length, steps }
}

/** The address that a line of a playlist names, relative to the playlist's own. */
function uriIn(playlist: Buffer, base: URL, pattern: RegExp): URL {
  const uri = pattern.exec(playlist.toString())?.[1]
  if (uri === undefined) throw new Error(`${base.pathname} names no ${pattern}`)
  return new URL(uri, base)
}

function fetchWhole(url: URL, agent: Agent): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const body = Buffer.concat(chunks)
        if (response.statusCode === 200) resolve(body)
        else reject(new Error(`${url.pathname}: ${response.statusCode} ${body.toString()}`))
      })
    }).on('error', reject)
  })
}

async function benchBrowser(from: RealS3): Promise<Row[]> {
  const browser = await launchBrowser()
  await using server = await startOn(from, from.endpoint)
  const pages = await startPageServer()
  const firsts: number[] = []
  const bare: number[] = []
  let seeks: readonly Seek[] = []
  const visit = async (url: string, then?: (frame: Frame) => Promise<void>): Promise<number> => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await installSight(page)
    const began = systemClock.now()
    await page.goto(url, { waitUntil: 'commit' })
    const frame = await frameWithPicture(page, 30_000)
    if (frame === undefined) throw new Error(`${url} shows no picture within 30 s`)
    const at = await frame.evaluate(() => window.sight?.firstFrameAt ?? 0)
    await then?.(frame)
    await context.close()
    return at - began
  }
  const embed = `${server.http}/embed/vod/${KEY}?autoplay=muted`
  for (let round = 0; round < ROUNDS; round++) {
    bare.push(await visit(pages.bareVideo(`${server.http}/media/${KEY}`)))
    firsts.push(await visit(embed))
  }
  await visit(embed, async (frame) => {
    seeks = await seekAround(frame)
  })
  pages.close()
  await browser.close()
  const right = seeks.filter((seek) => seek.shown === seek.wanted)
  const wrong = seeks
    .filter((seek) => seek.shown !== seek.wanted)
    .map((seek) => `wanted ${seek.wanted}, shown ${seek.shown}`)
  const times = seeks.map((seek) => seek.ms)
  return [
    atMost('first picture in Chromium, loopback', 500, median(firsts), 'ms', list(firsts)),
    {
      figure: 'the same Chromium, a bare video element of the file',
      asked: 'beside it',
      measured: `${Math.round(median(bare))} ms (${list(bare)}); the player takes ${(median(firsts) / median(bare)).toFixed(2)} times that`,
      holds: true,
    },
    {
      figure: 'seeks that show the very picture',
      asked: `${SEEKS} of ${SEEKS}`,
      measured: `${right.length} of ${seeks.length}; ${wrong.join('; ') || `median ${Math.round(median(times))} ms`}`,
      holds: right.length === SEEKS,
    },
  ]
}

interface Seek {
  readonly wanted: number
  readonly shown: number | undefined
  readonly ms: number
}

/** Paused, so that what is read is the picture that was sought and not the one after it. */
async function seekAround(frame: Frame): Promise<Seek[]> {
  await frame.evaluate(() => window.sight?.video?.pause())
  const pictures = FILM_SECONDS * FILM_FPS
  const seeks: Seek[] = []
  for (let n = 0; n < SEEKS; n++) {
    // Far from each other, forward and back, at no key frame.
    const wanted = ((n + 1) * 5351) % pictures
    const time = (wanted + 0.5) / FILM_FPS
    const { shown, ms } = await frame.evaluate(seekTo, time)
    seeks.push({ wanted, shown, ms })
  }
  return seeks
}

function seekTo(time: number): Promise<{ shown: number | undefined; ms: number }> {
  return new Promise((resolve) => {
    const { sight } = window
    const video = sight?.video
    if (!sight || !video) return
    const began = performance.now()
    const finish = () => {
      clearTimeout(timer)
      sight.onPicture = undefined
      resolve({ shown: sight.read(), ms: performance.now() - began })
    }
    const timer = setTimeout(finish, 10_000)
    // The picture and the word that the seek is done come in either order.
    let pictured = false
    video.addEventListener('seeked', () => pictured && finish(), { once: true })
    sight.onPicture = () => {
      pictured = true
      if (!video.seeking) finish()
    }
    video.currentTime = time
  })
}
