import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cache } from '../../server/cache/cache.ts'
import type { ObjectFacts } from '../../server/cache/stored-object.ts'
import { openChangeLog } from '../../server/control/change-log.ts'
import { startControl } from '../../server/control/start-control.ts'
import { ControlState } from '../../server/distribution/control-state.ts'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import { type Changes, decide } from '../../server/edge/decide.ts'
import { previewInvalidation } from '../../server/edge/preview-invalidation.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { behavior } from '../support/edge-fixture.ts'
import { atMost, median, quantile, report, type Row } from './report.ts'

// 100,000 invalidations standing and a million entries: what it takes to accept one more (over HTTP, written to the disk, applied), what
// a lookup (find and decide) costs beside the same without any invalidation, and how long a dry run holds viewers up.
const ENTRIES = 1_000_000
const STANDING = 100_000
const ACCEPTED = 400
const LOOKUPS = 40_000
const ROUNDS = 7
const FOLDER_FILES = 1000
const TOKEN = 'bench'
const EPOCH = 'bench'

const folder = mkdtempSync(join(tmpdir(), 'nearcast-invalidation-bench-'))
const file = join(folder, 'changes.ndjson')
mkdirSync(join(folder, 'console'))
writeFileSync(join(folder, 'console', 'index.html'), '')
const pathOf = (i: number) => `/shop/${Math.floor(i / FOLDER_FILES)}/item-${i}.html`
const keyOf = (i: number) => `default\n${pathOf(i)}`
const now = systemClock.now()

/** Paths, prefixes and tags in turn, none of which takes an entry: all of them are hits before and after. */
function standing(i: number): string {
  if (i % 3 === 0) return `${pathOf(i * 7)}.old`
  return i % 3 === 1 ? `/shop/${i % FOLDER_FILES}/old-${i}/*` : `#old-${i}`
}

function writeLog(): void {
  const lines = [JSON.stringify({ epoch: EPOCH, floor: 0, seq: 0 })]
  for (let seq = 1; seq <= STANDING; seq++)
    lines.push(
      JSON.stringify({
        kind: 'invalidation',
        id: `i${seq}`,
        distribution: 'default',
        paths: [standing(seq)],
        seq,
        at: now - STANDING + seq,
      }),
    )
  writeFileSync(file, `${lines.join('\n')}\n`)
}

function fill(): Cache {
  const cache = new Cache({ memoryBytes: 8 * 2 ** 30 })
  const generation = cache.ownGeneration({ etag: undefined, size: 0, rangeable: false })
  const hold = generation.hold()
  const common = {
    distribution: 'default',
    method: 'GET',
    status: 200,
    responseFields: { 'cache-control': 'max-age=86400', etag: '"e"' },
    requestTime: now,
    responseTime: now,
    authorized: false,
    flat: [],
    stamp: { epoch: EPOCH, seq: 0, localSeq: 0 },
  }
  for (let i = 0; i < ENTRIES; i++) {
    const tags = [`item-${i}`, `folder-${i % 1000}`, 'shop']
    const facts: ObjectFacts = { ...common, path: pathOf(i), tags }
    cache.store(keyOf(i), [], {}, facts, generation)
  }
  hold[Symbol.dispose]()
  return cache
}

/** CPU nanoseconds a lookup. */
function lookUp(cache: Cache, keys: readonly string[], changes: Changes): number {
  const rule = behavior()
  const headers = {}
  const began = process.cpuUsage()
  for (const key of keys) {
    const object = cache.find(key, headers)
    const decision = decide({ headers, behavior: rule, object, changes, now })
    if (decision.kind !== 'serve') throw new Error(`${key}: ${decision.kind}`)
  }
  const { user, system } = process.cpuUsage(began)
  return ((user + system) * 1000) / keys.length
}

async function accept(port: number, agent: Agent, path: string): Promise<number> {
  const began = systemClock.monotonic()
  await new Promise<void>((resolve, reject) => {
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }
    const asked = request(
      { host: '127.0.0.1', port, method: 'POST', path: '/api/v1/invalidations', agent, headers },
      (response) => {
        response.resume()
        if (response.statusCode !== 201) reject(new Error(`answered ${response.statusCode}`))
        response.on('end', resolve)
      },
    )
    asked.on('error', reject)
    asked.end(JSON.stringify({ paths: [path] }))
  })
  return systemClock.monotonic() - began
}

async function acceptRows(control: number, state: ControlState): Promise<readonly Row[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const took: number[] = []
  const cpuBegan = process.cpuUsage()
  for (let i = 0; i < ACCEPTED; i++) {
    const path = i % 2 === 0 ? `/none/${i}/*` : `#none-${i}`
    took.push(await accept(control, agent, path))
  }
  const { user, system } = process.cpuUsage(cpuBegan)
  const cpuMs = (user + system) / 1000 / ACCEPTED
  agent.destroy()
  const held = state.invalidations.size
  const settled = took.slice(20)
  return [
    { figure: 'standing', asked: `≥ ${STANDING}`, measured: `${held}`, holds: held >= STANDING },
    atMost(
      'accepted, median',
      5,
      median(settled),
      'ms',
      `99 of 100: ${quantile(settled, 0.99).toFixed(1)}`,
    ),
    atMost('accepted, CPU time each', 5, cpuMs),
  ]
}

function lookupRows(cache: Cache, log: InvalidationIndex): readonly Row[] {
  const local = new InvalidationIndex()
  const none: Changes = { epoch: EPOCH, log: new InvalidationIndex(), local }
  const many: Changes = { epoch: EPOCH, log, local }
  const keys = Array.from({ length: LOOKUPS }, (_, i) => keyOf((i * 7_368_787) % ENTRIES))
  const firstNone: number[] = []
  const firstMany: number[] = []
  const ratios: number[] = []
  const nanoseconds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    // What was found is kept until another invalidation comes: the first look of each is told apart.
    firstNone.push(lookUp(cache, keys, none))
    const without = Math.min(lookUp(cache, keys, none), lookUp(cache, keys, none))
    firstMany.push(lookUp(cache, keys, many))
    const beside = Math.min(lookUp(cache, keys, many), lookUp(cache, keys, many))
    ratios.push(beside / without)
    nanoseconds.push(beside)
  }
  const slower = (median(ratios) - 1) * 100
  const first = median(firstMany) - median(firstNone)
  const share = (first / median(nanoseconds)) * 100
  return [
    atMost('lookups slower', 5, slower, '%', `${median(nanoseconds).toFixed(0)} ns each`),
    // Once for each object and invalidation, and only of what is asked for.
    atMost(
      'first look after an invalidation, of a lookup',
      100,
      share,
      '%',
      `${first.toFixed(0)} ns more`,
    ),
  ]
}

async function dryRunRows(cache: Cache, log: InvalidationIndex): Promise<readonly Row[]> {
  const local = new InvalidationIndex()
  const changes = () => ({ epoch: EPOCH, log, local })
  let longest = 0
  let last = systemClock.monotonic()
  let over = false
  const watch = () => {
    const at = systemClock.monotonic()
    longest = Math.max(longest, at - last)
    last = at
    if (!over) setImmediate(watch)
  }
  setImmediate(watch)
  const began = systemClock.monotonic()
  const names = { distribution: '*', paths: ['/shop/1*', '#folder-7'] }
  const signal = new AbortController().signal
  const walked = { cache, changes, clock: systemClock }
  const { objects } = await previewInvalidation(walked, names, { examples: 10, signal })
  over = true
  const all = systemClock.monotonic() - began
  // Folders 1, 10 to 19 and 100 to 199, and one entry of each folder that has the tag.
  const expected = 111 * FOLDER_FILES + (ENTRIES / FOLDER_FILES - 111)
  return [
    {
      figure: 'dry run counts',
      asked: `${expected}`,
      measured: `${objects}`,
      holds: objects === expected,
    },
    atMost('dry run, longest stop', 50, longest, 'ms', `${all.toFixed(0)} ms in all`),
  ]
}

async function main(): Promise<void> {
  writeLog()
  const log = await openChangeLog({
    file,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  })
  const state = new ControlState({ distributions: [], origins: {} })
  for (const change of log.since(0) ?? []) state.apply(change)
  log.subscribe((change) => state.apply(change))
  const cache = fill()
  const control = await startControl({
    host: '127.0.0.1',
    port: 0,
    token: TOKEN,
    consoleFolder: join(folder, 'console'),
    version: 'bench',
    changes: log,
    state: () => state.snapshot(),
    services: {
      health: () => ({ status: 'ready', role: 'all', listeners: {}, warnings: [], startedAt: 0 }),
      streams: () => [],
      cutStream: () => false,
      cutRevoked: () => {},
      sessions: () => [],
      traffic: () => ({ requests: 0, hits: 0, misses: 0, errors: 0, bytes: 0 }),
      cache: () => cache.stats(),
      edges: () => [{ id: 'here', seq: state.seq, self: true }],
      previewInvalidation: () => Promise.reject(new Error('not asked')),
      config: () => ({}),
      probe: () => Promise.reject(new Error('not asked')),
      explain: () => Promise.reject(new Error('not asked')),
    },
    originDefaults: { region: '', endpoint: undefined },
    originFolder: folder,
    stores: [],
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    metrics: new Metrics(),
  })
  try {
    const { objects: hot, packedRecords } = cache.stats()
    // What falls out of the hot objects is packed; what is asked for again may lie in both.
    const objects = hot + packedRecords
    report([
      {
        figure: 'entries',
        asked: `${ENTRIES}`,
        measured: `${objects}`,
        holds: objects >= ENTRIES,
      },
      ...(await acceptRows(control.port, state)),
      ...lookupRows(cache, state.invalidations),
      ...(await dryRunRows(cache, state.invalidations)),
    ])
  } finally {
    await control.close()
    await log.close()
    await rm(folder, { recursive: true })
  }
}

await main()
