import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readChangeLines } from '../../server/control/change-file.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const lines = [
  '{"epoch":"abc","floor":0,"seq":2}',
  '{"kind":"stream-key","name":"a","key":"k","revoked":false,"seq":1,"at":5}',
  '{"kind":"invalidation","id":"I","distribution":"*","paths":["/a"],"seq":2,"at":5}',
]

it('reads any bytes as a change log without throwing, in rising numbers', () => {
  const mutated = fc
    .array(fc.oneof(fc.constantFrom(...lines), fc.json(), fc.string()), { maxLength: 8 })
    .map((parts) => Buffer.from(parts.join('\n')))
  fc.assert(
    fc.property(
      fc.oneof(
        mutated,
        fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      ),
      (bytes) => {
        const { changes, whole } = readChangeLines(bytes)
        expect(whole).toBeLessThanOrEqual(bytes.length)
        const numbers = changes.map((change) => change.seq)
        expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
})
