import { Cache } from './cache/cache.ts'
import { InvalidationIndex } from './distribution/invalidation-index.ts'
import { openAccessLog } from './edge/access-log.ts'
import { createEdge } from './edge/create-edge.ts'
import type { Changes } from './edge/decide.ts'
import { explainUrl } from './edge/explain.ts'
import { listenHttp } from './edge/listen-http.ts'
import { previewInvalidation } from './edge/preview-invalidation.ts'
import { systemClock } from './lib/clock.ts'
import { deferred } from './lib/deferred.ts'
import { describeError, NearcastError } from './lib/errors.ts'
import { createLog, type Log } from './lib/log.ts'
import { Metrics } from './lib/metrics.ts'
import { openRemoteSources } from './main-sources.ts'
import { readVersion } from './main-version.ts'
import { warmUp } from './main-warm.ts'
import type { FromWorker, Question, ToWorker, WorkerOrder } from './main-worker-messages.ts'

/** Between two reports of what was counted. */
const FACTS_MS = 1000
const HTTP_GRACE_MS = 4000
/** Nobody waits longer for a preview. */
const PREVIEW_MS = 5000
const EXIT_FAILED = 1

/**
 * A worker: an edge whose parent is the process that started it. Its cache is its own, the port is shared. Ends when it is told
 * to drain, and with the process that started it. Gives the exit code.
 */
export async function runWorker(): Promise<number> {
  // Both go to the whole group; the main process says when.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {})
  const begun = deferred<WorkerOrder>()
  const drain = deferred<void>()
  let answer: Answer = () => {
    throw new NearcastError('unavailable', 'the worker does not serve yet')
  }
  let forget: Worker['forget'] = () => {}
  // Our own parent's messages: the channel is nobody else's.
  process.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'begin':
        begun.resolve(message.order)
        return
      case 'drain':
        drain.resolve()
        return
      case 'forget':
        forget(message.distribution, message.path)
        return
      case 'ask':
        void answered(message.id, () => answer(message.question)).then(tell)
    }
  })
  await tell({ kind: 'listening' })
  const order = await begun.promise
  const log = createLog(order.log.level, process.stderr.isTTY === true).with({ worker: order.slot })
  for (const event of ['uncaughtException', 'unhandledRejection'] as const)
    process.on(event, (error) => reportDefect(log, event, error))
  try {
    const worker = await startWorker(order, log)
    answer = worker.answer
    forget = worker.forget
    await tell({ kind: 'serving', port: worker.port })
    await drain.promise
    await worker.close()
    return 0
  } catch (error) {
    const known = error instanceof NearcastError ? error : undefined
    const sentence = (known?.sentence ?? describeError(error)).slice(0, 2000)
    await tell({ kind: 'failed', code: known?.code ?? 'internal', sentence })
    return EXIT_FAILED
  }
}

type Answer = (question: Question) => object | Promise<object>

interface Worker {
  readonly port: number
  readonly answer: Answer
  readonly forget: (distribution: string, path: string) => void
  close(): Promise<void>
}

async function startWorker(order: WorkerOrder, log: Log): Promise<Worker> {
  const clock = systemClock
  const metrics = new Metrics()
  const cache = new Cache({ memoryBytes: order.memoryBytes, sliceBytes: order.sliceBytes })
  const base = { clock, log, metrics, cache, version: readVersion() }
  const upToDate = deferred<void>()
  const sources = await openRemoteSources(base, {
    ...order.parent,
    edgeId: order.edgeId,
    onApplied: (seq) => {
      if (seq >= order.seq) upToDate.resolve()
      void tell({ kind: 'applied', seq })
    },
  })
  if (sources.state().seq < order.seq) await upToDate.promise
  // The log's word alone: what unsafe requests took here is with the edge.
  const local = new InvalidationIndex()
  const changes = (): Changes => {
    const { invalidations, position } = sources.state()
    return { epoch: position.slice(0, position.indexOf(':')), log: invalidations, local }
  }
  const { access } = order.log
  const accessLog = access === undefined ? undefined : openAccessLog(access, base)
  const edge = createEdge({
    ...base,
    edgeId: order.edgeId,
    accessLog: accessLog && ((record) => accessLog.write(record)),
    state: sources.state,
    origins: sources.origin,
    onForgotten: (distribution, path) => void tell({ kind: 'forgot', distribution, path }),
  })
  await warmUp(clock, log)
  const http = await listenHttp({ ...order.http, ...edge, clock })
  const tellFacts = () =>
    tell({
      kind: 'facts',
      metrics: [...metrics.values()],
      cache: { ...cache.stats() },
      viewers: sources.viewers?.() ?? {},
    })
  // Not faster than they are taken.
  let telling = false
  const ticking = clock.every(FACTS_MS, () => {
    if (telling) return
    telling = true
    void tellFacts().then(() => {
      telling = false
    })
  })
  return {
    port: http.port,
    forget: (distribution, path) => edge.forget(distribution, path),
    answer: (question) => {
      if (question.kind === 'explain')
        return explainUrl({ ...base, state: sources.state, origins: sources.origin }, question.url)
      const { names, examples } = question
      const signal = AbortSignal.timeout(PREVIEW_MS)
      return previewInvalidation({ ...base, changes }, names, { examples, signal })
    },
    close: async () => {
      await http.close(HTTP_GRACE_MS)
      ticking[Symbol.dispose]()
      await accessLog?.close()
      await sources.close()
      await tellFacts()
    },
  }
}

async function answered(id: number, ask: () => object | Promise<object>): Promise<FromWorker> {
  try {
    return { kind: 'answered', id, answer: { ...(await ask()) } }
  } catch (error) {
    const known = error instanceof NearcastError ? error : undefined
    const sentence = (known?.sentence ?? 'the worker could not say').slice(0, 2000)
    return { kind: 'answered', id, code: known?.code ?? 'internal', sentence }
  }
}

/** Resolves when the message is on its way, or the channel gone: then this process ends too. */
function tell(message: FromWorker): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected && process.send)
      process.send(message, undefined, undefined, () => resolve())
    else resolve()
  })
}

function reportDefect(log: Log, what: string, error: unknown): void {
  log.error(`${what}; this is a defect, please report it`, {
    error: describeError(error),
    stack: error instanceof Error ? error.stack : undefined,
  })
}
