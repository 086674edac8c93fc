import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

function index(
  ...entries: readonly (readonly [seq: number, path: string, distribution?: string])[]
) {
  const made = new InvalidationIndex()
  for (const [seq, path, distribution = 'd'] of entries)
    made.add({ seq, distribution, paths: [path] })
  return made
}

const isGone = (made: InvalidationIndex, distribution: string, path: string, since: number) =>
  made.check({ distribution, path, tags: [] }, since).kind === 'gone'

describe('an invalidation', () => {
  it('takes what was stored before it and leaves what came after', () => {
    const made = index([5, '/a'])
    expect(isGone(made, 'd', '/a', 4)).toBe(true)
    expect(isGone(made, 'd', '/a', 5)).toBe(false)
    expect(isGone(made, 'd', '/b', 4)).toBe(false)
    expect(isGone(made, 'd', '/a/b', 4)).toBe(false)
    expect(isGone(made, 'd', '/A', 4)).toBe(false)
  })

  it('with an asterisk takes all that begins so', () => {
    const made = index([5, '/img/a*'], [6, '/img/*'], [7, '/im'])
    expect(isGone(made, 'd', '/img/abc', 4)).toBe(true)
    expect(isGone(made, 'd', '/img/abc', 5)).toBe(true)
    expect(isGone(made, 'd', '/img/', 5)).toBe(true)
    expect(isGone(made, 'd', '/img', 5)).toBe(false)
    expect(isGone(made, 'd', '/img/abc', 6)).toBe(false)
    expect(isGone(index([1, '/*']), 'd', '/anything', 0)).toBe(true)
  })

  it('is of one distribution, or of all', () => {
    expect(isGone(index([5, '/a', 'e']), 'd', '/a', 0)).toBe(false)
    expect(isGone(index([5, '/a', '*']), 'd', '/a', 0)).toBe(true)
  })

  it('takes every query of a path', () => {
    expect(isGone(index([5, '/a?x=1']), 'd', '/a', 0)).toBe(true)
    expect(isGone(index([5, '/a?*']), 'd', '/a', 0)).toBe(true)
    expect(isGone(index([5, '/a?*']), 'd', '/ab', 0)).toBe(false)
  })

  it.each([
    ['/caf%C3%A9', '/caf%c3%a9'],
    ['/café', '/caf%C3%A9'],
    ['/%7Euser*', '/~user/a'],
    ['/a b', '/a%20b'],
    ['/a%4*', '/a%41'],
    ['/a%C3*', '/a%C3%A9'],
    ['/%zz', '/%zz'],
  ])('of %s takes %s, however it is written', (pattern, path) => {
    expect(isGone(index([5, pattern]), 'd', path, 0)).toBe(true)
  })

  it('repeated counts once, with the newest seq', () => {
    const made = index([5, '/a'], [9, '/a'], [6, '/b*'], [8, '/b*'])
    expect(made.size).toBe(2)
    expect(isGone(made, 'd', '/a', 8)).toBe(true)
    expect(isGone(made, 'd', '/b', 7)).toBe(true)
  })
})

describe('the index', () => {
  it('says what a scan over all invalidations says', () => {
    const path = fc
      .array(fc.constantFrom('a', 'b', '/'), { maxLength: 6 })
      .map((p) => `/${p.join('')}`)
    const entry = fc.record({
      path,
      star: fc.boolean(),
      distribution: fc.constantFrom('d', 'e', '*'),
    })
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 30 }),
        path,
        fc.nat({ max: 30 }),
        (entries, asked, since) => {
          const made = new InvalidationIndex()
          entries.forEach((e, i) =>
            made.add({
              seq: i + 1,
              distribution: e.distribution,
              paths: [e.star ? `${e.path}*` : e.path],
            }),
          )
          const expected = entries.some(
            (e, i) =>
              i + 1 > since &&
              e.distribution !== 'e' &&
              (e.star ? asked.startsWith(e.path) : asked === e.path),
          )
          expect(isGone(made, 'd', asked, since)).toBe(expected)
        },
      ),
      { numRuns: FUZZ_RUNS * 3 },
    )
  })

  it('stays within its bound, and what it forgets counts as invalidated', () => {
    const made = new InvalidationIndex({ entries: 100 })
    for (let seq = 1; seq <= 1000; seq++)
      made.add({ seq, distribution: `d${seq % 3}`, paths: [seq % 2 ? `/p${seq}` : `/p${seq}*`] })
    expect(made.size).toBeLessThanOrEqual(100)
    expect(made.floorSeq).toBeGreaterThan(800)
    expect(isGone(made, 'd0', '/never', 10)).toBe(true)
    expect(isGone(made, 'd1', '/p1000', 999)).toBe(true)
    expect(isGone(made, 'd0', '/p1000', 999)).toBe(false)
    expect(isGone(made, 'd0', '/never', 1000)).toBe(false)
  })

  it('holds one change with more paths than its bound', () => {
    const made = new InvalidationIndex({ entries: 10 })
    made.add({ seq: 3, distribution: 'd', paths: Array.from({ length: 50 }, (_, i) => `/${i}`) })
    expect(made.size).toBeLessThanOrEqual(10)
    expect(isGone(made, 'd', '/49', 2)).toBe(true)
    expect(isGone(made, 'd', '/49', 3)).toBe(false)
  })

  it('raises its floor for a log whose older part is gone', () => {
    const made = index([5, '/a'])
    made.raiseFloor(20)
    expect(isGone(made, 'd', '/b', 19)).toBe(true)
    expect(isGone(made, 'd', '/b', 20)).toBe(false)
  })

  it('answers in time that does not grow with what it holds', () => {
    const made = new InvalidationIndex()
    for (let seq = 1; seq <= 50_000; seq++)
      made.add({ seq, distribution: 'd', paths: [`/films/${seq}/*`] })
    const started = performance.now()
    for (let i = 0; i < 20_000; i++) isGone(made, 'd', `/films/${i}/index.m3u8`, 49_999)
    expect(performance.now() - started).toBeLessThan(500)
  })
})
