import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { systemClock } from '../../server/lib/clock.ts'
import { startDelayProxy } from '../support/delay-proxy.ts'
import { publishPicture } from '../support/publish-picture.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { atMost, median, quantile, report, type Row } from './report.ts'

// Blocked reloads of thousands at once on one process, and how late parts are at an edge far away.
// npm run bench -- reloads [viewers] [seconds]
const VIEWERS = Number(process.argv[2] ?? 2000)
const SECONDS = Number(process.argv[3] ?? 20)
/** Who ask for the same without being a crowd: when the first of them has a part, it exists. */
const SCOUTS = 4
const WARM_UP_MS = 8000
const EDGE_ONE_WAY_MS = 125

const Seen = z.object({
  parts: z.record(z.string(), z.array(z.number())),
  wrong: z.array(z.tuple([z.string(), z.number()])),
})
type Seen = z.infer<typeof Seen>

const rows: Row[] = []
await using origin = await startServer()
const wire = await startDelayProxy(Number(new URL(origin.ready.origin ?? '').port), EDGE_ONE_WAY_MS)
await using edge = await startServer({
  env: {
    NEARCAST_ROLE: 'edge',
    NEARCAST_PARENT: `http://127.0.0.1:${wire.port}`,
    NEARCAST_PARENT_TOKEN: origin.ready.edgeToken ?? '',
  },
})
const publisher = publishPicture(`${origin.rtmp}/${origin.streamKey}`)
try {
  await systemClock.sleep(WARM_UP_MS)
  const path = await playlistOf(origin)
  rows.push(...(await benchCrowd(path)), ...(await benchEdge(path)))
} finally {
  await publisher.stop()
  await wire.close()
}
report(rows)

async function benchCrowd(path: string): Promise<readonly Row[]> {
  await eventLoopOf(origin)
  const [crowd, scouts] = await Promise.all([
    watch(origin, path, VIEWERS),
    watch(origin, path, SCOUTS),
  ])
  const loop = await eventLoopOf(origin)
  const late = latenessOf(crowd, scouts)
  const answers = late.length / SECONDS
  return [
    atMost(`${VIEWERS} viewers: answers that were wrong`, 0, wrongIn(crowd), ''),
    atMost(
      'behind the part: 99 of 100 answers',
      100,
      quantile(late, 0.99),
      'ms',
      `median ${median(late)}, ${answers.toFixed(0)} answers a second`,
    ),
    atMost(
      'event loop: 99 of 100 timers',
      20,
      loop.p99 * 1000,
      'ms',
      `the latest ${(loop.max * 1000).toFixed(0)}`,
    ),
  ]
}

async function benchEdge(path: string): Promise<readonly Row[]> {
  // What the edge of no viewer has open: its control log, and what it says of that.
  const idle = wire.connections
  await playlistOf(edge)
  await systemClock.sleep(WARM_UP_MS)
  const [far, near] = await Promise.all([watch(edge, path, SCOUTS), watch(origin, path, SCOUTS)])
  const late = latenessOf(far, near)
  return [
    atMost(
      'edge 250 ms away: parts later',
      EDGE_ONE_WAY_MS + 15,
      median(late),
      'ms',
      `p95 ${quantile(late, 0.95)}`,
    ),
    atMost(
      'edge 250 ms away: connections more for all viewers of a stream',
      1,
      wire.connections - idle,
      '',
      `${idle} for control`,
    ),
  ]
}

/** How long behind the first scout each answer came, in milliseconds; parts whose beginning or end was not seen are left out. */
function latenessOf(seen: Seen, scouts: Seen): readonly number[] {
  return Object.entries(seen.parts).flatMap(([part, times]) => {
    const known = scouts.parts[part]
    if (!known || known.length === 0) return []
    const exists = Math.min(...known, ...times)
    return times.map((time) => time - exists)
  })
}

function wrongIn({ wrong }: Seen): number {
  for (const [what, times] of wrong) console.log(`${times} times: ${what}`)
  return wrong.reduce((sum, [, times]) => sum + times, 0)
}

/** The media playlist of the picture, as a path. */
async function playlistOf(server: TestServer): Promise<string> {
  const main = new URL(`${server.http}/live/main/index.m3u8`)
  for (;;) {
    const text = await (await fetch(main)).text()
    const uri = /^[^#\s].*$/m.exec(text)?.[0]
    if (text.startsWith('#EXTM3U') && uri) return new URL(uri, main).pathname
  }
}

function watch(server: TestServer, path: string, count: number): Promise<Seen> {
  const { port } = new URL(server.http)
  const script = fileURLToPath(new URL('./reload-crowd.ts', import.meta.url))
  const args = ['--import', 'tsx', script, port, path, `${count}`, `${SECONDS}`]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', reject)
    child.on('close', () => {
      try {
        resolve(Seen.parse(JSON.parse(Buffer.concat(chunks).toString())))
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
  })
}

/** Since the last look, in seconds. */
async function eventLoopOf(server: TestServer): Promise<{ p99: number; max: number }> {
  const headers = { authorization: `Bearer ${server.ready.adminToken}` }
  const text = await (await fetch(`${server.control}/metrics`, { headers })).text()
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
  return {
    p99: read('nearcast_event_loop_delay_p99_seconds'),
    max: read('nearcast_event_loop_delay_max_seconds'),
  }
}
