import cluster from 'node:cluster'
import { describeError } from './lib/errors.ts'
import type { StartWorker } from './main-worker-slot.ts'

/** First argument of a worker's process: no flag and no command is called so. */
const WORKER = 'nearcast-worker'

/** This process was started as a worker of another one. */
export function isWorker(argv: readonly string[]): boolean {
  return cluster.isWorker && argv[0] === WORKER
}

/** Starts this program again as a worker that shares the listening handles this process opens for its workers. */
export const startClusterWorker: StartWorker = ({ onMessage, onEnd }) => {
  // By turns: of a burst that they accept by themselves one worker may take everything, and keeps it for as long as viewers stay.
  cluster.schedulingPolicy = cluster.SCHED_RR
  cluster.setupPrimary({ args: [WORKER] })
  const worker = cluster.fork()
  worker.on('message', onMessage)
  worker.on('error', (error) => onEnd(describeError(error)))
  worker.on('exit', (code, signal) => onEnd(signal ? `killed by ${signal}` : `exit code ${code}`))
  return {
    // One that is about to end has no channel any more; its end is told by itself.
    send: (message) => void worker.send(message, () => {}),
    kill: () => void worker.process.kill('SIGKILL'),
  }
}
