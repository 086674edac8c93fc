import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { promisify } from 'node:util'
import { startServer, type TestServer } from '../support/server.ts'
import { cpuSeconds, has } from './anchors.ts'
import { list, median, report, type Row } from './report.ts'

// Hits by one worker and by two, 64 connections, wrk on the same two cores. The load needs CPU itself, so that the wall clock cannot
// show two cores' worth: what counts is requests per CPU second of the workers while both are busy, against one alone.
const SIZES = { '/1k': 1024, '/200k': 200 * 1024 } as const
const ROUNDS = 4
const SECONDS = 3
const LEAST = 0.85
const run = promisify(execFile)

interface Measured {
  readonly perCpuSecond: number
  readonly perSecond: number
  /** Of the workers' CPU time, what the busiest one took. */
  readonly busiest: number
  /** CPU seconds of the main process for a million requests. */
  readonly main: number
}

const origin = createServer((request, response) => {
  const size = SIZES[request.url as keyof typeof SIZES]
  if (size === undefined) return response.writeHead(404).end()
  response.writeHead(200, { 'content-length': size, 'cache-control': 'max-age=3600', etag: '"a"' })
  return response.end(Buffer.alloc(size, 97))
}).listen(0, '127.0.0.1')
await once(origin, 'listening')
const address = origin.address()
const originPort = address !== null && typeof address === 'object' ? address.port : 0
if (!has('wrk')) throw new Error('apt-get install wrk')

const config = `
origins: { bench: { kind: http, url: 'http://127.0.0.1:${originPort}' } }
distributions:
  - { id: bench, hosts: ['*'], behaviors: [{ path: '*', origin: bench }] }
`
await using one = await startServer({ config, env: { NEARCAST_HTTP_WORKERS: '1' } })
await using two = await startServer({ config, env: { NEARCAST_HTTP_WORKERS: '2' } })
const rows: Row[] = []
const shown: object[] = []
for (const path of Object.keys(SIZES)) {
  const measured = { one: [] as Measured[], two: [] as Measured[] }
  // The first round warms.
  for (let round = 0; round <= ROUNDS; round += 1) {
    const results = { one: await measure(one, path), two: await measure(two, path) }
    if (round === 0) continue
    measured.one.push(results.one)
    measured.two.push(results.two)
  }
  for (const [name, all] of Object.entries(measured))
    shown.push({
      workers: name,
      path,
      'per CPU second of the workers': middle(all, 'perCpuSecond'),
      'per second of the clock': middle(all, 'perSecond'),
      'share of the busiest': median(all.map(({ busiest }) => busiest)).toFixed(2),
      'main: CPU s per million': median(all.map(({ main }) => main)).toFixed(2),
    })
  const ratios = measured.two.map(
    ({ perCpuSecond }, at) => perCpuSecond / (measured.one[at]?.perCpuSecond ?? Number.NaN),
  )
  rows.push({
    figure: `${path}: a CPU second of two workers, of one's alone`,
    asked: `≥ ${LEAST}`,
    measured: `${median(ratios).toFixed(2)} (${list(ratios)})`,
    holds: median(ratios) >= LEAST,
  })
}
origin.close()
console.table(shown)
report(rows)

function middle(all: readonly Measured[], key: 'perCpuSecond' | 'perSecond'): number {
  return Math.round(median(all.map((measured) => measured[key])))
}

async function measure({ http, pid }: TestServer, path: string): Promise<Measured> {
  const workers = childrenOf(pid)
  const cpu = () => workers.map(cpuSeconds)
  const before = cpu()
  const mainBefore = cpuSeconds(pid) - sum(before)
  const args = ['-t1', '-c64', `-d${SECONDS}s`, `${http}${path}`]
  const { stdout } = await run('wrk', args)
  const after = cpu()
  const main = cpuSeconds(pid) - sum(after) - mainBefore
  const spent = after.map((seconds, at) => seconds - (before[at] ?? 0))
  const [, requests = '', seconds = ''] = /(\d+) requests in ([\d.]+)s/.exec(stdout) ?? []
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout)
  return {
    perCpuSecond: Number(requests) / sum(spent),
    perSecond: Number(requests) / Number(seconds),
    busiest: Math.max(...spent) / sum(spent),
    main: (main / Number(requests)) * 1_000_000,
  }
}

function childrenOf(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
  return children.split(' ').filter(Boolean).map(Number)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
