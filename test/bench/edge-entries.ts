import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { PerformanceObserver } from 'node:perf_hooks'
import { Cache } from '../../server/cache/cache.ts'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import { createEdge, type Edge } from '../../server/edge/create-edge.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { behavior, scriptedOrigin, message } from '../support/edge-fixture.ts'
import { atMost, list, quantile, type Row } from './report.ts'

// A whole edge, filled with different answers of 1 KB by way of its own handler: requests and responses are node's, the origin is in the
// process, nothing goes over a socket. Pauses are those of this program's garbage collection.
const BODY_BYTES = 1024
const MEMORY_BYTES = 4 * 1024 ** 3
const AT_ONCE = 64
const PROBES = 50_000

class Sink extends Socket {
  head = ''
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.head === '') this.head = chunk.toString('latin1', 0, 600)
    done()
  }
  override _writev(chunks: { readonly chunk: Buffer }[], done: () => void): void {
    for (const { chunk } of chunks) this._write(chunk, 'latin1', () => {})
    done()
  }
}

/** Asks the edge's handler as node's server does, and gives X-Cache of the answer. */
function ask(edge: Edge, path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = new Sink()
    const request = new IncomingMessage(socket)
    request.method = 'GET'
    request.url = path
    request.httpVersion = '1.1'
    request.headers = { host: 'a.test', 'user-agent': 'bench' }
    request.rawHeaders = ['Host', 'a.test', 'User-Agent', 'bench']
    const response = new ServerResponse(request)
    response.assignSocket(socket)
    response.once('finish', () => {
      response.detachSocket(socket)
      resolve(/x-cache: (\w+)/i.exec(socket.head)?.[1] ?? socket.head)
      process.nextTick(() => response.emit('close'))
    })
    edge.handle(request, response)
  })
}

function pathOf(i: number): string {
  return `/shop/products/${i}.json`
}

/** Fills an edge with `count` answers and asks for all kinds of them again. */
export async function edgeRows(count: number): Promise<readonly Row[]> {
  const cache = new Cache({ memoryBytes: MEMORY_BYTES })
  const text = Buffer.alloc(BODY_BYTES, 'nearcast ')
  const fields = {
    'content-type': 'application/json',
    'cache-control': 'public, max-age=86400',
    'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
    server: 'bench',
  }
  const origin = scriptedOrigin('site', ({ path }) => {
    origin.requests.length = 0
    const body = Buffer.from(text)
    body.write(path)
    return message(200, { ...fields, etag: `W/"${path.length}"` }, body)
  })
  const invalidations = new InvalidationIndex()
  const distributions = [
    {
      kind: 'web',
      id: 'default',
      enabled: true,
      hosts: ['*'],
      defaultRootObject: '',
      behaviors: [behavior({ ttl: { min: 0, default: 86_400, max: 31_536_000 } })],
    },
  ] as const
  const edge = createEdge({
    clock: systemClock,
    log: silentLog,
    metrics: new Metrics(),
    cache,
    edgeId: 'bench',
    state: () => ({ distributions, invalidations, position: 'e:1', seq: 1 }),
    origins: () => origin,
  })
  const pauses: number[] = []
  const observer = new PerformanceObserver((entries) => {
    for (const { duration } of entries.getEntries()) pauses.push(duration)
  })
  observer.observe({ entryTypes: ['gc'] })
  // The observer is told some turns later.
  const turn = async () => {
    for (let n = 0; n < 10; n++) await new Promise((resolve) => setImmediate(resolve))
  }
  const cpuUs = () => process.cpuUsage().user

  const fill = async (from: number, to: number) => {
    for (let i = from; i < to; i += AT_ONCE) {
      const paths = Array.from({ length: Math.min(AT_ONCE, to - i) }, (_, n) => pathOf(i + n))
      await Promise.all(paths.map((path) => ask(edge, path)))
      // As between what sockets bring.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  /** Of what came in first, which is packed: hits of different answers, one after another, without node's part. */
  const lookups = async (below: number) => {
    const begun = cpuUs()
    for (let probe = 0; probe < PROBES; probe++) {
      if (probe % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
      const i = (Math.imul(probe, 0x9e3779b1) >>> 0) % below
      const found = edge.fast.path.find(`GET ${pathOf(i)} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
      if (!found) throw new Error(`${pathOf(i)} is not there`)
    }
    return ((cpuUs() - begun) * 1000) / PROBES
  }

  // Few answers, asked for again and again: what requests and a busy machine cost without a million answers.
  for (let i = 0; i < count / 10; i += AT_ONCE) await fill(0, AT_ONCE)
  await turn()
  const pausesFew = pauses.splice(0)
  const early = Math.floor(count / 10)
  const begun = systemClock.monotonic()
  await fill(0, early)
  await turn()
  await lookups(early)
  const lookupEarly = await lookups(early)
  await turn()
  pauses.length = 0
  await fill(early, count)
  await turn()
  const pausesFilling = pauses.splice(0)
  const seconds = (systemClock.monotonic() - begun) / 1000
  await lookups(count)
  const lookupLate = await lookups(count)
  await turn()
  const pausesHits = pauses.splice(0)
  let asked = 0
  let again = 0
  for (let i = 0; i < count; i += Math.ceil(count / 1000)) {
    asked++
    if ((await ask(edge, pathOf(i))) === 'Hit') again++
  }
  observer.disconnect()

  const { objects, packedRecords, packedBytes, bytes } = cache.stats()
  const memory = process.memoryUsage()
  const said = (of: readonly number[]) =>
    `p99 ${list([quantile(of, 0.99)])}, median ${list([quantile(of, 0.5)])}, longest ${list([Math.max(...of)])} of ${of.length}; with 64 answers p99 ${list([quantile(pausesFew, 0.99)])}, longest ${list([Math.max(...pausesFew)])} of ${pausesFew.length}`
  const mib = (value: number) => Math.round(value / 1024 ** 2)
  const name = `edge with ${count.toLocaleString('en')} answers of 1 KB`
  return [
    atMost(`${name}: asked for again and not there`, 0, asked - again, 'answers', `of ${asked}`),
    atMost(
      `${name}: hot objects`,
      10_000,
      objects,
      'objects',
      `${packedRecords} packed in ${mib(packedBytes)} MiB, heap ${mib(memory.heapUsed)} MiB`,
    ),
    atMost(
      `${name}: memory an answer, all in all`,
      4096,
      (memory.rss - 100 * 1024 ** 2) / count,
      'bytes',
      `RSS ${mib(memory.rss)} MiB, counted ${mib(bytes)} MiB; filled at ${Math.round(count / seconds)}/s`,
    ),
    atMost(`${name}: index`, 200, cache.stats().packedIndexBytes / packedRecords, 'bytes/entry'),
    atMost(
      `${name}: pauses while it fills, p99, beyond those with 64 answers`,
      10,
      quantile(pausesFilling, 0.99) - quantile(pausesFew, 0.99),
      'ms',
      said(pausesFilling),
    ),
    atMost(
      `${name}: pauses while packed ones are asked for, p99, beyond those with 64 answers`,
      10,
      quantile(pausesHits, 0.99) - quantile(pausesFew, 0.99),
      'ms',
      said(pausesHits),
    ),
    atMost(
      `${name}: a packed hit, of one with a tenth as many`,
      2,
      lookupLate / lookupEarly,
      'times',
      `${Math.round(lookupEarly)}, then ${Math.round(lookupLate)} ns of CPU`,
    ),
  ]
}
