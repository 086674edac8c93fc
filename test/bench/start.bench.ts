import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../server/lib/clock.ts'
import { PROJECT, serverEnv } from '../support/server.ts'
import { atMost, list, median, report } from './report.ts'

// `npm start` to "Nearcast is ready", where everything is installed and built and the data folder is there.
const ROUNDS = 5

const folder = await mkdtemp(join(tmpdir(), 'nearcast-bench-'))
try {
  const first = await startOnce(folder)
  const again: number[] = []
  for (let round = 0; round < ROUNDS; round++) again.push(await startOnce(folder))
  const more = `${list(again)}; the first with this data folder ${Math.round(first)}`
  report([atMost('npm start to ready, again', 3000, median(again), 'ms', more)])
} finally {
  await rm(folder, { recursive: true, force: true })
}

/** Milliseconds from the command to its word that it is ready. */
async function startOnce(home: string): Promise<number> {
  const began = systemClock.monotonic()
  const child = spawn('npm', ['start'], {
    cwd: PROJECT,
    env: serverEnv(home),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const ready = new Promise<number>((resolve) => {
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('Nearcast is ready')) resolve(systemClock.monotonic() - began)
    })
  })
  const early = ended.then(([code]) => {
    throw new Error(`npm start ended with ${code}`)
  })
  const readyMs = await Promise.race([ready, early])
  child.kill('SIGTERM')
  await ended
  return readyMs
}
