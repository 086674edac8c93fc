import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { Cache } from './cache/cache.ts'
import { findProjectRoot } from './config/defaults.ts'
import { defaultDistributions } from './config/load-config.ts'
import { ControlState } from './distribution/control-state.ts'
import { createCachedStore } from './edge/cached-store.ts'
import { createEdge } from './edge/create-edge.ts'
import { listenHttp } from './edge/listen-http.ts'
import type { Clock } from './lib/clock.ts'
import { describeError } from './lib/errors.ts'
import { type Log, silentLog } from './lib/log.ts'
import { Metrics } from './lib/metrics.ts'
import { openFileStore } from './storage/file.ts'
import { createVodOrigin } from './vod/origin.ts'

const SAMPLE = 'sample.mp4'
const ROUNDS = 3
// A disk that does not answer must not hold up the start.
const ANSWER_MS = 1000
const CACHE_BYTES = 8 * 1024 * 1024

/**
 * Plays the beginning of the sample to itself, through an edge, a cache and a listener of its own that go away again: the engine
 * compiles what runs for the first time, and would do so (50 ms) while the first viewer of the first film waits.
 */
export async function warmUp(clock: Clock, log: Log): Promise<void> {
  const began = clock.monotonic()
  try {
    for (let round = 0; round < ROUNDS; round += 1) await playSample(clock)
    log.debug('warm', { ms: Math.round(clock.monotonic() - began) })
  } catch (error) {
    // An installation without its sample, or without a loopback: the first viewer waits a little longer.
    log.debug('not warm', { error: describeError(error) })
  }
}

async function playSample(clock: Clock): Promise<void> {
  const deps = { clock, log: silentLog, metrics: new Metrics() }
  const cache = new Cache({ memoryBytes: CACHE_BYTES })
  const files = openFileStore(join(findProjectRoot(), 'media'), deps)
  const control = new ControlState({ distributions: defaultDistributions(), origins: {} })
  const { distributions, seq } = control.snapshot()
  const state = {
    distributions,
    invalidations: control.invalidations,
    position: `warm:${seq}`,
    seq,
  }
  const store = createCachedStore({
    ...deps,
    cache,
    originId: 'media',
    store: files,
    probation: true,
    invalidationSeq: () => 0,
  })
  const vod = createVodOrigin({ ...deps, store })
  const edge = createEdge({
    ...deps,
    cache,
    edgeId: 'warm',
    state: () => state,
    origins: (id) => (id === vod.id ? vod : undefined),
  })
  const where = { host: '127.0.0.1', port: 0, exclusive: true }
  const listener = await listenHttp({ ...where, ...edge, clock })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    const main = new URL(`http://127.0.0.1:${listener.port}/vod/${SAMPLE}/index.m3u8`)
    const media = uriIn(await take(main, agent), main, /^[^#\s].*$/m)
    const playlist = await take(media, agent)
    await take(uriIn(playlist, media, /(?<=URI=")[^"]+/), agent)
    await take(uriIn(playlist, media, /^[^#\s].*$/m), agent)
  } finally {
    agent.destroy()
    await listener.close(0)
    await files.close()
  }
}

function uriIn(playlist: string, base: URL, pattern: RegExp): URL {
  return new URL(pattern.exec(playlist)?.[0] ?? '', base)
}

function take(url: URL, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent, signal: AbortSignal.timeout(ANSWER_MS) }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('latin1'))
        else reject(new Error(`${url.pathname}: ${response.statusCode}`))
      })
    })
    request.on('error', reject)
  })
}
