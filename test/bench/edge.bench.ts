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
  startBareNode,
  startNginx,
  startVarnish,
} from './anchors.ts'
import { list, median, report, type Row } from './report.ts'

// The hit path beside nginx, Varnish and a bare node:http handler in the same run: requests per CPU second of the server's processes,
// server on one core, wrk on the other, 32 connections. Ratios, since the machine is shared.
const SIZES = { '/1k': 1024, '/200k': 200 * 1024, '/2m': 2 * 1024 * 1024 } as const
const ROUNDS = 4
const SECONDS = 2
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
const anchors: Anchor[] = [ours, await startBareNode()]
if (has('nginx')) anchors.push(await startNginx(folder, originPort))
if (has('varnishd')) anchors.push(await startVarnish(folder, originPort))

const measured = new Map<string, number[]>()
try {
  // The first round warms.
  for (let round = 0; round <= ROUNDS; round += 1)
    for (const path of Object.keys(SIZES))
      for (const anchor of anchors) {
        const name = `${anchor.name} ${path}`
        const rates = measured.get(name) ?? []
        measured.set(name, rates)
        const rate = await requestsPerCpuSecond(anchor, path, round === 0 ? 1 : SECONDS)
        if (round > 0) rates.push(rate)
      }
} finally {
  for (const anchor of anchors) await anchor.stop()
  origin.close()
  await rm(folder, { recursive: true, force: true })
}
console.table(
  anchors.map(({ name }) => ({
    server: name,
    ...Object.fromEntries(Object.keys(SIZES).map((path) => [path, Math.round(rate(name, path))])),
  })),
)
report(rows())

function rate(name: string, path: string): number {
  return median(measured.get(`${name} ${path}`) ?? [])
}

function rows(): Row[] {
  const found: Row[] = []
  for (const [path, least] of Object.entries(OF_NGINX))
    for (const { name } of anchors) {
      if (name === 'nearcast') continue
      const ratio = rate('nearcast', path) / rate(name, path)
      // What node:http does with nothing to decide: to see what deciding costs.
      const asked = name === 'nginx' ? least : name === 'varnish' ? 1 : 0
      found.push({
        figure: `${path}: of ${name}`,
        asked: asked === 0 ? 'to compare' : `≥ ${asked}`,
        measured: `${ratio.toFixed(2)} (ours ${list(measured.get(`nearcast ${path}`) ?? [])})`,
        holds: ratio >= asked,
      })
    }
  return found
}

async function requestsPerCpuSecond(
  { port, pid }: Anchor,
  path: string,
  seconds: number,
): Promise<number> {
  const before = cpuSeconds(pid)
  const args = ['-c', '1', 'wrk', '-t1', '-c32', `-d${seconds}s`, `http://127.0.0.1:${port}${path}`]
  const { stdout } = await run('taskset', args)
  const used = cpuSeconds(pid) - before
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout)
  return Number(/(\d+) requests in/.exec(stdout)?.[1]) / used
}
