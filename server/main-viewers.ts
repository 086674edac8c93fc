import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Config } from './config/config.ts'
import { openAccessLog } from './edge/access-log.ts'
import { createEdge } from './edge/create-edge.ts'
import { listenHttp } from './edge/listen-http.ts'
import { createSharedTier } from './edge/shared-tier.ts'
import { listen } from './lib/listen.ts'
import { startClusterWorker } from './main-cluster.ts'
import type { Base, Sources } from './main-sources.ts'
import type { WorkerOrder } from './main-worker-messages.ts'
import { startWorkers, type Workers } from './main-workers.ts'
import { type OriginFaceDeps, startOriginFace } from './origin/origin-face.ts'

export interface ViewersDeps extends Base {
  readonly sources: Sources
  readonly edgeToken: string
  /** 0: this process answers viewers itself. */
  readonly workerCount: number
  /** The port that viewers are answered on; again when workers were gone and came back. */
  readonly onListening: (port: number) => void
  /** Workers may have followed the changes further. */
  readonly onApplied: () => void
}

/** Whatever answers viewers over HTTP. */
export interface Viewers {
  readonly workers: Workers | undefined
  close(graceMs: number): Promise<void>
}

const SOCKET = 'edge.sock'
/** What the main process keeps of the cache's memory for source bytes of stored media: workers hold what is made of them. */
const MAIN_PART = 1 / 8

/** How many worker processes the configuration asks for; 0: none. */
export function countWorkers({ http }: Config): number {
  return http.workers === 'auto' ? availableParallelism() : http.workers
}

/** Bytes of the cache's bound for this process and for each worker; their sum is the bound. */
export function cacheShares(
  { cache, role }: Pick<Config, 'cache' | 'role'>,
  workerCount: number,
): { readonly main: number; readonly worker: number } {
  const { memoryBytes } = cache
  const serves = role === 'all' || role === 'edge'
  if (workerCount === 0 || !serves) return { main: memoryBytes, worker: 0 }
  const main = role === 'edge' ? 0 : Math.floor(memoryBytes * MAIN_PART)
  return { main, worker: Math.floor((memoryBytes - main) / workerCount) }
}

/** Answers viewers in this process, or starts the workers that do. Throws `port-taken`. */
export async function openViewers(deps: ViewersDeps): Promise<Viewers> {
  return deps.workerCount === 0 ? answerHere(deps) : answerByWorkers(deps)
}

async function answerHere(deps: ViewersDeps): Promise<Viewers> {
  const { config, sources, clock } = deps
  const { access } = config.log
  const accessLog = access === undefined ? undefined : openAccessLog(access, deps)
  const edge = createEdge({
    ...deps,
    edgeId: sources.edgeId,
    accessLog: accessLog && ((record) => accessLog.write(record)),
    state: sources.state,
    origins: sources.origin,
  })
  const http = await listenHttp({ ...config.http, ...edge, clock })
  deps.onListening(http.port)
  return {
    workers: undefined,
    close: async (graceMs) => {
      await http.close(graceMs)
      await accessLog?.close()
    },
  }
}

async function answerByWorkers(deps: ViewersDeps): Promise<Viewers> {
  const { config, sources, clock, log, metrics, cache } = deps
  const http = { host: config.http.host, port: await findPort(config.http) }
  const face = sources.face ? await openSocket(deps, sources.face) : undefined
  metrics.gauge('nearcast_cache_bytes', 'bytes held by the cache', () => cache.bytes)
  const workers = startWorkers({
    count: deps.workerCount,
    start: startClusterWorker,
    order: () => orderOf(deps, face?.path),
    http,
    clock,
    log,
    metrics,
    onServing: deps.onListening,
    onApplied: deps.onApplied,
  })
  const close = async (graceMs: number) => {
    // Viewers of workers still read from here while they drain.
    await workers.close(graceMs)
    await face?.close()
  }
  try {
    await workers.started
  } catch (error) {
    await close(0)
    throw error
  }
  return { workers, close }
}

/** The port itself, or a free one for 0, known to be ours to have. Throws `port-taken`. */
async function findPort(where: { readonly host: string; readonly port: number }): Promise<number> {
  const server = createServer()
  const port = await listen(server, { name: 'http', ...where })
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function openSocket(deps: ViewersDeps, face: NonNullable<Sources['face']>) {
  const path = join(deps.config.data, SOCKET)
  // The workers' caches meet here: an origin is asked once for all of them.
  const shared = createSharedTier({ ...deps, state: deps.sources.state })
  const wanted: OriginFaceDeps = {
    ...deps,
    ...face,
    origins: () => face.origins().map(shared),
    host: '',
    port: 0,
    socketPath: path,
    token: deps.edgeToken,
  }
  const opened = await startOriginFace(wanted)
  return { path, close: () => opened.close() }
}

function orderOf(deps: ViewersDeps, socketPath: string | undefined): WorkerOrderBase {
  const { config, sources, workerCount, edgeToken } = deps
  const parent =
    socketPath === undefined && config.parent
      ? config.parent
      : { url: 'http://main.nearcast', token: edgeToken, socketPath }
  return {
    parent,
    edgeId: sources.edgeId,
    memoryBytes: cacheShares(config, workerCount).worker,
    sliceBytes: config.cache.sliceBytes,
    log: { level: config.log.level, access: config.log.access },
    seq: sources.toldSeq(),
  }
}

type WorkerOrderBase = Omit<WorkerOrder, 'slot' | 'http'>
