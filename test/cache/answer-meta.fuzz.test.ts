import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type AnswerMeta,
  readAnswerMeta,
  readPathMeta,
  readVaryMeta,
  writeAnswerMeta,
} from '../../server/cache/tier/answer-meta.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const words = fc.string({ maxLength: 12 })
const count = fc.nat()
const metas: fc.Arbitrary<AnswerMeta> = fc.record({
  facts: fc.record({
    distribution: words,
    path: words,
    method: fc.constantFrom('GET', 'OPTIONS'),
    status: fc.integer({ min: 200, max: 599 }),
    responseFields: fc.dictionary(words, fc.oneof(words, fc.array(words, { maxLength: 3 })), {
      maxKeys: 5,
      noNullPrototype: true,
    }),
    requestTime: count,
    responseTime: count,
    authorized: fc.boolean(),
    flat: fc.array(fc.tuple(words, words), { maxLength: 4 }).map((pairs) => pairs.flat()),
    stamp: fc.record({ epoch: words, seq: count, localSeq: count }),
  }),
  run: words,
  bytes: fc.oneof(
    fc.record({ kind: fc.constant('whole' as const), etag: words }),
    fc.record({
      kind: fc.constant('slices' as const),
      name: words,
      id: words,
      etag: words,
      size: count,
    }),
  ),
})

test('what is said of an answer is read back as it was written', () => {
  fc.assert(
    fc.property(metas, (meta) => {
      expect(readAnswerMeta(writeAnswerMeta(meta))).toEqual(meta)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('of any other JSON only what has the whole form is read', () => {
  // One part of a right one, anywhere in it, replaced by something else.
  const spoilt = fc.tuple(metas, fc.constantFrom('facts', 'run', 'bytes'), fc.nat(), fc.jsonValue())
  fc.assert(
    fc.property(spoilt, ([meta, part, at, value]) => {
      const json = JSON.parse(writeAnswerMeta(meta))
      const inner = json[part]
      if (part === 'run') json.run = value
      else inner[Object.keys(inner)[at % Object.keys(inner).length] ?? ''] = value
      const read = readAnswerMeta(JSON.stringify(json))
      if (read) expect(JSON.parse(writeAnswerMeta(read))).toEqual(json)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('text of any content is read without harm', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(readAnswerMeta(text)).toBeUndefined()
      const names = readVaryMeta(text)
      if (names) expect(names.every((name) => typeof name === 'string')).toBe(true)
      const at = readPathMeta(text)
      if (at !== undefined) expect(at).toBeTypeOf('number')
    }),
    { numRuns: FUZZ_RUNS },
  )
})
