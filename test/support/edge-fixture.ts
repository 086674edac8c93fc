import { type IncomingHttpHeaders, request as httpRequest } from 'node:http'
import { Cache } from '../../server/cache/cache.ts'
import type { Resting } from '../../server/cache/tier/resting.ts'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import type { Behavior, WebDistribution } from '../../server/distribution/types.ts'
import type { AccessRecord } from '../../server/edge/access-record.ts'
import type { Changes } from '../../server/edge/decide.ts'
import { createEdge } from '../../server/edge/create-edge.ts'
import type { EdgeState } from '../../server/edge/edge-context.ts'
import { listenHttp } from '../../server/edge/listen-http.ts'
import type { Fields, Origin, OriginMessage, OriginRequest } from '../../server/http/message.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { type Log, silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { FakeClock } from './fake-clock.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
}

export interface EdgeFixture {
  readonly port: number
  readonly url: string
  readonly cache: Cache
  readonly clock: FakeClock
  readonly records: AccessRecord[]
  ask(path: string, options?: AskOptions): Promise<Answer>
  /** Gives the number of the change. */
  invalidate(...paths: string[]): number
  invalidateSoftly(...paths: string[]): number
  /** Of the change with this number. */
  undo(seq: number, ...paths: string[]): void
  changes(): Changes
  readonly state: () => EdgeState
  /** A log that was lost begins again under another epoch. */
  setEpoch(epoch: string): void
  setBehaviors(behaviors: readonly Partial<Behavior>[]): void
  close(): Promise<void>
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  readonly signal?: AbortSignal
}

export function behavior(part: Partial<Behavior> = {}): Behavior {
  return {
    path: '*',
    origin: 'site',
    methods: 'get',
    ttl: { min: 0, default: 60, max: 31_536_000 },
    key: { query: 'none', queryOrder: 'kept', headers: 'none', cookies: 'none' },
    compress: false,
    strip: '',
    errors: {},
    semantics: 'cloudfront',
    ...part,
  }
}

/** An edge on a real socket, with a clock that stands still. */
export async function startEdge(options: {
  readonly origins: readonly Origin[]
  readonly behaviors?: readonly Partial<Behavior>[]
  readonly hosts?: readonly string[]
  readonly memoryBytes?: number
  readonly sliceBytes?: number
  readonly resting?: Resting
  readonly stuckMs?: number
  readonly halfClosedMs?: number
  readonly log?: Log
  readonly defaultRootObject?: string
}): Promise<EdgeFixture> {
  const clock = new FakeClock()
  const cache = new Cache({
    memoryBytes: options.memoryBytes ?? 64 * 1024 * 1024,
    sliceBytes: options.sliceBytes,
    resting: options.resting,
  })
  const invalidations = new InvalidationIndex()
  const records: AccessRecord[] = []
  let seq = 1
  let epoch = 'e1'
  const distributionOf = (behaviors: readonly Partial<Behavior>[]): readonly WebDistribution[] => [
    {
      kind: 'web',
      id: 'default',
      enabled: true,
      hosts: options.hosts ?? ['*'],
      defaultRootObject: options.defaultRootObject ?? 'index.html',
      behaviors: behaviors.map(behavior),
    },
  ]
  let distributions = distributionOf(options.behaviors ?? [{}])
  const state = () => ({ distributions, invalidations, position: `${epoch}:${seq}`, seq })
  const edge = createEdge({
    clock,
    log: options.log ?? silentLog,
    metrics: new Metrics(),
    cache,
    edgeId: 'test',
    state,
    origins: (id) => options.origins.find((origin) => origin.id === id),
    accessLog: (record) => records.push(record),
    stuckMs: options.stuckMs,
  })
  const listener = await listenHttp({
    host: '::',
    port: 0,
    ...edge,
    clock: systemClock,
    halfClosedMs: options.halfClosedMs ?? 50,
  })
  return {
    port: listener.port,
    url: `http://127.0.0.1:${listener.port}`,
    cache,
    clock,
    records,
    ask: (path, ask = {}) => askServer(listener.port, path, ask),
    invalidate(...paths) {
      seq++
      invalidations.add({ seq, at: clock.now(), distribution: 'default', paths })
      return seq
    },
    invalidateSoftly(...paths) {
      seq++
      invalidations.add({ seq, at: clock.now(), distribution: 'default', paths, soft: true })
      return seq
    },
    undo(of, ...paths) {
      seq++
      invalidations.undo({ seq: of, distribution: 'default', paths })
    },
    state,
    changes: () => ({ epoch, log: invalidations, local: new InvalidationIndex() }),
    setEpoch(next) {
      epoch = next
    },
    setBehaviors(behaviors) {
      distributions = distributionOf(behaviors)
    },
    close: () => listener.close(0),
  }
}

export function askServer(port: number, path: string, options: AskOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body, signal } = options
    const request = httpRequest({
      host: '127.0.0.1',
      port,
      path,
      method,
      headers,
      agent: false,
      ...(signal ? { signal } : {}),
    })
    request.on('error', reject)
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('aborted', () => reject(new Error('the answer was cut')))
      response.on('end', () => {
        const whole = Buffer.concat(chunks)
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: whole,
          text: whole.toString('utf8'),
        })
      })
    })
    request.end(body)
  })
}

export interface ScriptedOrigin extends Origin {
  readonly requests: OriginRequest[]
}

/** An origin that is a function of the test; it keeps what it was asked. */
export function scriptedOrigin(
  id: string,
  answer: (request: OriginRequest, count: number) => OriginMessage | Promise<OriginMessage>,
  options: Partial<Origin> = {},
): ScriptedOrigin {
  const requests: OriginRequest[] = []
  return {
    id,
    caching: 'shared',
    ranges: false,
    keyQuery: [],
    ...options,
    requests,
    fetch: async (request) => {
      requests.push(request)
      return answer(request, requests.length)
    },
  }
}

export function message(
  status: number,
  headers: Fields = {},
  body: OriginMessage['body'] = null,
): OriginMessage {
  return { kind: 'message', status, headers, body }
}

export const text = (value: string): Buffer => Buffer.from(value)
