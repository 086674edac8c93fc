import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import type { Source } from '../../server/cache/fill.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const KIB = 1024

interface Plan {
  readonly size: number
  readonly memory: number
  readonly chunk: number
  readonly readers: readonly {
    readonly start: number
    readonly length: number
    readonly delay: number
    readonly leaveAfter: number | undefined
    readonly pause: boolean
  }[]
  readonly seed: number
  readonly dies: boolean
}

const plans: fc.Arbitrary<Plan> = fc.record({
  size: fc.integer({ min: 1, max: 96 * KIB }),
  memory: fc.integer({ min: 40 * KIB, max: 400 * KIB }),
  chunk: fc.oneof(fc.integer({ min: 500, max: 9000 }), fc.constantFrom(1000, 4096, 8192)),
  readers: fc.array(
    fc.record({
      start: fc.nat(96 * KIB),
      length: fc.integer({ min: 1, max: 96 * KIB }),
      delay: fc.nat(12),
      leaveAfter: fc.option(fc.nat(4), { nil: undefined, freq: 5 }),
      pause: fc.boolean(),
    }),
    { minLength: 1, maxLength: 9 },
  ),
  seed: fc.nat(),
  dies: fc.boolean(),
})

const tick = () => new Promise((resolve) => setImmediate(resolve))

function sourceOf(bytes: Buffer, plan: Plan): Source & { fetched: number } {
  let state = plan.seed >>> 0
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state % below
  }
  const source = {
    fetched: 0,
    async open(start: number, end: number, signal: AbortSignal) {
      for (let n = random(4); n > 0; n--) await tick()
      const dieAt = plan.dies && random(4) === 0 ? start + 1 + random(end - start) : end
      async function* body() {
        for (let at = start; at < end; at += plan.chunk) {
          if (random(3) === 0) await tick()
          signal.throwIfAborted()
          if (at + plan.chunk > dieAt && at > start) throw new Error('the origin died')
          const chunk = bytes.subarray(at, Math.min(end, at + plan.chunk))
          source.fetched += chunk.length
          yield chunk
        }
      }
      return { start, body: body() }
    },
  }
  return source
}

test('ranges read by many at once from an origin of random pace equal the source, under the byte bound', async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const bytes = Buffer.from(
        Array.from({ length: plan.size }, (_, i) => (i * 31 + (i >> 8)) & 255),
      )
      const source = sourceOf(bytes, plan)
      const cache = new Cache({ memoryBytes: plan.memory, sliceBytes: 4 * KIB })
      const generation = cache.sharedGeneration('o', {
        etag: 'a',
        size: plan.size,
        rangeable: true,
      })
      await Promise.all(
        plan.readers.map(async (plannedReader) => {
          for (let n = plannedReader.delay; n > 0; n--) await tick()
          const start = plannedReader.start % plan.size
          const end = Math.min(plan.size, start + plannedReader.length)
          const got: Buffer[] = []
          let taken = 0
          try {
            for await (const chunk of generation.read(start, end, source).chunks()) {
              got.push(Buffer.from(chunk))
              expect(cache.bytes).toBeLessThanOrEqual(plan.memory)
              if (plannedReader.pause) await tick()
              if (plannedReader.leaveAfter !== undefined && ++taken > plannedReader.leaveAfter)
                break
            }
          } catch (error) {
            if (!plan.dies) throw error
          }
          const all = Buffer.concat(got)
          expect(all.equals(bytes.subarray(start, start + all.length))).toBe(true)
          if (!plan.dies && plannedReader.leaveAfter === undefined)
            expect(all.length).toBe(end - start)
        }),
      )
      for (let n = 0; n < 20_000 && generation.fillCount > 0; n++) await tick()
      expect(generation.readerCount).toBe(0)
      expect(generation.fillCount).toBe(0)
      const leaves = plan.readers.some((reader) => reader.leaveAfter !== undefined)
      const roomy = plan.memory > plan.size * 2 + 40 * KIB
      // A fill cut short by another one has had at most one chunk more than it kept.
      if (roomy && !leaves && !plan.dies)
        expect(source.fetched).toBeLessThanOrEqual(plan.size + plan.readers.length * plan.chunk)
    }),
    { numRuns: FUZZ_RUNS },
  )
}, 600_000)
