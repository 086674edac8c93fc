import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startServer } from '../support/server.ts'
import {
  type Anchor,
  cpuSeconds,
  has,
  pin,
  prioritize,
  startBareNode,
  startBareSocket,
  startNginx,
  startTrafficServer,
  startVarnish,
} from './anchors.ts'
import { quantile, report, type Row, shuffled, spread } from './report.ts'

// The hit path beside other caches and bare node in the same run: requests per CPU second of the server's processes, server on one core,
// wrk on the other, 32 connections. Many short rounds, each of all servers in an order of its own; a ratio is of one round, since the
// machine is shared, and what counts is the median of them.
const SIZES = { '/1k': 1024, '/200k': 200 * 1024, '/2m': 2 * 1024 * 1024 } as const
const ROUNDS = Number(process.argv[2] ?? 10)
const SECONDS = 1
/** Between two measurements, for whom they kept waiting. */
const REST_MS = 300
/** Of nginx's proxy_cache, by size. */
const OF_NGINX = { '/1k': 0.8, '/200k': 0.65, '/2m': 0.8 } as const
const run = promisify(execFile)

const folder = mkdtempSync(join(tmpdir(), 'nearcast-edge-bench-'))
const origin = createServer((request, response) => {
  const size = SIZES[request.url as keyof typeof SIZES]
  if (size === undefined) return response.writeHead(404).end()
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': size,
    'cache-control': 'max-age=3600',
    etag: '"a"',
  })
  return response.end(Buffer.alloc(size, 97))
}).listen(0, '127.0.0.1')
await once(origin, 'listening')
const address = origin.address()
const originPort = address !== null && typeof address === 'object' ? address.port : 0

const missing = ['wrk', 'taskset'].filter((command) => !has(command))
if (missing.length > 0) throw new Error(`apt-get install ${missing.join(' ')}`)
await using server = await startServer({
  config: `
log: { access: access.log }
origins: { bench: { kind: http, url: 'http://127.0.0.1:${originPort}' } }
distributions:
  - { id: bench, hosts: ['*'], behaviors: [{ path: '*', origin: bench }] }
`,
})
pin(server.pid)
const ours: Anchor = {
  name: 'nearcast',
  port: Number(new URL(server.http).port),
  pid: server.pid,
  stop: async () => {},
}
const anchors: Anchor[] = [ours, await startBareNode(), await startBareSocket()]
if (has('nginx')) {
  anchors.push(await startNginx(folder, originPort, 'on'))
  anchors.push(await startNginx(folder, originPort, 'off'))
}
if (has('varnishd')) anchors.push(await startVarnish(folder, originPort))
if (has('traffic_server')) anchors.push(await startTrafficServer(folder, originPort))

const paths = Object.keys(SIZES)
/** By path and server, one of each round. */
const rates = new Map(paths.map((path) => [path, new Map<string, number[]>()]))
try {
  // The first round warms.
  for (let round = 0; round <= ROUNDS; round += 1)
    for (const path of shuffled(paths))
      for (const anchor of shuffled(anchors)) {
        const rate = await requestsPerCpuSecond(anchor, path)
        if (round > 0) ratesOf(anchor.name, path).push(rate)
        await new Promise((resolve) => setTimeout(resolve, REST_MS))
      }
} finally {
  for (const anchor of anchors) await anchor.stop()
  origin.close()
  await rm(folder, { recursive: true, force: true })
}
console.table(
  anchors.map(({ name }) => ({
    server: name,
    ...Object.fromEntries(paths.map((path) => [path, spread(ratesOf(name, path))])),
  })),
)
report(rows())

function ratesOf(name: string, path: string): number[] {
  const all = rates.get(path)
  const found = all?.get(name) ?? []
  all?.set(name, found)
  return found
}

function rows(): Row[] {
  const found: Row[] = []
  for (const [path, ofNginx] of Object.entries(OF_NGINX))
    for (const { name } of anchors) {
      if (name === 'nearcast') continue
      const theirs = ratesOf(name, path)
      const ratios = ratesOf('nearcast', path).map((rate, at) => rate / (theirs[at] ?? Number.NaN))
      // The others are there to compare: what node does when there is nothing to decide, what a copy costs nginx.
      const asked = name === 'nginx' ? ofNginx : name === 'varnish' ? 1 : 0
      found.push({
        figure: `${path}: of ${name}`,
        asked: asked === 0 ? 'to compare' : `≥ ${asked}`,
        measured: spread(ratios),
        holds: quantile(ratios, 0.5) >= asked,
      })
    }
  return found
}

async function requestsPerCpuSecond({ port, pid }: Anchor, path: string): Promise<number> {
  prioritize(pid, true)
  const before = cpuSeconds(pid)
  const args = ['-c', '1', 'wrk', '-t1', '-c32', `-d${SECONDS}s`, `http://127.0.0.1:${port}${path}`]
  const load = run('taskset', args)
  if (load.child.pid !== undefined) prioritize(load.child.pid, true)
  const { stdout } = await load
  const used = cpuSeconds(pid) - before
  prioritize(pid, false)
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout)
  return Number(/(\d+) requests in/.exec(stdout)?.[1]) / used
}
