import { Cache } from './cache/cache.ts'
import type { Resting } from './cache/tier/resting.ts'
import type { Config } from './config/config.ts'
import {
  makeDataDir,
  openSecrets,
  type ReadyFile,
  removeReady,
  writeReady,
} from './config/data-dir.ts'
import { refuseSecondServer } from './config/find-ready.ts'
import { lockData } from './config/lock-data.ts'
import { notesOn } from './config/notes.ts'
import { EventFeed } from './control/event-feed.ts'
import { expireKeys } from './control/expire-keys.ts'
import { startWebhooks } from './control/webhooks.ts'
import type { Distribution } from './distribution/types.ts'
import type { Acknowledging } from './edge/acknowledge-applied.ts'
import type { SessionInfo } from './ingest/session-state.ts'
import { createKeyResolver } from './ingest/stream-keys.ts'
import { askAdmission } from './ingest/ask-admission.ts'
import { startRtmpListener } from './ingest/rtmp-listener.ts'
import { type Clock, systemClock } from './lib/clock.ts'
import { describeError, NearcastError } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import { portOf } from './lib/own-address.ts'
import { measureEventLoop } from './lib/event-loop.ts'
import { Metrics } from './lib/metrics.ts'
import { readableToken, systemRandom } from './lib/random.ts'
import { appliedSeq, cutRevoked, startControlRole } from './main-control.ts'
import { tellEvents, tellRecording } from './main-events.ts'
import {
  openLocalSources,
  openRemoteSources,
  type RemoteBase,
  type Sources,
} from './main-sources.ts'
import { openResting, type ToldWays } from './main-resting.ts'
import { readVersion } from './main-version.ts'
import { cacheShares, countWorkers, openViewers } from './main-viewers.ts'
import { warmUp } from './main-warm.ts'
import type { Workers } from './main-workers.ts'
import { startOriginFace } from './origin/origin-face.ts'
import { type DemoPublisher, probeFfmpeg, startDemoPublisher } from './transcode/ffmpeg.ts'

/** A server that serves. */
export interface Running {
  readonly ready: ReadyFile
  /** True until a start in this data folder came to ready and showed the secrets. */
  readonly first: boolean
  /** What viewers are given as of now; an edge has them from its parent. */
  readonly distributions: readonly Distribution[]
  readonly warnings: readonly string[]
  /** No new connections, live windows saved, what is under way given a few seconds. Called once. */
  drain(): Promise<void>
}

/** Everything of a role put together. Throws `port-taken`, `data-in-use`, `config-invalid` and what the data folder says. */
export async function startServer(config: Config, log: Log): Promise<Running> {
  const clock = systemClock
  const random = systemRandom
  const startedAt = clock.now()
  const version = readVersion()
  await makeDataDir(config.data)
  const lock = await lockData(config.data, { random, clock })
  if (!lock)
    log.warn('the data folder takes no lock; start one server with it', { data: config.data })
  await refuseSecondServer(config.data)
  const secrets = await openSecrets(config.data, random)
  const metrics = new Metrics()
  const workerCount = countWorkers(config)
  const warnings: string[] = [...notesOn(config)]
  // Closed first and all at once: one after another their graces would use up the drain before the windows are saved.
  const doors: Close[] = []
  // Closed in the opposite order, also when a later step of the start fails.
  let resting: Resting | undefined
  const eventLoop = measureEventLoop(metrics)
  const closers: Close[] = [
    () => lock?.release(),
    () => resting?.close(),
    () => eventLoop[Symbol.dispose](),
  ]
  let draining = false

  const close = async (one: Close) => {
    try {
      await one()
    } catch (error) {
      log.error('closing failed', { error: describeError(error) })
    }
  }
  const drain = async () => {
    draining = true
    await Promise.all(doors.splice(0).map(close))
    for (const one of closers.splice(0).reverse()) await close(one)
  }
  const feed = new EventFeed(clock, random)
  let workers: Workers | undefined
  let telling: Acknowledging | undefined
  try {
    // Before the disk tier: what rests there counts only under the rules that the parent has now.
    const parent =
      config.role === 'edge'
        ? await openParent({ config, clock, log, metrics, version }, () => telling?.changed())
        : undefined
    if (parent) closers.push(() => parent.close())
    resting = await openResting(config, { log, random, version, told: parent && toldBy(parent) })
    const cache = new Cache({
      ...config.cache,
      memoryBytes: cacheShares(config, workerCount).main,
      resting,
    })
    const base = { config, clock, random, log, metrics, cache, version }
    const sources =
      parent ??
      (await openLocalSources(base, { onRecording: (event) => tellRecording(feed, event) }))
    if (!parent) closers.push(() => sources.close())
    if (sources.changes) {
      const { changes } = sources
      const cut = (name: string) => cutRevoked(sources, name)
      const expiring = expireKeys({ changes, clock, log, cutRevoked: cut })
      closers.push(() => expiring[Symbol.dispose]())
    }
    if (sources.ingest) {
      const telling = tellEvents(feed, { ...sources.ingest, clock })
      const hooks = startWebhooks({ ...base, feed, hooks: config.hooks })
      closers.push(() => {
        telling[Symbol.dispose]()
        hooks[Symbol.dispose]()
      })
    }

    const listeners: Record<string, string> = {}
    let sessions: () => readonly SessionInfo[] = () => []
    if (sources.ingest && config.role !== 'control') {
      const { registry, keys } = sources.ingest
      const rtmp = await startRtmpListener({
        ...base,
        ...config.rtmp,
        rtmps: config.rtmps,
        registry,
        resolveKey: createKeyResolver(keys),
        publishAuth: config.publish.auth,
        admission: config.admission && askAdmission(config.admission, base),
        demand: sources.pulls,
      })
      closers.push(() => rtmp.close())
      sessions = () => rtmp.sessions()
      listeners['rtmp'] = addressOf('rtmp', config.rtmp.host, rtmp.port, '/live')
      if (config.rtmps && rtmp.tlsPort !== undefined)
        listeners['rtmps'] = addressOf('rtmps', config.rtmps.host, rtmp.tlsPort, '/live')
    }
    // Before the RTMP listener closes, so that cut publishers do not look like ended streams.
    closers.push(() => sources.save())
    if (sources.face && config.role !== 'control') {
      const face = await startOriginFace({
        ...base,
        ...config.origin,
        ...sources.face,
        token: secrets.edgeToken,
      })
      doors.push(() => face.close())
      listeners['origin'] = addressOf('http', config.origin.host, face.port)
    }
    if (config.role === 'all' || config.role === 'edge') {
      const viewers = await openViewers({
        ...base,
        sources,
        edgeToken: secrets.edgeToken,
        workerCount,
        onListening: (port) => {
          listeners['http'] = addressOf('http', config.http.host, port)
        },
        // Also of one that took longer than a moment, or the parent would hear of it 15 s later.
        onApplied: () => telling?.changed(),
      })
      doors.push(() => viewers.close(HTTP_GRACE_MS))
      workers = viewers.workers
    }
    telling = sources.tellParent?.({
      by: readableToken(random, PROCESS_LENGTH),
      seq: () => appliedSeq(sources, workers),
    })
    telling?.changed()
    closers.push(() => telling?.close())
    const control = await startControlRole({
      ...base,
      sources,
      sessions,
      workers,
      events: sources.ingest && feed,
      token: secrets.adminToken,
      health: () => ({
        status: draining ? 'draining' : 'ready',
        role: config.role,
        listeners,
        warnings: [...warnings, ...warningsOf(workers), ...(sources.recordings?.warnings() ?? [])],
        startedAt,
        ...(workers && { workers: workers.report() }),
      }),
    })
    doors.push(() => control.close())
    listeners['control'] = addressOf('http', config.control.host, control.port)

    sources.listensOn?.(() => new Set(Object.values(listeners).map(portOf)))
    const ready: ReadyFile = {
      pid: process.pid,
      ...listeners,
      ...(sources.ingest && config.srt.streams.length > 0 ? { srt: srtAddresses(config) } : {}),
      ...(listeners['origin'] === undefined ? {} : { edgeToken: secrets.edgeToken }),
      streams: (sources.ingest?.keys() ?? []).map(({ name, key }) => ({ name, key })),
      adminToken: secrets.adminToken,
    }
    const demo = config.demo ? startDemo(ready, config, base) : undefined
    if (demo) closers.push(() => demo.close())
    if (sources.ingest) void warnWithoutFfmpeg(config, log, warnings)
    void warnOfBuckets(sources, log, warnings)
    await warmUp(clock, log)
    await writeReady(config.data, ready)
    // Last but for the lock.
    closers.splice(1, 0, () => removeReady(config.data))
    return {
      ready,
      first: secrets.shownAt === undefined,
      distributions: sources.state().distributions,
      warnings,
      drain,
    }
  } catch (error) {
    await drain()
    throw error
  }
}

async function openParent(
  base: RemoteBase & { readonly config: Config },
  onApplied: () => void,
): Promise<Sources> {
  const { parent, edges } = base.config
  if (!parent) throw new NearcastError('config-invalid', 'parent: is missing')
  return openRemoteSources(base, { ...parent, onApplied, edgeId: edges[0]?.id ?? 'edge' })
}

function toldBy({ state, waysPosition }: Sources): ToldWays | undefined {
  return waysPosition && { distributions: state().distributions, position: waysPosition() }
}

function warningsOf(workers: Workers | undefined): readonly string[] {
  const { wanted, serving } = workers?.report() ?? { wanted: 0, serving: 0 }
  if (serving === wanted) return []
  return [`${serving} of ${wanted} worker processes serve viewers; the log says why`]
}

type Close = () => Promise<void> | void

const HTTP_GRACE_MS = 4000
/** Of the name by which a parent tells processes of one edge apart. */
const PROCESS_LENGTH = 12

function startDemo(
  ready: ReadyFile,
  { publish, ffmpeg }: Config,
  deps: { readonly clock: Clock; readonly log: Log },
): DemoPublisher | undefined {
  const [stream] = ready.streams
  if (!ready.rtmp || !stream) return undefined
  // Where everyone may publish, the key would be the public name of the stream.
  const url = `${ready.rtmp}/${publish.auth === 'open' ? stream.name : stream.key}`
  return startDemoPublisher(url, { path: ffmpeg }, deps)
}

const BUCKETS_MS = 20_000

async function warnOfBuckets(sources: Sources, log: Log, warnings: string[]): Promise<void> {
  for (const sentence of await sources.checkBuckets(AbortSignal.timeout(BUCKETS_MS))) {
    warnings.push(sentence)
    log.warn(sentence)
  }
}

async function warnWithoutFfmpeg(config: Config, log: Log, warnings: string[]): Promise<void> {
  if (await probeFfmpeg({ path: config.ffmpeg })) return
  const sentence =
    'ffmpeg was not found: no ladder, no demo; install it (apt-get install ffmpeg) or set FFMPEG_PATH'
  warnings.push(sentence)
  log.warn(sentence)
}

function srtAddresses({ srt }: Config): NonNullable<ReadyFile['srt']> {
  return srt.streams.map(({ name, port }) => ({ name, url: addressOf('srt', srt.host, port) }))
}

/** A listener's address as someone on this machine would write it. */
function addressOf(scheme: string, host: string, port: number, path = ''): string {
  const everywhere = host === '0.0.0.0' || host === '::'
  const name = everywhere ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host
  return `${scheme}://${name}:${port}${path}`
}
