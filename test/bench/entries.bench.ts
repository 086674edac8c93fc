import { PerformanceObserver } from 'node:perf_hooks'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DiskStore } from '../../server/cache/tier/disk-store.ts'
import { HashIndex, hashKey } from '../../server/cache/tier/hash-index.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { edgeRows } from './edge-entries.ts'
import { atMost, list, quantile, report, type Row } from './report.ts'

// The index of 10 million records of 1 KB: bytes an entry, lookups, pauses. A whole edge with a million answers of 1 KB. And a start with a
// disk tier of 10 GB (`-- SIZE` in GB), in records of 1 MiB as slices are and of 1 KB as small answers are: ready, and all of it found.
const ENTRIES = 10_000_000
const STEP = 1_000_000
const EDGE_ENTRIES = 1_000_000
const SETS = 100
const PROBES = 200_000
const GIB = 1024 ** 3
const gigabytes = Number(process.argv[2] ?? 10)

const pauses: number[] = []
const observer = new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) pauses.push(duration)
})
observer.observe({ entryTypes: ['gc'] })

// Of this program; other programs' share of the cores is not in it.
const cpuMs = () => process.cpuUsage().user / 1000
const keyOf = (i: number) => `GET\ndefault\n/media/${i}.html`
let bare = 0
const turn = () => new Promise((resolve) => setImmediate(resolve))

async function indexRows(): Promise<readonly Row[]> {
  const index = new HashIndex()
  // The same strings without an index: what a busy machine adds to each pause is in both.
  for (let i = 0; i < ENTRIES; i += SETS) {
    for (let j = i; j < i + SETS; j++) bare ^= hashKey(keyOf(j), 1).low
    if (i % 1000 === 0) await turn()
  }
  await turn()
  const barePauses = pauses.splice(0)
  const perLookup: number[] = []
  let longestStep = 0
  let mostBytes = 0
  for (let i = 0; i < ENTRIES; i += SETS) {
    const begun = cpuMs()
    for (let j = i; j < i + SETS; j++)
      index.set(hashKey(keyOf(j), 1), {
        segment: j >>> 16,
        offset: j & 0xffff,
        length: 1024,
      })
    longestStep = Math.max(longestStep, cpuMs() - begun)
    if (i % 1000 === 0) await turn()
    const size = i + SETS
    if (size % STEP !== 0) continue
    mostBytes = Math.max(mostBytes, index.bytes / size)
    const cpu = process.cpuUsage().user
    for (let probe = 0; probe < PROBES; probe++) {
      const name = Math.imul(probe, 0x9e3779b1) >>> 0
      if (!index.has(hashKey(keyOf(name % size), 1))) throw new Error(`${name % size} is not there`)
    }
    perLookup.push(((process.cpuUsage().user - cpu) * 1000) / PROBES)
  }
  await turn()
  const [first = 0] = perLookup
  const last = perLookup.at(-1) ?? 0
  return [
    atMost('index of 10 million entries', 200, mostBytes, 'bytes/entry', 'the most on the way'),
    atMost(`${SETS} entries set, the slowest time`, 10, longestStep, 'ms', 'CPU'),
    atMost(
      'lookup at 10 million, of 1 million',
      3,
      last / first,
      'times',
      `${Math.round(first)}, then ${Math.round(last)} ns`,
    ),
    atMost(
      'garbage collection pauses, p99, beyond those without the index',
      10,
      quantile(pauses, 0.99) - quantile(barePauses, 0.99),
      'ms',
      `${list([quantile(barePauses, 0.99), quantile(pauses, 0.99)])} of ${pauses.length}`,
    ),
  ]
}

async function diskRow(bytes: number, recordBytes: number): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-entries-'))
  const options = {
    folder,
    diskBytes: bytes * 1.1,
    fingerprint: 1,
    log: silentLog,
    random: systemRandom,
  }
  try {
    let store = await DiskStore.open(options)
    const body = [Buffer.alloc(recordBytes, 'nearcast')]
    const count = Math.floor(bytes / recordBytes)
    for (let i = 0; i < count; i++) {
      const key = `s${i}`
      store.write(store.hash(key), { kind: 'slice', key, meta: '', body })
      if ((i * recordBytes) % (8 * 1024 * 1024) < recordBytes) await store.flushed()
    }
    await store.close()
    const begun = systemClock.monotonic()
    store = await DiskStore.open(options)
    const newest = `s${count - 1}`
    const found = (await store.read(store.hash(newest), newest)) !== undefined
    const ready = systemClock.monotonic() - begun
    let longest = 0
    let last = systemClock.monotonic()
    while (store.stats.loading) {
      await turn()
      longest = Math.max(longest, systemClock.monotonic() - last)
      last = systemClock.monotonic()
    }
    const loaded = systemClock.monotonic() - begun
    const all = (await store.read(store.hash('s0'), 's0')) !== undefined
    const { records, bytes: held } = store.stats
    await store.close()
    const name = `start with ${(held / 1e9).toFixed(1)} GB of ${recordBytes} bytes each`
    const said = `${records} records, all of them after ${Math.round(loaded)} ms, longest turn ${Math.round(longest)} ms`
    return [atMost(name, 2000, found && all ? ready : Number.NaN, 'ms', said)]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const rows = [
  ...(await indexRows()),
  ...(await edgeRows(EDGE_ENTRIES)),
  ...(await diskRow(gigabytes * GIB, 1024 * 1024)),
  ...(await diskRow(gigabytes * GIB, 1024)),
]
observer.disconnect()
report(rows)
