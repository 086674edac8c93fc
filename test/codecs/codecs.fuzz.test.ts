import fc from 'fast-check'
import { test } from 'vitest'
import { parseAudioSpecificConfig } from '../../server/codecs/aac.ts'
import { avcNalUnits, parseAvcConfig } from '../../server/codecs/avc.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const AVCC = Buffer.from(
  '0164000dffe1001a6764000dacd941419f9f0110000003001000000303c0f142996001000668ebe3cb22c0fdf8f800',
  'hex',
)

/** A good record with some bytes changed and its end cut off: gets further than noise. */
const damaged = (good: Uint8Array) =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }),
      fc.nat(good.length),
    )
    .map(([changes, length]) => {
      const bytes = Uint8Array.from(good)
      for (const [at, value] of changes) bytes[at] = value
      return bytes.subarray(0, length)
    })

function onlyNearcastErrors(read: () => void): void {
  try {
    read()
  } catch (error) {
    if (!(error instanceof NearcastError)) throw error
  }
}

test('any avcC is read or refused with a code', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged(AVCC)), (bytes) =>
      onlyNearcastErrors(() => parseAvcConfig(bytes)),
    ),
    { numRuns: FUZZ_RUNS },
  )
})

test('any AudioSpecificConfig is read or refused with a code', () => {
  const asc = Uint8Array.from([0x11, 0x80, 4, 0xc8, 0x44, 0, 0x20, 0, 0xc4])
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), damaged(asc)), (bytes) =>
      onlyNearcastErrors(() => parseAudioSpecificConfig(bytes)),
    ),
    { numRuns: FUZZ_RUNS },
  )
})

test('any access unit is walked to its end or refused', () => {
  const size = fc.constantFrom(1 as const, 2 as const, 4 as const)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), size, (data, nalLengthSize) => {
      onlyNearcastErrors(() => void [...avcNalUnits(data, nalLengthSize)])
    }),
    { numRuns: FUZZ_RUNS },
  )
})
