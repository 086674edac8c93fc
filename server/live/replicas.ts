import type { Body, FetchOrigin, Origin, OriginRequest, OriginResponse } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Metrics } from '../lib/metrics.ts'
import { type LiveResource, readLiveAddress } from './address.ts'
import { answerLive, failure, failureOf } from './answer.ts'
import { DIRECTIVE_NAMES } from './directives.ts'
import { readFlvAddress } from './http-flv.ts'
import { type OpenTail, Replica } from './replica.ts'
import { SharedRequests } from './shared-requests.ts'
import type { LiveWindow } from './window.ts'
import { DEFAULT_WINDOW_LIMITS } from './window-limits.ts'

export interface LiveReplicasDeps {
  /** The tail of a stream at the parent; undefined when the parent has no such stream. Rejects when it can't be asked. */
  readonly openTail: OpenTail
  /**
   * The parent's own answer: for rewind playlists and what is older than a replica holds. Without it a replica has no more than the
   * tail brought.
   */
  readonly fetchParent?: FetchOrigin | undefined
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** A tail nobody has wanted for so long is closed. */
  readonly idleMs: number
  /** Media bytes kept for one stream; 256 MiB by default. */
  readonly windowBytes?: number | undefined
}

export interface LiveReplicas {
  readonly origin: Origin
  /** About how many watch each stream here; streams nobody watches are left out. */
  viewers(): Readonly<Record<string, number>>
  close(): void
}

/** Names asked for at the same time; beyond, somebody makes names up. */
const REPLICAS_MAX = 2000
/** Each is a connection to the parent, of the 256 that answers have. */
const FLV_MAX = 128

/**
 * Answers `/live/…` at an edge as the packager would, from a copy of its window that one tail for each watched stream
 * keeps true.
 */
export function createLiveReplicas(deps: LiveReplicasDeps): LiveReplicas {
  const { clock, log, metrics } = deps
  const replicas = new Map<string, Replica>()
  const reopened = metrics.counter(
    'nearcast_live_tails_reopened_total',
    'Times that a tail broke and was opened again',
  )
  metrics.gauge('nearcast_live_tails', 'Live streams copied from the parent', () => replicas.size)
  const drop = (replica: Replica) => {
    if (replicas.get(replica.name) === replica) replicas.delete(replica.name)
  }
  /** undefined: too many are open. */
  const open = (name: string): Replica | undefined => {
    const known = replicas.get(name)
    if (known) return known
    if (replicas.size >= REPLICAS_MAX) return undefined
    const limits = { bytes: deps.windowBytes ?? DEFAULT_WINDOW_LIMITS.bytes }
    const replica = new Replica(name, limits, {
      openTail: deps.openTail,
      rewinds: deps.fetchParent === undefined,
      clock,
      log,
      onReopen: () => reopened.add(),
      onClosed: drop,
    })
    replicas.set(name, replica)
    return replica
  }
  const sweeping = clock.every(Math.max(100, deps.idleMs / 4), () => {
    for (const replica of replicas.values())
      if (replica.idleSince <= clock.now() - deps.idleMs) replica.close()
  })
  const find = (name: string) => replicas.get(name)?.window
  const { fetchParent } = deps
  const shared = fetchParent && new SharedRequests(fetchParent)

  let flvOpen = 0
  async function passFlv(ask: FetchOrigin, request: OriginRequest): Promise<OriginResponse> {
    if (flvOpen >= FLV_MAX)
      return failure('unavailable', `${flvOpen} viewers watch over HTTP-FLV here already`)
    flvOpen++
    let kept = false
    try {
      const answer = await askParent(ask, request)
      if (answer.kind === 'upgrade' || !isStream(answer.body)) return answer
      kept = true
      request.signal.addEventListener('abort', leave, { once: true })
      return { ...answer, body: throughTo(answer.body, leave) }
    } finally {
      if (!kept) flvOpen--
    }
    function leave() {
      if (!kept) return
      kept = false
      flvOpen--
    }
  }

  async function fetch(request: OriginRequest): Promise<OriginResponse> {
    if (deps.fetchParent && readFlvAddress(request.path) !== undefined)
      return passFlv(deps.fetchParent, request)
    const address = readLiveAddress(request.path)
    const reads = request.method === 'GET' || request.method === 'HEAD'
    if (!address || !reads) return answerLive({ find, clock }, request)
    const replica = open(address.name)
    if (!replica) return failure('unavailable', `${replicas.size} live streams are open already`)
    using _viewer = replica.enter()
    await replica.whenAsked(request.signal)
    if (!replica.window && replica.failure !== undefined) return failureOf(replica.failure)
    if (fetchParent && shared && replica.window && isOlder(replica.window, address.resource)) {
      const isPlaylist = address.resource.kind === 'media-playlist'
      return askParent(isPlaylist ? (one) => shared.fetch(one) : fetchParent, request)
    }
    return await answerLive({ find, clock }, request)
  }

  return {
    origin: { id: 'live', fetch, caching: 'none', ranges: false, keyQuery: DIRECTIVE_NAMES },
    viewers: () => {
      const counted: (readonly [string, number])[] = []
      for (const { name, window } of replicas.values()) {
        const count = window?.audience.count(clock.monotonic()) ?? 0
        if (count > 0) counted.push([name, count])
      }
      return Object.fromEntries(counted)
    },
    close: () => {
      sweeping[Symbol.dispose]()
      for (const replica of replicas.values()) replica.close()
    },
  }
}

/** Of the parent's archive: a rewind playlist, or media that this window does not hold (any more). */
function isOlder(window: LiveWindow, resource: LiveResource): boolean {
  switch (resource.kind) {
    case 'multivariant':
      return false
    case 'poster':
      return true
    case 'media-playlist':
      return resource.span === 'dvr'
    case 'init':
      return window.init(resource.rendition, resource.uri) === undefined
    case 'media': {
      const { rendition, sequence, part } = resource
      if (part !== undefined) return false
      const segments = window.rendition(rendition)?.segments ?? []
      const [first] = segments
      if (!first) return false
      const known = segments.findLast((one) => one.sequence === sequence)
      return known ? !known.held && !known.gap : sequence < first.sequence
    }
  }
}

async function askParent(
  fetchParent: FetchOrigin,
  request: OriginRequest,
): Promise<OriginResponse> {
  try {
    return await fetchParent(request)
  } catch (error) {
    request.signal.throwIfAborted()
    return failureOf(error)
  }
}

function isStream(body: Body): body is AsyncIterable<Uint8Array> {
  return body !== null && Symbol.asyncIterator in body
}

async function* throughTo(
  body: AsyncIterable<Uint8Array>,
  ended: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body
  } finally {
    ended()
  }
}
