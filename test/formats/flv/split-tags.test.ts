import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type FlvFileTag, FlvTagSplitter } from '../../../server/formats/flv/split-tags.ts'
import { flvFileHeader, flvFileTag } from '../../../server/formats/flv/write-tags.ts'
import { hasCode } from '../../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../../support/fuzz-runs.ts'

function splitAll(pieces: readonly Uint8Array[]): FlvFileTag[] {
  const splitter = new FlvTagSplitter()
  return pieces.flatMap((piece) => splitter.push(piece))
}

function cutAt(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let at = 0
  for (const length of lengths) {
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return [...pieces, bytes.subarray(at)]
}

const tag = fc.record({
  type: fc.constantFrom(8, 9, 18),
  timestamp: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  body: fc.uint8Array({ maxLength: 300 }),
})

test('the tags of an FLV file come out as they are in it, in whatever pieces it comes', () => {
  fc.assert(
    fc.property(
      fc.array(tag, { maxLength: 8 }),
      fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 }),
      (tags, lengths) => {
        const file = Buffer.concat([
          flvFileHeader([]),
          ...tags.map(({ type, timestamp, body }) => flvFileTag(type, timestamp, body)),
        ])
        expect(splitAll(cutAt(file, lengths))).toEqual(tags)
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
})

test('any other bytes are refused with a code, or wait', () => {
  const start = fc.constantFrom('', '464c5601', '464c56010500000009', '464c5601050000000900000000')
  fc.assert(
    fc.property(start, fc.array(fc.uint8Array({ maxLength: 64 })), (head, rest) => {
      try {
        splitAll([Buffer.from(head, 'hex'), ...rest])
      } catch (error) {
        if (!hasCode(error, 'media-broken')) throw error
      }
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('what begins otherwise is no FLV', () => {
  expect(() => splitAll([Buffer.from('this is no FLV')])).toThrow('no FLV')
})
