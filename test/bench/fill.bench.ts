import { execFile } from 'node:child_process'
import { get } from 'node:http'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Cache } from '../../server/cache/cache.ts'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import { createEdge } from '../../server/edge/create-edge.ts'
import { listenHttp } from '../../server/edge/listen-http.ts'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import type { ObjectRead, ObjectStore } from '../../server/storage/object-store.ts'
import { behavior } from '../support/edge-fixture.ts'
import { atMost, list, median, report, type Row } from './report.ts'

// Filling while serving: an 8 MiB object at an origin of 2 MiB/s whose first byte takes 100 ms.
// A: 5 viewers 300 ms apart, cold. B: 64 KiB at 6 MiB, cold, then again. C: 500 viewers at once on 32 MiB at 1 MiB/s, one of them slow.
const KIB = 1024
const MIB = KIB * KIB
const LATENCY_MS = 100
const CHUNK = 16 * KIB
const VIEWERS = 500

const film = Buffer.alloc(32 * MIB, 'nearcast')
const run = promisify(execFile)
let size = 8 * MIB
let rate = 2 * MIB
let fetched = 0
let reads = 0

const store: ObjectStore = {
  description: 'paced',
  stat: () => Promise.resolve(infoOf()),
  async read(_key, { range, signal }): Promise<ObjectRead> {
    reads++
    const start = range && 'start' in range ? range.start : 0
    const end = Math.min(size, (range && 'start' in range ? (range.end ?? size - 1) : size - 1) + 1)
    await systemClock.sleep(LATENCY_MS, signal)
    return { info: infoOf(), start, length: end - start, body: paced(start, end, signal) }
  },
  write: () => Promise.reject(new Error('read only')),
  list: () => Promise.resolve({ objects: [], prefixes: [] }),
  remove: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

function infoOf() {
  return { key: 'film.mp4', size, etag: 'v1', lastModified: 0 }
}

async function* paced(start: number, end: number, signal: AbortSignal) {
  const began = systemClock.monotonic()
  for (let at = start; at < end; at += CHUNK) {
    const due = ((at - start) / rate) * 1000 - (systemClock.monotonic() - began)
    if (due > 0) await systemClock.sleep(due, signal)
    const chunk = film.subarray(at, Math.min(end, at + CHUNK))
    fetched += chunk.length
    yield chunk
  }
}

async function startEdge() {
  const cache = new Cache({ memoryBytes: 64 * MIB })
  const origin = objectStoreOrigin('site', store)
  const distributions = [
    {
      kind: 'web',
      id: 'default',
      enabled: true,
      hosts: ['*'],
      defaultRootObject: '',
      behaviors: [behavior()],
    },
  ] as const
  const edge = createEdge({
    clock: systemClock,
    log: silentLog,
    metrics: new Metrics(),
    cache,
    edgeId: 'bench',
    state: () => ({
      distributions,
      invalidations: new InvalidationIndex(),
      position: 'e:1',
      seq: 1,
    }),
    origins: () => origin,
  })
  fetched = 0
  reads = 0
  return listenHttp({ host: '127.0.0.1', port: 0, clock: systemClock, ...edge })
}

interface Seen {
  readonly firstMs: number
  readonly totalMs: number
  readonly bytes: number
}

function view(port: number, range?: string): Promise<Seen> {
  const began = systemClock.monotonic()
  return new Promise((resolve, reject) => {
    const headers = range === undefined ? {} : { range }
    const url = { host: '127.0.0.1', port, path: '/film.mp4', headers, agent: false }
    get(url, (response) => {
      let firstMs = 0
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        if (bytes === 0) firstMs = systemClock.monotonic() - began
        bytes += chunk.length
      })
      const done = () => resolve({ firstMs, totalMs: systemClock.monotonic() - began, bytes })
      response.on('close', done)
      response.on('error', done)
    }).on('error', reject)
  })
}

/** What was cut short is quick too: it does not count. */
function whole(seen: readonly Seen[], bytes: number): void {
  const short = seen.filter((one) => one.bytes !== bytes)
  if (short.length > 0) throw new Error(`${short.length} viewers did not get their ${bytes} bytes`)
}

async function benchJoiners(): Promise<Row[]> {
  const listener = await startEdge()
  const viewers: Promise<Seen>[] = []
  for (let n = 0; n < 5; n++) {
    viewers.push(view(listener.port))
    await systemClock.sleep(300)
  }
  const seen = await Promise.all(viewers)
  await listener.close(0)
  whole(seen, size)
  const [first = 0, ...joined] = seen.map((one) => one.firstMs)
  const name = 'A: 5 viewers 300 ms apart'
  const nginx = 'nginx+lock: 4017, 3506, 3515, 3006'
  return [
    atMost(`${name}: fetched of each byte`, 1, fetched / size, 'times', `${reads} requests`),
    atMost(`${name}: first byte of the first`, 1.5 * LATENCY_MS, first),
    atMost(`${name}: of the others`, 10, Math.max(...joined), 'ms', `${list(joined)}; ${nginx}`),
  ]
}

async function benchDeepRange(): Promise<Row[]> {
  const listener = await startEdge()
  const range = `bytes=${6 * MIB}-${6 * MIB + 64 * KIB - 1}`
  const cold = await view(listener.port, range)
  const again: Seen[] = []
  for (let i = 0; i < 9; i++) again.push(await view(listener.port, range))
  await listener.close(0)
  whole([cold, ...again], 64 * KIB)
  const times = again.map(({ firstMs }) => firstMs)
  const name = 'B: 64 KiB at 6 MiB'
  return [
    atMost(`${name}: cold`, 1.5 * LATENCY_MS, cold.firstMs, 'ms', 'nginx: 3136; ATS: 137'),
    atMost(`${name}: again`, 2, median(times), 'ms', `${list(times)}; nginx: 3136; ATS: 129`),
    atMost(`${name}: fetched of each byte`, 1, fetched / (64 * KIB), 'times', `${reads} requests`),
  ]
}

async function benchCrowd(): Promise<Row[]> {
  size = 32 * MIB
  rate = MIB
  const listener = await startEdge()
  global.gc?.()
  const before = process.memoryUsage().rss
  let most = before
  const watching = systemClock.every(100, () => {
    most = Math.max(most, process.memoryUsage().rss)
  })
  const script = fileURLToPath(new URL('crowd.ts', import.meta.url))
  const args = ['--import', 'tsx', script, String(listener.port), String(VIEWERS)]
  const { stdout } = await run(process.execPath, args, { maxBuffer: MIB })
  const crowd = JSON.parse(stdout) as readonly Seen[]
  watching[Symbol.dispose]()
  await listener.close(0)
  whole(crowd, size)
  const origin = LATENCY_MS + (size / rate) * 1000
  const name = `C: ${VIEWERS} viewers at once, one at 10 kB/s`
  const first = Math.max(...crowd.map((one) => one.firstMs))
  const total = Math.max(...crowd.map((one) => one.totalMs))
  return [
    atMost(`${name}: fetched of each byte`, 1, fetched / size, 'times', `${reads} requests`),
    atMost(`${name}: slowest whole`, 1.2 * origin, total, 'ms', `origin alone ${origin}`),
    {
      figure: `${name}: slowest first byte`,
      asked: 'to compare',
      measured: `${Math.round(first)} ms`,
      holds: true,
    },
    atMost(`${name}: memory more`, 32 + 100, (most - before) / MIB, 'MiB', 'the film has 32'),
  ]
}

report([...(await benchJoiners()), ...(await benchDeepRange()), ...(await benchCrowd())])
