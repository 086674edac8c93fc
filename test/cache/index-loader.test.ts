import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DiskStore } from '../../server/cache/tier/disk-store.ts'
import { HashIndex } from '../../server/cache/tier/hash-index.ts'
import { IndexLoader } from '../../server/cache/tier/index-loader.ts'
import { newSegment } from '../../server/cache/tier/segment.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const MIB = 1024 * 1024

let folder = ''
const opened: DiskStore[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nearcast-loader-'))
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
  rmSync(folder, { recursive: true, force: true })
})

async function openStore(): Promise<DiskStore> {
  const fixed = { fingerprint: 1, log: silentLog, entriesAtStart: 1000 }
  const options = { ...fixed, folder, diskBytes: 2 * MIB }
  const store = await DiskStore.open({ ...options, random: systemRandom })
  opened.push(store)
  return store
}

function put(store: DiskStore, key: string, text: string): void {
  store.write(store.hash(key), { kind: 'object', key, meta: '', body: [Buffer.from(text)] })
}

const textOf = async (store: DiskStore, key: string) =>
  (await store.read(store.hash(key), key))?.body.toString()

const entry = fc.record({ name: fc.nat(6), gone: fc.boolean() })
const segments = fc.array(fc.array(entry, { maxLength: 12 }), { maxLength: 5 })

test('newest first brings what oldest first does, whatever is written and forgotten on the way', async () => {
  const file = await open(join(folder, 'none'), 'w+')
  const hashOf = (name: number) => ({ high: name % 2, low: name })
  await fc.assert(
    fc.asyncProperty(
      segments,
      fc.array(fc.tuple(fc.nat(5), entry), { maxLength: 4 }),
      async (plan, meanwhile) => {
        const model = new Map<number, string>()
        const lying = plan.map((entries, number) => {
          const segment = newSegment(number, file)
          for (const { name, gone } of entries) {
            const hash = hashOf(name)
            const offset = segment.entries.end
            segment.entries.push({ kind: gone ? 'gone' : 'put', hash, offset, length: 40 })
            if (gone) model.delete(name)
            else model.set(name, `${number}:${offset}`)
          }
          return segment
        })
        const index = new HashIndex()
        const loader = new IndexLoader(index)
        const step = (at: number) => {
          for (const [when, { name, gone }] of meanwhile) {
            if (when !== at) continue
            const hash = hashOf(name)
            if (gone) {
              index.remove(hash)
              loader.forget(hash)
              model.delete(name)
            } else {
              index.set(hash, { segment: 99, offset: 1, length: 40 })
              model.set(name, '99:1')
            }
          }
        }
        step(0)
        for (const [i, segment] of lying.reverse().entries()) {
          await loader.load(segment, segment.entries.length, () => false)
          step(i + 1)
        }
        loader.end()
        for (let name = 0; name <= 6; name++) {
          const place = index.find(hashOf(name))
          const found = place && `${place.segment}:${place.offset}`
          const left = meanwhile.some(([when]) => when > lying.length)
          if (!left) expect(found).toBe(model.get(name))
        }
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
  await file.close()
})

test('a large tier serves its newest part at once, the older soon after, and never what was forgotten meanwhile', async () => {
  const before = await openStore()
  const records = 15_000
  for (let i = 0; i < records; i++) put(before, `k${i}`, `text ${i}`)
  await before.close()

  const store = await openStore()
  expect(store.stats.loading).toBe(true)
  expect(await textOf(store, `k${records - 1}`)).toBe(`text ${records - 1}`)
  store.forget(store.hash('k1'))
  put(store, 'k2', 'newer')
  await store.loaded()
  expect(store.stats.loading).toBe(false)
  expect(await textOf(store, 'k0')).toBe('text 0')
  expect(await textOf(store, 'k1')).toBeUndefined()
  expect(await textOf(store, 'k2')).toBe('newer')
  await store.flushed()
  expect(store.stats.records).toBe(records - 1)
  await store.close()

  const again = await openStore()
  await again.loaded()
  expect(await textOf(again, 'k1')).toBeUndefined()
  expect(await textOf(again, 'k2')).toBe('newer')
})

test('a tier that is closed before all of it is known loses nothing', async () => {
  const before = await openStore()
  for (let i = 0; i < 15_000; i++) put(before, `k${i}`, 'x')
  await before.close()
  const hasty = await openStore()
  await hasty.close()
  const store = await openStore()
  await store.loaded()
  expect(store.stats.records).toBe(15_000)
})
