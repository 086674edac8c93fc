import { markShown } from './config/data-dir.ts'
import { loadConfig } from './config/load-config.ts'
import { quietPackages } from './config/quiet-packages.ts'
import type { Config } from './config/config.ts'
import { systemClock } from './lib/clock.ts'
import { describeError, NearcastError } from './lib/errors.ts'
import { createLog, type Log } from './lib/log.ts'
import { banner } from './main-banner.ts'
import type { Running } from './main-start.ts'

const EXIT_FAILED = 1
const EXIT_MISCONFIGURED = 2
/** Draining is promised to end within 10 s; what has not closed by then is cut. */
const DRAIN_MS = 9000
const START_GRACE_MS = 1000

/** A server from its start to its end by SIGTERM or SIGINT; gives the exit code. */
export async function runServer(argv: readonly string[]): Promise<number> {
  quietPackages()
  let config: Config
  try {
    config = loadConfig({ argv })
  } catch (error) {
    return fail(error)
  }
  const log = createLog(config.log.level, process.stderr.isTTY === true)
  process.on('uncaughtException', (error) => reportDefect(log, 'uncaught exception', error))
  process.on('unhandledRejection', (error) => reportDefect(log, 'unhandled rejection', error))
  const stop = untilSignal()
  // A start may wait long for its parent or its disk; nobody who stops it should.
  const given = stop.then(() => systemClock.sleep(START_GRACE_MS)).then(() => undefined)
  let running: Running | undefined
  try {
    running = await Promise.race([loadAndStart(config, log), given])
  } catch (error) {
    return fail(error)
  }
  if (!running) {
    log.warn('stopped before it was ready')
    return 0
  }
  process.stdout.write(banner(running, config))
  if (running.first)
    await markShown(config.data, systemClock.now()).catch((error: unknown) => {
      log.warn('the next start will show the secrets again', { error: describeError(error) })
    })
  const signal = await stop
  log.info('draining', { signal })
  const late = systemClock.sleep(DRAIN_MS).then(() => 'late' as const)
  if ((await Promise.race([running.drain(), late])) === 'late')
    log.warn('cut what had not closed in time', { afterMs: DRAIN_MS })
  return 0
}

/** Most of the program is loaded only now: a mistake in the configuration is said at once, and a signal is heard meanwhile. */
async function loadAndStart(config: Config, log: Log): Promise<Running> {
  const { startServer } = await import('./main-start.ts')
  return startServer(config, log)
}

/** Resolves at the first SIGTERM or SIGINT; a second one changes nothing. */
function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal))
  })
}

/** A defect of ours that reached the top: said with its stack, and the other viewers are still served. */
function reportDefect(log: Log, what: string, error: unknown): void {
  log.error(`${what}; this is a defect, please report it`, {
    error: describeError(error),
    stack: error instanceof Error ? error.stack : undefined,
  })
}

function fail(error: unknown): number {
  const known = error instanceof NearcastError
  const text = known ? error.sentence : describeError(error)
  process.stderr.write(`nearcast: ${text}\n`)
  return known && error.code === 'config-invalid' ? EXIT_MISCONFIGURED : EXIT_FAILED
}
