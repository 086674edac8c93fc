import { join } from 'node:path'
import { findProjectRoot } from './config/defaults.ts'
import type { Config } from './config/config.ts'
import { exportConfig } from './config/export-config.ts'
import type { ChangeLog, ChangePosition } from './control/change-log.ts'
import type { EventFeed } from './control/event-feed.ts'
import { followerLog } from './control/follower-log.ts'
import type { EdgeReport, HealthReport, StreamReport } from './control/services.ts'
import { type Control, startControl } from './control/start-control.ts'
import { InvalidationIndex } from './distribution/invalidation-index.ts'
import { explainUrl } from './edge/explain.ts'
import type { Changes } from './edge/decide.ts'
import { previewInvalidation } from './edge/preview-invalidation.ts'
import type { SessionInfo } from './ingest/session-state.ts'
import { NearcastError } from './lib/errors.ts'
import type { LiveDescription } from './live/describe.ts'
import type { Base, Sources } from './main-sources.ts'
import { sum, type Workers } from './main-workers.ts'
import type { LiveStream } from './stream/live-stream.ts'

const NOTHING_LOCAL = new InvalidationIndex()

export interface ControlRole extends Base {
  readonly sources: Sources
  readonly token: string
  readonly health: () => HealthReport
  readonly sessions: () => readonly SessionInfo[]
  readonly events?: EventFeed | undefined
  /** The processes that answer viewers in place of this one. */
  readonly workers?: Workers | undefined
}

/** API, console and metrics over what this process serves from. */
export async function startControlRole(deps: ControlRole): Promise<Control> {
  const { config, sources, metrics, cache, workers } = deps
  // An edge has no log of its own to write to: what it shows is its parent's.
  const parent = config.parent?.url ?? 'a parent'
  const followed = sources.changes ?? followerLog(() => positionOf(sources), parent)
  const changes = workers ? settledIn(workers, followed) : followed
  return startControl({
    ...deps,
    ...config.control,
    changes,
    state: () => sources.control().snapshot(),
    consoleFolder: join(findProjectRoot(), 'dist', 'console'),
    hosts: [config.control.host],
    originDefaults: config.originDefaults,
    originFolder: config.folder,
    stores: [config.vod.origin, ...(config.live.record === undefined ? [] : [config.live.record])],
    services: {
      health: deps.health,
      streams: () => reportStreams(sources, deps.sessions(), workers),
      cutStream: (name) => cutStream(sources, name),
      cutRevoked: (name) => cutRevoked(sources, name),
      sessions: deps.sessions,
      traffic: () => ({
        requests: metrics.read('nearcast_edge_requests_total'),
        hits: metrics.read('nearcast_edge_hits_total'),
        misses: metrics.read('nearcast_edge_misses_total'),
        errors: metrics.read('nearcast_edge_errors_total'),
        bytes: metrics.read('nearcast_edge_bytes_total'),
      }),
      cache: () => (workers ? sum([{ ...cache.stats() }, workers.cache()]) : cache.stats()),
      edges: () => [
        { id: sources.edgeId, seq: appliedSeq(sources, workers), self: true },
        ...otherEdges(config, sources),
      ],
      previewInvalidation: (names, options) =>
        workers?.preview(names, options.examples) ??
        previewInvalidation({ ...deps, changes: () => changesOf(sources) }, names, options),
      config: () => exportConfig(config, sources.control().snapshot()),
      probe: async (key, signal) => {
        if (!sources.vod) throw new NearcastError('not-found', 'this role has no stored media')
        return sources.vod.probe(key, signal)
      },
      inputs: sources.inputs,
      pushes: sources.pushes,
      recordings: sources.recordings,
      explain: (url) => explain(deps, url),
    },
  })
}

/** Of whoever answers viewers; what no worker holds may lie in the tier behind them, which is here. */
async function explain(deps: ControlRole, url: string): Promise<object> {
  const { sources, workers } = deps
  const said = await workers?.explain(url)
  if (said && isStored(said)) return said
  const here = await explainUrl({ ...deps, state: sources.state, origins: sources.origin }, url)
  return said && !isStored(here) ? said : here
}

function isStored(explained: object): boolean {
  return 'stored' in explained && explained.stored === true
}

/** The log's word alone: what unsafe requests took at this edge is with the edge. */
function changesOf(sources: Sources): Changes {
  const { invalidations } = sources.state()
  return { epoch: positionOf(sources).epoch, log: invalidations, local: NOTHING_LOCAL }
}

function positionOf({ state }: Sources): ChangePosition {
  const { position, seq } = state()
  return { epoch: position.slice(0, position.indexOf(':')), seq }
}

/** A change counts as made when every worker has it. */
function settledIn(workers: Workers, log: ChangeLog): ChangeLog {
  return {
    get position() {
      return log.position
    },
    ...(log.parent !== undefined && { parent: log.parent }),
    append: async (body, check) => {
      const change = await log.append(body, check)
      // Workers are told no keys.
      if (change.kind !== 'stream-key') await workers.settled(change.seq)
      return change
    },
    since: (seq) => log.since(seq),
    subscribe: (listener) => log.subscribe(listener),
    close: () => log.close(),
  }
}

/** Those that the configuration names, then others that speak. */
function otherEdges({ edges }: Config, sources: Sources): readonly EdgeReport[] {
  const said = sources.edgePositions?.of(positionOf(sources).epoch) ?? new Map<string, number>()
  const named = edges.filter(({ id }) => id !== sources.edgeId)
  const known = new Set([sources.edgeId, ...named.map(({ id }) => id)])
  const reached = (id: string) => reachedSeq(sources, said.get(id))
  return [
    ...named.map(({ id, url }) => ({ id, url, seq: reached(id), self: false })),
    ...[...said.keys()]
      .filter((id) => !known.has(id))
      .map((id) => ({ id, seq: reached(id), self: false })),
  ]
}

/** Where this process stands, or the last of its workers. */
export function appliedSeq(sources: Sources, workers: Workers | undefined): number {
  return reachedSeq(sources, workers?.seq) ?? sources.state().seq
}

/** Edges and workers are not told of keys: one that has followed all that it is told is where the log is. */
function reachedSeq(sources: Sources, said: number | undefined): number | undefined {
  return said === undefined || said < sources.toldSeq() ? said : sources.state().seq
}

function reportStreams(
  { ingest }: Sources,
  sessions: readonly SessionInfo[],
  workers: Workers | undefined,
): readonly StreamReport[] {
  if (!ingest) return []
  const players = (name: string) =>
    sessions.filter((session) => session.state === 'playing' && session.name === name).length
  const packaged = new Map(ingest.live.describe().map((one) => [one.name, one]))
  const { publishing, standingBy } = publishesOf(ingest)
  return [...new Set([...publishing.keys(), ...packaged.keys()])].map((name) => {
    const one = publishing.get(name)
    const live = packaged.get(name)
    return {
      name,
      state: stateOf(live),
      startedAt: one?.stream.startedAt ?? live?.bornAt ?? 0,
      publisher: one?.publisher.description,
      onBackup: one?.publisher.backup,
      standingBy: standingBy.get(name),
      tracks: one ? tracksOf(one.stream) : [],
      ...measured(live),
      health: ingest.health.of(name),
      ladder: ingest.ladders.report(name),
      viewers: (live?.viewers ?? 0) + players(name) + (workers?.viewers(name) ?? 0),
    }
  })
}

function publishesOf({ registry }: NonNullable<Sources['ingest']>) {
  const list = registry.list()
  const others = list.filter(({ onAir }) => !onAir)
  return {
    publishing: new Map(list.filter(({ onAir }) => onAir).map((one) => [one.stream.name, one])),
    standingBy: new Map(
      others.map(({ stream, publisher }) => [stream.name, publisher.description] as const),
    ),
  }
}

/** What is dropped is listed no more; a stream that is not packaged yet has just begun. */
function stateOf(live: LiveDescription | undefined): StreamReport['state'] {
  return live === undefined || live.state === 'dropped' ? 'live' : live.state
}

function tracksOf({ tracks }: LiveStream): StreamReport['tracks'] {
  return tracks.map((track) =>
    track.kind === 'video'
      ? {
          kind: track.kind,
          codecString: track.codecString,
          width: track.width,
          height: track.height,
        }
      : {
          kind: track.kind,
          codecString: track.codecString,
          sampleRate: track.sampleRate,
          channels: track.channels,
        },
  )
}

function measured(live: LiveDescription | undefined): Partial<StreamReport> {
  if (!live) return {}
  const longest = Math.max(0, ...live.renditions.map(({ segments }) => segments))
  const parts = Math.max(0, ...live.renditions.map((rendition) => rendition.parts))
  return {
    bitsPerSecond: live.bitsPerSecond,
    framesPerSecond: live.framesPerSecond,
    keyIntervalSeconds: live.keyFrameIntervalSeconds,
    segments: longest,
    parts,
  }
}

/** Ends those who publish this name with a key that no longer holds. */
export function cutRevoked({ ingest }: Pick<Sources, 'ingest'>, name: string): void {
  for (const { stream, publisher } of ingest?.registry.list() ?? []) {
    if (stream.name !== name || publisher.mayPublish()) continue
    stream.end('stopped')
    publisher.cut('its stream key was revoked')
  }
}

function cutStream({ ingest }: Sources, name: string): boolean {
  const found = ingest?.registry.list().filter(({ stream }) => stream.name === name) ?? []
  // Who stands by first: it would take over.
  for (const { stream, publisher } of found.toSorted((a, b) => Number(a.onAir) - Number(b.onAir))) {
    stream.end('stopped')
    publisher.cut('the operator ended it')
  }
  return found.length > 0
}
