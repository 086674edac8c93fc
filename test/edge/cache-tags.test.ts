import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tagsOf } from '../../server/edge/cache-tags.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

test('tags are read of all three fields, without case, each once', () => {
  expect(tagsOf({ 'content-type': 'text/plain' })).toBeUndefined()
  expect(
    tagsOf({
      'x-amz-meta-cache-tag': 'Product:Electronics, tv',
      'cache-tag': ['TV', ' brand:x ,'],
      'surrogate-key': 'one  two',
    }),
  ).toEqual(['product:electronics', 'tv', 'brand:x', 'one', 'two'])
})

// CloudFront, "What you need to know when invalidating tags".
test('the first 50 tags of at most 256 visible characters count', () => {
  const many = Array.from({ length: 60 }, (_, i) => `t${i}`)
  expect(tagsOf({ 'cache-tag': many.join(',') })).toEqual(many.slice(0, 50))
  const longest = 'a'.repeat(256)
  expect(tagsOf({ 'cache-tag': `${longest},${longest}b,two words,käse,ok` })).toEqual([
    longest,
    'ok',
  ])
})

test('whatever the fields hold, tags stay within their bounds', () => {
  const value = fc.oneof(fc.string(), fc.array(fc.string()), fc.constant('a,'.repeat(100_000)))
  fc.assert(
    fc.property(value, value, (first, second) => {
      const tags = tagsOf({ 'cache-tag': first, 'surrogate-key': second }) ?? []
      expect(tags.length).toBeLessThanOrEqual(50)
      for (const tag of tags) expect(tag).toMatch(/^[!-+\--@[-~]{1,256}$/)
    }),
    { numRuns: FUZZ_RUNS },
  )
})
