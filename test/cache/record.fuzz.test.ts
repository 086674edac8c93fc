import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type RecordContent,
  RECORD_KINDS,
  readRecord,
  readRecordHeader,
  writeRecord,
} from '../../server/cache/tier/record.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const word = fc.integer({ min: 0, max: 0xffffffff })
const hashes = fc.record({ high: word, low: word })
const contents: fc.Arbitrary<RecordContent> = fc.record({
  kind: fc.constantFrom(...RECORD_KINDS),
  key: fc.string({ unit: 'grapheme', maxLength: 40 }),
  meta: fc.string({ unit: 'grapheme', maxLength: 40 }),
  body: fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 4 }),
})

function written(hash: { high: number; low: number }, content: RecordContent): Buffer {
  const record = writeRecord(hash, content)
  if (!record) throw new Error('too long')
  const bytes = Buffer.concat(record.parts)
  expect(bytes.length).toBe(record.length)
  return bytes
}

test('a record is read back as it was written, whatever follows it', () => {
  fc.assert(
    fc.property(hashes, contents, fc.uint8Array({ maxLength: 20 }), (hash, content, more) => {
      const bytes = Buffer.concat([written(hash, content), more])
      expect(readRecordHeader(bytes)?.hash).toEqual(hash)
      expect(readRecord(bytes)).toEqual({ ...content, body: Buffer.concat(content.body) })
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('a record with one wrong bit, or cut anywhere, is none', () => {
  fc.assert(
    fc.property(hashes, contents, fc.nat(), fc.nat(7), (hash, content, at, bit) => {
      const bytes = written(hash, content)
      const position = at % bytes.length
      expect(readRecord(bytes.subarray(0, position))).toBeUndefined()
      bytes[position] = (bytes[position] ?? 0) ^ (1 << bit)
      expect(readRecord(bytes)).toBeUndefined()
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('bytes that are no record are none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(250), (bytes, offset) => {
      expect(readRecord(Buffer.from(bytes))).toBeUndefined()
      expect(readRecordHeader(Buffer.from(bytes), offset)).toBeUndefined()
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('what is longer than records may be is not written', () => {
  const key = 'k'.repeat(64 * 1024)
  const record = { kind: 'object', key, meta: '', body: [] } as const
  expect(writeRecord({ high: 1, low: 2 }, record)).toBeDefined()
  expect(writeRecord({ high: 1, low: 2 }, { ...record, key: `${key}k` })).toBeUndefined()
})
