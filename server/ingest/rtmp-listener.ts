import { createServer, type Socket } from 'node:net'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import { listen } from '../lib/listen.ts'
import type { Log } from '../lib/log.ts'
import type { Metrics } from '../lib/metrics.ts'
import type { StreamRegistry } from '../stream/registry.ts'
import type { Demand } from '../stream/until-published.ts'
import type { Admission } from './admission.ts'
import { demandedPlaySource } from './play-demanded.ts'
import { livePlaySource } from './play-live.ts'
import type { OpenPlay } from './play-source.ts'
import { PublishGate } from './publish-gate.ts'
import { openRtmpsDoor, type RtmpsOptions } from './rtmps.ts'
import { RtmpSession } from './session.ts'
import type { SessionInfo, SessionLimits } from './session-state.ts'
import type { OpenedStream } from './stream-keys.ts'
import { liveNameOf } from './stream-path.ts'

export interface RtmpListenerDeps {
  /** `0.0.0.0` and `::` both mean IPv4 and IPv6. */
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** The same sessions over TLS. */
  readonly rtmps?: RtmpsOptions | undefined
  readonly registry: StreamRegistry
  /** The stream a secret key belongs to. */
  readonly resolveKey: (key: string) => OpenedStream | undefined
  /** `open`: the stream key is the stream's name. */
  readonly publishAuth: 'keys' | 'open'
  /** Has the last word on each publisher whose key is right. */
  readonly admission?: Admission | undefined
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Stored media: asked for what is not `live/NAME`. */
  readonly openStored?: OpenPlay
  /** Streams that begin when they are played. */
  readonly demand?: Demand | undefined
  readonly limits?: Partial<SessionLimits & { readonly connections: number }>
}

export interface RtmpListener {
  readonly port: number
  /** Of RTMPS, where that is listened for. */
  readonly tlsPort: number | undefined
  readonly sessions: () => readonly SessionInfo[]
  /** Takes no more connections and cuts those there are; their streams end with `stopped`. */
  readonly close: () => Promise<void>
}

const LIMITS = {
  connections: 2000,
  handshakeMs: 10_000,
  idleMs: 30_000,
  silentMs: 10_000,
  stalledMs: 10_000,
  queue: { bytes: 16 * 1024 * 1024, mediaMs: 5000 },
} as const satisfies SessionLimits & { connections: number }

const CHECK_MS = 1000
/** A publisher without frames for so long keeps nobody out. */
const HOLDS_MS = 2000

/** Listens for RTMP publishers and players; throws `port-taken`, and `config-invalid` for a certificate. */
export async function startRtmpListener(deps: RtmpListenerDeps): Promise<RtmpListener> {
  const { registry, clock, metrics } = deps
  const log = deps.log.with({ part: 'rtmp' })
  const limits = { ...LIMITS, ...deps.limits }
  const sessions = new Map<number, RtmpSession>()
  const connections = metrics.counter('rtmp_connections_total', 'RTMP connections accepted.')
  const turnedAway = metrics.counter('rtmp_turned_away_total', 'RTMP connections past the limit.')
  const count = (state: SessionInfo['state']) =>
    [...sessions.values()].filter((session) => session.info().state === state).length
  metrics.gauge('rtmp_publishers', 'RTMP connections that publish.', () => count('publishing'))
  metrics.gauge('rtmp_players', 'RTMP connections that play.', () => count('playing'))
  const shared = {
    registry,
    clock,
    log,
    limits,
    admission: deps.admission,
    gate: new PublishGate({
      resolveKey: deps.resolveKey,
      publishAuth: deps.publishAuth,
      clock,
      publisherOf: (stream) => {
        for (const session of sessions.values()) {
          // Half-open, it holds nothing against an encoder that comes back by another way.
          if (session.isPublishing(stream) && session.silentMs < HOLDS_MS) return session.address
        }
        return undefined
      },
    }),
    openPlay: (path: readonly string[]) => {
      const name = liveNameOf(path) ?? ''
      if (deps.demand?.wanted(name))
        return demandedPlaySource(name, { registry, clock, demand: deps.demand })
      const live = registry.get(name)
      return live ? livePlaySource(live) : deps.openStored?.(path)
    },
    counters: {
      bytesIn: metrics.counter('rtmp_received_bytes_total', 'Bytes from RTMP clients.'),
      refused: metrics.counter('rtmp_publish_refused_total', 'Publishers refused.'),
      droppedFrames: metrics.counter('rtmp_dropped_frames_total', 'Frames slow players lost.'),
    },
  }
  let lastId = 0
  const accept = (socket: Socket) => {
    if (sessions.size >= limits.connections) {
      turnedAway.add()
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    connections.add()
    lastId += 1
    const id = lastId
    sessions.set(
      id,
      new RtmpSession(id, socket, { ...shared, onClosed: () => void sessions.delete(id) }),
    )
  }
  const server = createServer(accept)
  const port = await listen(server, { name: 'rtmp', host: deps.host, port: deps.port })
  server.on('error', (error) => log.error('rtmp listener', { error: describeError(error) }))
  const tls =
    deps.rtmps &&
    (await openRtmpsDoor(deps.rtmps, { clock, log, ...limits }, accept).catch((error: unknown) => {
      server.close()
      throw error
    }))
  let checkedAt = clock.monotonic()
  const checking = clock.every(CHECK_MS, () => {
    const now = clock.monotonic()
    // A stopped process wakes up with its timers, before it reads what waits in the sockets.
    const lateMs = Math.max(0, now - checkedAt - CHECK_MS)
    checkedAt = now
    for (const session of sessions.values()) session.check(lateMs)
  })
  return {
    port,
    tlsPort: tls?.port,
    sessions: () =>
      [...sessions.values()]
        .map((session) => session.info())
        .filter((info) => info.state !== 'closed'),
    close: async () => {
      checking[Symbol.dispose]()
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
      const tlsClosed = tls?.close()
      for (const session of sessions.values()) session.close('the server stops', 'stopped')
      await Promise.all([closed, tlsClosed])
    },
  }
}
