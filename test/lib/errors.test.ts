import { expect, it } from 'vitest'
import { describeError } from '../../server/lib/errors.ts'

it.each([
  [new Error('a\n  b', { cause: new Error('c\nd') }), 'a b (c d)'],
  [new Error(''), 'Error'],
  ['x\ny', 'x y'],
  [undefined, 'undefined'],
  // What connecting to a name with an IPv6 and an IPv4 address throws.
  [
    new TypeError('fetch failed', {
      cause: new AggregateError([new Error('connect ECONNREFUSED ::1:9')]),
    }),
    'fetch failed (connect ECONNREFUSED ::1:9)',
  ],
  [new AggregateError([]), 'AggregateError'],
])('any thrown value is described in one line: %o', (thrown, line) => {
  expect(describeError(thrown)).toBe(line)
})
