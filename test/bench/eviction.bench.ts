import { Evictable, Sieve } from '../../server/cache/sieve.ts'
import { atLeast, report } from './report.ts'

// Requests by Zipf(0.9) over 100,000 names; between them, scans: runs over names that nobody asks for again, each a twentieth of the
// cache, together 30 % of all requests. Hit ratio of the requests that are no scan, at equal numbers of entries.
const NAMES = 100_000
const REQUESTS = 1_500_000
const SCAN_PART = 0.3

/** Numbers that are the same in each run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

function zipf(exponent: number, random: () => number): () => number {
  const sums = new Float64Array(NAMES)
  let sum = 0
  for (let i = 0; i < NAMES; i++) {
    sum += 1 / (i + 1) ** exponent
    sums[i] = sum
  }
  return () => {
    const wanted = random() * sum
    let low = 0
    let high = NAMES - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) < wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Answers whether it was there; keeps it otherwise. */
type Holder = (name: number) => boolean

class Entry extends Evictable {
  readonly name: number
  readonly #entries: Map<number, Entry>
  readonly eviction = 'free'
  constructor(name: number, entries: Map<number, Entry>) {
    super()
    this.name = name
    this.#entries = entries
  }
  evicted(): void {
    this.#entries.delete(this.name)
  }
}

function sieve(size: number): Holder {
  const queue = new Sieve()
  const entries = new Map<number, Entry>()
  return (name) => {
    const present = entries.get(name)
    if (present) {
      present.visited = true
      return true
    }
    if (queue.size >= size) {
      const victim = queue.victim(false)
      if (victim) queue.remove(victim)
      victim?.evicted('bytes')
    }
    const entry = new Entry(name, entries)
    entries.set(name, entry)
    queue.insert(entry, 1)
    return false
  }
}

function lru(size: number): Holder {
  const entries = new Set<number>()
  return (name) => {
    const present = entries.delete(name)
    entries.add(name)
    if (entries.size > size)
      for (const oldest of entries) {
        entries.delete(oldest)
        break
      }
    return present
  }
}

function hitPercent(holder: Holder, size: number): number {
  const random = numbers(7)
  const popular = zipf(0.9, random)
  const scan = Math.ceil(size / 20)
  let hits = 0
  let asked = 0
  let scanned = NAMES
  for (let i = 0; i < REQUESTS; i++) {
    if (random() < SCAN_PART / scan / (1 - SCAN_PART))
      for (let j = 0; j < scan; j++) holder(scanned++)
    asked++
    if (holder(popular())) hits++
  }
  return (hits / asked) * 100
}

const rows = [0.01, 0.05, 0.1].map((part) => {
  const size = NAMES * part
  const ours = hitPercent(sieve(size), size)
  const theirs = hitPercent(lru(size), size)
  const figures = `SIEVE ${ours.toFixed(1)} %, LRU ${theirs.toFixed(1)} %`
  return atLeast(`over LRU, ${part * 100} % of the names fit`, 5, ours - theirs, 'points', figures)
})
report(rows)
