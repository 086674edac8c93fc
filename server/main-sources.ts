import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Cache } from './cache/cache.ts'
import type { Config } from './config/config.ts'
import { findProjectRoot } from './config/defaults.ts'
import { type ChangeLog, openChangeLog } from './control/change-log.ts'
import { EdgePositions } from './control/edge-positions.ts'
import { followChanges } from './control/follow-changes.ts'
import { createStreamKey, listStreamKeys } from './control/stream-keys.ts'
import { ControlState } from './distribution/control-state.ts'
import type { Distribution } from './distribution/types.ts'
import { type Acknowledging, acknowledgeApplied } from './edge/acknowledge-applied.ts'
import { connectParent } from './edge/connect-parent.ts'
import type { EdgeState } from './edge/edge-context.ts'
import type { Origin } from './http/message.ts'
import { openPushes, type Pushes } from './ingest/pushes.ts'
import type { StreamKey } from './ingest/stream-keys.ts'
import type { Clock } from './lib/clock.ts'
import { deferred } from './lib/deferred.ts'
import { describeError, NearcastError } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import type { Metrics } from './lib/metrics.ts'
import { type Random, readableToken } from './lib/random.ts'
import { createLivePackager, type LivePackager } from './live/packager.ts'
import type { RecordingEvent } from './live/archives.ts'
import { type HealthWatch, watchHealth } from './live/health.ts'
import { measureHealth } from './live/health-metrics.ts'
import type { Recordings } from './live/recordings.ts'
import { createLiveReplicas } from './live/replicas.ts'
import { openOrigins } from './main-origins.ts'
import { openRecording } from './main-recording.ts'
import type { OriginFaceDeps } from './origin/origin-face.ts'
import { createPagesOrigin } from './pages/pages-origin.ts'
import { StreamRegistry } from './stream/registry.ts'
import { createLadders, type Ladders } from './transcode/ladders.ts'
import { createPictureMaker } from './transcode/pictures.ts'
import { openPulls, type Pulls } from './transcode/pull.ts'
import { openSrtListener } from './transcode/srt-listener.ts'
import { createSlateMaker } from './transcode/slate.ts'
import { createVodOrigin, type VodOrigin } from './vod/origin.ts'

/** What every part of the server is given. */
export interface Base {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
  readonly cache: Cache
  readonly version: string
}

/** What the listeners serve from: of this process, or of a parent elsewhere. */
export interface Sources {
  readonly edgeId: string
  readonly state: () => EdgeState
  readonly origin: (id: string) => Origin | undefined
  readonly control: () => ControlState
  /** Only at an edge: `EPOCH:SEQ` of the parent's last change of a distribution or an origin. */
  readonly waysPosition?: () => string
  /** Number of the last change that edges are told of. */
  readonly toldSeq: () => number
  /** Only where publishers and buckets are. */
  readonly ingest?: {
    readonly registry: StreamRegistry
    readonly live: LivePackager
    readonly ladders: Ladders
    readonly keys: () => readonly StreamKey[]
    readonly health: HealthWatch
  }
  readonly changes?: ChangeLog
  readonly vod?: VodOrigin
  readonly recordings?: Recordings
  /** Where this process listens, once it does: streams are neither fetched from there nor sent there. */
  listensOn?(ports: () => ReadonlySet<number>): void
  /** What comes from elsewhere when somebody watches. */
  readonly pulls?: Pulls
  /** What ffmpeg brings in. */
  readonly inputs?: () => readonly object[]
  /** Where streams are sent on to. */
  readonly pushes?: Pushes
  /** About how many watch each live stream here; the packager's own viewers are not among them. */
  readonly viewers?: () => Readonly<Record<string, number>>
  /** What remote edges are given, and what they say in return. */
  readonly face?: Pick<OriginFaceDeps, 'origins' | 'tail' | 'changes' | 'applied'>
  readonly edgePositions?: EdgePositions
  /** Tells the parent how far this edge is; closed by the caller. */
  tellParent?(from: { readonly by: string; readonly seq: () => number }): Acknowledging
  /** What is wrong with the buckets, one sentence each. */
  checkBuckets(signal: AbortSignal): Promise<readonly string[]>
  /** Live windows are written down; nothing is packaged after it. */
  save(): Promise<void>
  close(): Promise<void>
}

const WINDOW_SECONDS = 60
const REPLICA_IDLE_MS = 30_000
const ORIGINS_RETRY_MS = 1000
const FIRST_STREAM = 'main'

/** Publishers, buckets, packagers and the change log in this process. */
export async function openLocalSources(
  base: Base,
  told: { readonly onRecording?: (event: RecordingEvent) => void } = {},
): Promise<Sources> {
  const { config, clock, random, log } = base
  const changes = await openChangeLog({ ...base, file: join(config.data, 'changes.ndjson') })
  if (changes.position.seq === 0) await createStreamKey(changes, random, FIRST_STREAM)
  const control = new ControlState(config)
  // What rests on the disk may be older than an invalidation that was folded away.
  control.invalidations.raiseFloor(changes.floor ?? 0)
  for (const change of changes.since(0) ?? []) control.apply(change)

  const configured = openOrigins({
    ...base,
    invalidationSeq: () => control.invalidations.newestSeq,
  })
  configured.update(control.snapshot().origins)
  let toldSeq = changes.since(0)?.findLast((change) => change.kind !== 'stream-key')?.seq ?? 0
  const subscription = changes.subscribe((change) => {
    if (change.kind !== 'stream-key') toldSeq = change.seq
    control.apply(change)
    configured.update(control.snapshot().origins)
  })

  const edgePositions = new EdgePositions(clock)
  const registry = new StreamRegistry(clock, random)
  const health = watchHealth(registry, clock)
  measureHealth(base.metrics, health)
  const { archives, recordings } = await openRecording({
    ...base,
    ...told,
    storeOf: (id) => configured.store(id),
    onRemoved: (key) => forgetBelow(`/vod/${key}/*`, changes, base),
  })
  const pulls = openPulls(config.pulls, { ...base, registry, ffmpeg: { path: config.ffmpeg } })
  const ladders = createLadders({
    ...base,
    ffmpeg: { path: config.ffmpeg },
    folder: join(config.data, 'ladder'),
    wish: config.role === 'control' ? 'off' : config.live.ladder,
  })
  const live = await createLivePackager({
    ...base,
    registry,
    demand: pulls,
    partSeconds: config.live.partSeconds,
    windowSeconds: WINDOW_SECONDS,
    dvrSeconds: config.live.dvrSeconds,
    graceSeconds: config.live.reconnectSeconds,
    slateSeconds: config.live.slateSeconds,
    makeSlate: createSlateMaker({
      ...base,
      folder: join(config.data, 'slates'),
      ffmpeg: { path: config.ffmpeg },
    }),
    makePicture: createPictureMaker({ ...base, ffmpeg: { path: config.ffmpeg } }),
    stateDir: join(config.data, 'live'),
    archives,
    startLadder: (stream, sink) => ladders.start(stream, sink),
  })
  let ownPorts: () => ReadonlySet<number> = () => new Set()
  const pushes = await openPushes({
    ...base,
    registry,
    file: join(config.data, 'pushes.json'),
    ownPorts: () => ownPorts(),
  })
  const inputs = config.srt.streams.map((stream) =>
    openSrtListener(
      { ...stream, host: config.srt.host },
      { ...base, registry, ffmpeg: { path: config.ffmpeg } },
    ),
  )
  void recordings.lookForUnknown()
  const store = configured.store(config.vod.origin)
  const vod = createVodOrigin({ ...base, store, recordings })
  const pages = openPages(base)
  const builtIn = new Map([live.origin, vod, pages].map((origin) => [origin.id, origin]))
  const origin = (id: string) => builtIn.get(id) ?? configured.get(id)
  return {
    edgeId: config.edges[0]?.id ?? 'local',
    origin,
    control: () => control,
    toldSeq: () => toldSeq,
    changes,
    vod,
    recordings,
    pushes,
    listensOn: (ports) => {
      ownPorts = ports
      pulls.begin(ports)
    },
    pulls,
    inputs: () => [...inputs.map((one) => one.report()), ...pulls.report()],
    ingest: { registry, live, ladders, health, keys: () => listStreamKeys(changes, clock.now()) },
    state: () => stateOf(control, changes.position.epoch),
    edgePositions,
    face: {
      origins: () => [...builtIn.values(), ...configured.list()],
      tail: (name, signal) => live.tail(name, signal),
      changes: (after, signal) => followChanges(changes, () => config.distributions, after, signal),
      applied: (said, leaving) => edgePositions.take(said, leaving),
    },
    checkBuckets: (signal) => configured.checkBuckets(signal),
    save: () => live.save(),
    close: async () => {
      for (const one of inputs) one.close()
      health.close()
      pulls.close()
      pushes.close()
      recordings.close()
      live.close()
      await ladders.close()
      subscription[Symbol.dispose]()
      await changes.close()
      await configured.close()
      log.debug('sources closed')
    },
  }
}

/** What caches hold of a recording that was removed. */
function forgetBelow(path: string, changes: ChangeLog, { random, log }: Base): void {
  const id = `i${readableToken(random, 14)}`
  changes
    .append({ kind: 'invalidation', id, distribution: '*', paths: [path] })
    .catch((error: unknown) => {
      log.warn('what was removed may still be in caches', { path, error: describeError(error) })
    })
}

/** Where a parent is, and what this edge calls itself. */
export interface Remote {
  readonly url: string
  readonly token: string
  /** Where it listens on this machine; the address then only names it. */
  readonly socketPath?: string | undefined
  readonly edgeId: string
  /** Called when the changes up to `seq` are in force here. */
  readonly onApplied?: (seq: number) => void
}

/** What an edge is given besides its parent. */
export type RemoteBase = Pick<Base, 'clock' | 'log' | 'metrics' | 'version'>

/** A parent's origins, live windows and changes; the start waits until they are known. */
export async function openRemoteSources(base: RemoteBase, remote: Remote): Promise<Sources> {
  const { log } = base
  const parent = connectParent({ ...base, ...remote })
  const stop = new AbortController()
  const origins = new Map<string, Origin>()
  let control = new ControlState({ distributions: [], origins: {} })
  let epoch = ''
  let waysSeq = 0
  const ready = deferred<void>()

  const learnOrigins = async () => {
    const list = await untilAnswered(() => parent.origins(), base, stop.signal)
    origins.clear()
    for (const one of list) origins.set(one.id, one)
  }
  let configured: readonly Distribution[] = []
  // Ends when the parent has another configuration file than before: its changes apply on top of that, from the first one.
  const follow = async () => {
    let begun = false
    let newest = 0
    for await (const item of parent.followChanges(undefined, stop.signal)) {
      if ('kind' in item) {
        control.apply(item)
        if (item.kind === 'origin' || item.kind === 'distribution') waysSeq = item.seq
        if (item.kind === 'origin') await learnOrigins()
        remote.onApplied?.(control.seq)
        if (control.seq >= newest) ready.resolve()
        continue
      }
      const known = control.seq
      const resumed = begun && item.epoch === epoch && item.after === known
      if (resumed && !isDeepStrictEqual(item.distributions, configured)) return
      // Before the state is begun anew, so that its changes follow at once.
      await learnOrigins()
      if (!resumed) {
        waysSeq = 0
        control = new ControlState({ distributions: item.distributions, origins: {} })
        // What rests here may be older than an invalidation that the parent has folded away.
        control.invalidations.raiseFloor(item.floor)
        // What the parent tells again is not known yet, but by what was stored before.
        if (item.epoch === epoch) control.invalidations.raiseFloor(Math.min(known, item.seq))
      }
      begun = true
      epoch = item.epoch
      configured = item.distributions
      newest = item.seq
      remote.onApplied?.(control.seq)
      // What rests here must not be served before it is known what of it was invalidated.
      if (control.seq >= newest) ready.resolve()
    }
  }
  const followAlways = async () => {
    while (!stop.signal.aborted) await follow()
  }
  followAlways().catch((error: unknown) => {
    if (stop.signal.aborted) return
    log.error('following the parent failed', { error: describeError(error) })
    ready.reject(error)
  })
  await ready.promise

  const replicas = createLiveReplicas({
    ...base,
    openTail: (name, signal) => parent.tail(name, signal),
    fetchParent: async (request) => {
      const live = origins.get('live')
      if (live) return live.fetch(request)
      throw new NearcastError('unavailable', 'the parent has no live streams')
    },
    idleMs: REPLICA_IDLE_MS,
  })
  const pages = openPages(base)
  const builtIn = new Map([replicas.origin, pages].map((origin) => [origin.id, origin]))
  return {
    edgeId: remote.edgeId,
    viewers: () => replicas.viewers(),
    origin: (id) => builtIn.get(id) ?? origins.get(id),
    control: () => control,
    waysPosition: () => `${epoch}:${waysSeq}`,
    toldSeq: () => control.seq,
    state: () => stateOf(control, epoch),
    tellParent: ({ by, seq }) =>
      acknowledgeApplied({
        ...base,
        position: () => (epoch === '' ? undefined : `${epoch}:${seq()}`),
        send: (at, leaving, signal) =>
          parent.acknowledge({ edge: remote.edgeId, by, at, leaving }, signal),
      }),
    checkBuckets: async () => [],
    save: async () => {},
    close: async () => {
      stop.abort()
      replicas.close()
      await parent.close()
    },
  }
}

/** A parent that is just coming up may not answer everything yet. */
async function untilAnswered<T>(
  ask: () => Promise<T>,
  { clock, log }: RemoteBase,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      signal.throwIfAborted()
      log.warn('the parent gave no origins, asking again', { error: describeError(error) })
      await clock.sleep(ORIGINS_RETRY_MS, signal)
    }
  }
}

function openPages({ clock, version }: RemoteBase): Origin {
  return createPagesOrigin({ clock, version, playerDir: join(findProjectRoot(), 'dist', 'player') })
}

function stateOf(control: ControlState, epoch: string): EdgeState {
  const { distributions, seq } = control.snapshot()
  return { distributions, invalidations: control.invalidations, position: `${epoch}:${seq}`, seq }
}
