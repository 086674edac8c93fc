import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { promisify } from 'node:util'
import { startServer, type TestServer } from '../support/server.ts'
import { cpuSeconds, has, pin, prioritize } from './anchors.ts'
import { quantile, report, type Row, shuffled, spread } from './report.ts'

// Hits by one worker on one core and by two on two. The load needs CPU itself, so each core carries the same: one worker and one wrk with
// 32 connections. Two cores are then asked for what twice one core answers, by the clock. Short rounds, each of both in an order of its
// own; a ratio is of one round, since the machine is shared.
const SIZES = { '/1k': 1024, '/200k': 200 * 1024 } as const
const ROUNDS = Number(process.argv[2] ?? 10)
const SECONDS = 1
const REST_MS = 300
const CORES = ['0', '1'] as const
const LEAST = 0.85
const run = promisify(execFile)

interface Measured {
  readonly perSecond: number
  readonly perCpuSecond: number
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
const missing = ['wrk', 'taskset'].filter((command) => !has(command))
if (missing.length > 0) throw new Error(`apt-get install ${missing.join(' ')}`)

const config = `
origins: { bench: { kind: http, url: 'http://127.0.0.1:${originPort}' } }
distributions:
  - { id: bench, hosts: ['*'], behaviors: [{ path: '*', origin: bench }] }
`
await using one = await startServer({ config, env: { NEARCAST_HTTP_WORKERS: '1' } })
await using two = await startServer({ config, env: { NEARCAST_HTTP_WORKERS: '2' } })
const servers = [
  { name: 'one', server: one, cores: CORES.slice(0, 1) },
  { name: 'two', server: two, cores: CORES },
]
for (const { server, cores } of servers)
  for (const [at, worker] of childrenOf(server.pid).entries()) pin(worker, cores[at])

const rows: Row[] = []
const shown: object[] = []
for (const path of Object.keys(SIZES)) {
  const measured = new Map(servers.map(({ name }): [string, Measured[]] => [name, []]))
  // The first round warms.
  for (let round = 0; round <= ROUNDS; round += 1)
    for (const { name, server, cores } of shuffled(servers)) {
      const result = await measure(server, path, cores)
      if (round > 0) measured.get(name)?.push(result)
      await new Promise((resolve) => setTimeout(resolve, REST_MS))
    }
  for (const [workers, all] of measured)
    shown.push({
      workers,
      path,
      'per second': spread(all.map(({ perSecond }) => perSecond)),
      'per CPU second of the workers': spread(all.map(({ perCpuSecond }) => perCpuSecond)),
      'share of the busiest': spread(all.map(({ busiest }) => busiest)),
      'main: CPU s per million': spread(all.map(({ main }) => main)),
    })
  const ratios = (key: 'perSecond' | 'perCpuSecond', cores: number) =>
    (measured.get('two') ?? []).map(
      (result, at) => result[key] / cores / (measured.get('one')?.[at]?.[key] ?? Number.NaN),
    )
  const byTheClock = ratios('perSecond', 2)
  rows.push({
    figure: `${path}: two cores by the clock, of twice one`,
    asked: `≥ ${LEAST}`,
    measured: spread(byTheClock),
    holds: quantile(byTheClock, 0.5) >= LEAST,
  })
  rows.push({
    figure: `${path}: a CPU second of two workers, of one's alone`,
    asked: 'to compare',
    measured: spread(ratios('perCpuSecond', 1)),
    holds: true,
  })
}
origin.close()
console.table(shown)
report(rows)

async function measure(
  { http, pid }: TestServer,
  path: string,
  cores: readonly string[],
): Promise<Measured> {
  prioritize(pid, true)
  const workers = childrenOf(pid)
  const cpu = () => workers.map(cpuSeconds)
  const before = cpu()
  const mainBefore = cpuSeconds(pid) - sum(before)
  const loads = await Promise.all(
    cores.map((core) => {
      const args = ['-c', core, 'wrk', '-t1', '-c32', `-d${SECONDS}s`, `${http}${path}`]
      const load = run('taskset', args)
      if (load.child.pid !== undefined) prioritize(load.child.pid, true)
      return load
    }),
  )
  const after = cpu()
  const main = cpuSeconds(pid) - sum(after) - mainBefore
  prioritize(pid, false)
  const spent = after.map((seconds, at) => seconds - (before[at] ?? 0))
  let requests = 0
  let perSecond = 0
  for (const { stdout } of loads) {
    if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout)
    const [, answered = '', seconds = ''] = /(\d+) requests in ([\d.]+)s/.exec(stdout) ?? []
    requests += Number(answered)
    perSecond += Number(answered) / Number(seconds)
  }
  return {
    perSecond,
    perCpuSecond: requests / sum(spent),
    busiest: Math.max(...spent) / sum(spent),
    main: (main / requests) * 1_000_000,
  }
}

function childrenOf(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
  return children.split(' ').filter(Boolean).map(Number)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
