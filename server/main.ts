import { isWorker } from './main-cluster.ts'

const argv = process.argv.slice(2)
// Each loads its own part alone: a worker begins sooner, and again after each of its deaths.
process.exitCode = isWorker(argv)
  ? await (await import('./main-worker.ts')).runWorker()
  : await (await import('./main-server.ts')).runServer(argv)
// Whatever still holds the event loop (a socket of a viewer that vanished) must not hold the exit.
process.exit()
