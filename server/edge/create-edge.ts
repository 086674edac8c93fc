import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ChangeStamp } from '../cache/stored-object.ts'
import { InvalidationIndex } from '../distribution/invalidation-index.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import { failureLogOf } from '../lib/failure-log.ts'
import { peerAddress } from '../lib/peer-address.ts'
import { readableToken, systemRandom } from '../lib/random.ts'
import { answerCached } from './answer-cached.ts'
import { answerDirect } from './answer-direct.ts'
import type { Changes } from './decide.ts'
import type { EdgeContext, EdgeCounters, EdgeDeps } from './edge-context.ts'
import { errorAnswerOf, sendError } from './error-answer.ts'
import { Flights } from './flights.ts'
import { type Match, matchRequest } from './match-request.ts'
import { answerUpgrade, type Passage, type UpgradeRequest } from './answer-upgrade.ts'
import { Prefetch } from './prefetch.ts'
import { Viewer } from './viewer.ts'
import { askDirect } from './fast-direct.ts'
import { FastPath } from './fast-path.ts'
import type { FastHits } from './listen-http.ts'
import type { AccessRecord } from './access-record.ts'

export interface Edge {
  handle(request: IncomingMessage, response: ServerResponse): void
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** An unsafe request changed this path at another edge (RFC 9111 §4.4). */
  forget(distribution: string, path: string): void
  /** Hits, for the listener to answer from the bytes of a request. */
  readonly fast: FastHits
}

const STUCK_MS = 30_000
/** Defects are told apart by the beginning of what they say. */
const KIND_CHARS = 80
const LOCAL_INVALIDATIONS_MAX = 10_000

/** HTTP to viewers, on bare node:http: match, decide, serve. */
export function createEdge(deps: EdgeDeps): Edge {
  const local = new InvalidationIndex({ entries: LOCAL_INVALIDATIONS_MAX })
  let localSeq = 0
  const changes = (): Changes => {
    const { invalidations, position } = deps.state()
    return { epoch: epochOf(position), log: invalidations, local }
  }
  const stamp = (): ChangeStamp => {
    const { position, seq } = deps.state()
    return { epoch: epochOf(position), seq, localSeq }
  }
  const forget = (distribution: string, path: string) => {
    localSeq++
    local.add({ seq: localSeq, distribution, paths: [path] })
    deps.cache.forgetPath(distribution, path, deps.clock.now())
  }
  const parts: Omit<EdgeContext, 'prefetch'> = {
    deps,
    flights: new Flights({
      cache: deps.cache,
      clock: deps.clock,
      position: () => deps.state().position,
      changes,
      stamp,
    }),
    counters: countersOf(deps),
    changes,
    stamp,
    forget(distribution, path) {
      forget(distribution, path)
      deps.onForgotten?.(distribution, path)
    },
  }
  const context: EdgeContext = { ...parts, prefetch: new Prefetch(parts) }
  const random = deps.random ?? systemRandom
  const prefix = readableToken(random, 10)
  let ids = 0
  const nextId = () => `${prefix}${(ids++).toString(36)}`
  const stuckMs = deps.stuckMs ?? STUCK_MS

  return {
    handle(request, response) {
      const viewer = new Viewer(request, response, nextId(), stuckMs)
      watch(context, viewer)
      answer(context, viewer).catch((error: unknown) => fail(context, viewer, error))
    },
    upgrade(request, socket, head) {
      const asked = { request, socket, head, id: nextId(), passage: passageOf() }
      watchUpgrade(context, asked)
      answerUpgrade(context, asked).catch((error: unknown) => {
        deps.log.error('upgrade failed', { error: describeError(error) })
        socket.destroy()
      })
    },
    forget,
    fast: {
      path: new FastPath(context),
      direct: (asked, id, signal) =>
        askDirect(context, asked, id, signal, (error) =>
          noteFailure(context, { request: id, url: asked.request.target }, error),
        ),
      nextId,
      stuckMs,
      now: () => deps.clock.now(),
      monotonic: () => deps.clock.monotonic(),
      edge: deps.edgeId,
      done: (record) => count(context, record),
    },
  }
}

async function answer(context: EdgeContext, viewer: Viewer): Promise<void> {
  const { deps } = context
  const { request } = viewer
  const match = matchRequest({
    method: request.method ?? '',
    target: request.url ?? '',
    headers: viewer.headers,
    distributions: deps.state().distributions,
    origins: deps.origins,
  })
  if (match.kind !== 'matched') return answerHere(viewer, match)
  const { exchange } = match
  if (exchange.direct) return answerDirect(context, viewer, exchange, exchange.direct)
  return answerCached(context, viewer, exchange)
}

function answerHere(viewer: Viewer, match: Exclude<Match, { kind: 'matched' }>): void {
  if (match.kind === 'options') {
    viewer.head(204, PREFLIGHT, ['Allow', match.allow])
    viewer.end()
    return
  }
  const failure = new NearcastError(match.code, match.message)
  sendError(viewer, errorAnswerOf(failure, match.allow === undefined ? [] : ['Allow', match.allow]))
}

// Fetch standard, CORS-preflight: a day is the most that browsers keep.
const PREFLIGHT = [
  'Access-Control-Allow-Origin',
  '*',
  'Access-Control-Allow-Methods',
  'GET, HEAD, OPTIONS',
  'Access-Control-Allow-Headers',
  '*, Range, If-Range, If-None-Match, If-Modified-Since',
  'Access-Control-Max-Age',
  '86400',
]

function fail(context: EdgeContext, viewer: Viewer, error: unknown): void {
  if (viewer.gone) return
  const failure = noteFailure(context, { request: viewer.id, url: viewer.request.url }, error)
  viewer.result = 'Error'
  if (viewer.response.headersSent) {
    viewer.cut()
    return
  }
  sendError(viewer, errorAnswerOf(failure, CORS_ON_ERRORS))
}

/** What a viewer is told; what is no viewer's doing is logged. */
function noteFailure(
  context: EdgeContext,
  facts: { readonly request: string; readonly url: string | undefined },
  error: unknown,
): NearcastError {
  const said = { ...facts, error: describeError(error) }
  const failures = failureLogOf(context.deps)
  if (!(error instanceof NearcastError)) {
    failures.error(`request ${said.error.slice(0, KIND_CHARS)}`, 'request failed', said)
    return new NearcastError('internal', 'see the log', { cause: error })
  }
  if (error.status >= 500) failures.warn(`request ${error.code}`, 'request failed', said)
  return error
}

// A player on another page can only say what went wrong when it may read the answer.
const CORS_ON_ERRORS = ['Access-Control-Allow-Origin', '*']

/** Counts the request and writes its line when its connection is done with it. */
function watch(context: EdgeContext, viewer: Viewer): void {
  const { request, response, id } = viewer
  const recordOf = beginRecord(context, request, id)
  response.once('close', () =>
    count(
      context,
      recordOf({
        status: response.headersSent ? response.statusCode : 0,
        bytes: viewer.sentBytes,
        result: viewer.result,
        complete: response.writableFinished,
      }),
    ),
  )
}

/** The same for a connection that is passed on: one line at its end, and CloudFront counts it as a miss. */
function watchUpgrade(
  context: EdgeContext,
  { request, socket, id, passage }: UpgradeRequest,
): void {
  const recordOf = beginRecord(context, request, id)
  socket.once('close', () => {
    const { status, sentBytes, receivedBytes, complete } = passage
    const result = status === 0 || status >= 400 ? 'Error' : 'Miss'
    const record = recordOf({ status, bytes: sentBytes, result, complete })
    count(context, { ...record, receivedBytes })
  })
}

function passageOf(): Passage {
  return { status: 0, sentBytes: 0, receivedBytes: 0, complete: false }
}

type Outcome = Pick<AccessRecord, 'status' | 'bytes' | 'result' | 'complete'>

/** What is known of a request when it comes; the rest is said when it is over. */
function beginRecord(
  { deps: { clock, edgeId } }: EdgeContext,
  { socket, method, url, headers, httpVersion }: IncomingMessage,
  requestId: string,
): (outcome: Outcome) => AccessRecord {
  const at = clock.now()
  const startedMonotonic = clock.monotonic()
  // A connection that is lost has none any more.
  const address = peerAddress(socket)
  return (outcome) => ({
    at,
    edge: edgeId,
    requestId,
    address,
    method: method ?? '',
    host: headers.host ?? '',
    target: url ?? '',
    ...outcome,
    seconds: (clock.monotonic() - startedMonotonic) / 1000,
    referer: headers.referer ?? '',
    userAgent: headers['user-agent'] ?? '',
    range: headers.range ?? '',
    protocol: `HTTP/${httpVersion}`,
  })
}

function count({ deps, counters }: EdgeContext, record: AccessRecord): void {
  counters.requests.add()
  counters.bytes.add(record.bytes)
  if (record.result === 'Error') counters.errors.add()
  else if (record.result === 'Miss') counters.misses.add()
  else counters.hits.add()
  deps.accessLog?.(record)
}

function countersOf({ metrics, cache }: EdgeDeps): EdgeCounters {
  metrics.gauge('nearcast_cache_bytes', 'bytes held by the cache', () => cache.bytes)
  metrics.gauge('nearcast_cache_objects', 'answers held by the cache', () => cache.stats().objects)
  return {
    requests: metrics.counter('nearcast_edge_requests_total', 'requests of viewers'),
    hits: metrics.counter('nearcast_edge_hits_total', 'requests answered from the cache'),
    misses: metrics.counter('nearcast_edge_misses_total', 'requests that an origin answered'),
    errors: metrics.counter('nearcast_edge_errors_total', 'requests answered with an error'),
    bytes: metrics.counter('nearcast_edge_bytes_total', 'body bytes sent to viewers'),
  }
}

function epochOf(position: string): string {
  const colon = position.lastIndexOf(':')
  return colon < 0 ? position : position.slice(0, colon)
}
