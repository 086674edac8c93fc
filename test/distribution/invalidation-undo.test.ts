import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  InvalidationIndex,
  type Named,
  UNDO_MS,
} from '../../server/distribution/invalidation-index.ts'
import { PrefixTree } from '../../server/distribution/prefix-tree.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const named = (path: string, tags: readonly string[] = []): Named => ({
  distribution: 'd',
  path,
  tags,
})
const entry = (seq: number, path: string, more: { soft?: boolean; at?: number } = {}) => ({
  seq,
  at: seq * 1000,
  distribution: 'd',
  paths: [path],
  ...more,
})

describe('a tag', () => {
  it('takes what has it, whatever its case, and nothing else', () => {
    const made = new InvalidationIndex()
    made.add(entry(5, '#Shoes'))
    expect(made.check(named('/a', ['hats', 'shoes']), 4)).toEqual({ kind: 'gone' })
    expect(made.check(named('/a', ['shoes']), 5)).toEqual({ kind: 'valid' })
    expect(made.check(named('/shoes', ['shoe']), 4)).toEqual({ kind: 'valid' })
  })

  it('takes what may have any tag, since nobody knows yet', () => {
    const made = new InvalidationIndex()
    made.add(entry(5, '#shoes'))
    made.add(entry(6, '/b'))
    const unknown = { ...named('/a'), tags: 'unknown' } as const
    expect(made.check(unknown, 4)).toEqual({ kind: 'gone' })
    expect(made.check(unknown, 5)).toEqual({ kind: 'valid' })
  })
})

describe('a soft invalidation', () => {
  it('makes stale from when it was made, and a hard one beside it counts more', () => {
    const made = new InvalidationIndex()
    made.add(entry(5, '/a*', { soft: true, at: 70_000 }))
    expect(made.check(named('/ab'), 4)).toEqual({ kind: 'stale', since: 70_000 })
    expect(made.check(named('/ab'), 5)).toEqual({ kind: 'valid' })
    made.add(entry(6, '/ab'))
    expect(made.check(named('/ab'), 4)).toEqual({ kind: 'gone' })
    expect(made.check(named('/ac'), 4)).toEqual({ kind: 'stale', since: 70_000 })
  })

  it('that is forgotten makes all that is older stale, not gone', () => {
    const made = new InvalidationIndex({ entries: 2 })
    for (const seq of [1, 2, 3]) made.add(entry(seq, `/${seq}`, { soft: true }))
    expect(made.check(named('/never'), 0)).toEqual({ kind: 'stale', since: 1000 })
    expect(made.check(named('/never'), 1)).toEqual({ kind: 'valid' })
  })
})

describe('an undo', () => {
  it('leaves what other invalidations of the same name took', () => {
    const made = new InvalidationIndex()
    made.add(entry(1, '/a', { at: 0 }))
    made.add(entry(2, '/a', { at: 10 * UNDO_MS }))
    made.add(entry(3, '/a', { at: 10 * UNDO_MS + 1 }))
    for (const seq of [3, 2]) made.undo(entry(seq, '/a'))
    expect(made.check(named('/a'), 1)).toEqual({ kind: 'valid' })
    expect(made.check(named('/a'), 0)).toEqual({ kind: 'gone' })
    made.undo(entry(1, '/a'))
    expect(made.check(named('/a'), 0)).toEqual({ kind: 'valid' })
    expect(made.size).toBe(0)
  })

  it('leaves what more invalidations of one name took than are told apart', () => {
    const made = new InvalidationIndex()
    for (let seq = 1; seq <= 40; seq++) made.add(entry(seq, '/a', { at: seq, soft: seq > 2 }))
    for (let seq = 40; seq > 1; seq--) made.undo(entry(seq, '/a'))
    expect(made.check(named('/a'), 0)).toEqual({ kind: 'gone' })
  })

  it('takes back what forgotten names of it made old, and only that', () => {
    const made = new InvalidationIndex({ entries: 2 })
    made.add(entry(1, '/old'))
    made.add({ ...entry(2, '/a'), paths: ['/a', '/b', '/c', '/d'] })
    made.add(entry(3, '/e', { soft: true }))
    made.add(entry(4, '/f'))
    expect(made.check(named('/never'), 1)).toEqual({ kind: 'gone' })
    made.undo({ ...entry(2, '/a'), paths: ['/a', '/b', '/c', '/d'] })
    expect(made.check(named('/never'), 1)).toEqual({ kind: 'valid' })
    expect(made.check(named('/a'), 1)).toEqual({ kind: 'valid' })
    expect(made.check(named('/never'), 0)).toEqual({ kind: 'gone' })
    expect(made.check(named('/f'), 3)).toEqual({ kind: 'gone' })
    made.undo(entry(1, '/old'))
    expect(made.check(named('/never'), 0)).toEqual({ kind: 'valid' })
    expect(made.check(named('/e'), 0)).toEqual({ kind: 'stale', since: 3000 })
  })

  it('takes nothing back that is below the floor of a log whose older part is gone', () => {
    const made = new InvalidationIndex({ entries: 1 })
    made.raiseFloor(20)
    made.add(entry(15, '/a'))
    made.add(entry(21, '/b'))
    made.add(entry(22, '/c'))
    for (const seq of [22, 21, 20, 15]) made.undo(entry(seq, seq === 22 ? '/c' : '/b'))
    expect(made.check(named('/never'), 19)).toEqual({ kind: 'gone' })
    expect(made.check(named('/never'), 20)).toEqual({ kind: 'valid' })
  })

  it('leaves the invalidation before one that names a path in many ways', () => {
    const made = new InvalidationIndex()
    made.add(entry(1, '/a'))
    made.add(entry(2, '/a'))
    const queries = Array.from({ length: 40 }, (_, i) => `/a?${i}`)
    made.add({ ...entry(3, '/a'), paths: queries })
    made.undo({ ...entry(3, '/a'), paths: queries })
    made.undo(entry(2, '/a'))
    expect(made.check(named('/a'), 1)).toEqual({ kind: 'valid' })
    expect(made.check(named('/a'), 0)).toEqual({ kind: 'gone' })
  })

  it('of what was never made changes nothing', () => {
    const made = new InvalidationIndex()
    made.add(entry(1, '/a'))
    made.undo(entry(7, '/a'))
    made.undo({ ...entry(1, '/a'), distribution: 'other' })
    expect(made.check(named('/a'), 0)).toEqual({ kind: 'gone' })
  })

  it('and each addition are another state; a lookup is none', () => {
    const made = new InvalidationIndex()
    const empty = made.state
    made.add(entry(1, '/a'))
    const added = made.state
    made.check(named('/a'), 0)
    expect(made.state).toBe(added)
    made.undo(entry(1, '/a'))
    expect(new Set([empty, added, made.state]).size).toBe(3)
  })

  it('holds one name that is invalidated without end in bounded room', () => {
    const made = new InvalidationIndex()
    for (let seq = 1; seq <= 5000; seq++) made.add(entry(seq, '/a*', { at: seq }))
    for (let seq = 5000; seq > 4990; seq--) made.undo(entry(seq, '/a*'))
    expect(made.check(named('/a'), 4989)).toEqual({ kind: 'gone' })
    expect(made.check(named('/a'), 4990)).toEqual({ kind: 'valid' })
  })

  it('says with all the others what a scan over those that are left says', () => {
    const part = fc.constantFrom('a', 'b', '/', '%41')
    const path = fc.array(part, { maxLength: 5 }).map((p) => `/${p.join('')}`)
    const made = fc.record({
      path,
      star: fc.boolean(),
      soft: fc.boolean(),
      undone: fc.boolean(),
      distribution: fc.constantFrom('d', 'e', '*'),
    })
    const plain = (text: string) => text.replaceAll('%41', 'A')
    fc.assert(
      fc.property(
        fc.array(made, { maxLength: 30 }),
        path,
        fc.nat({ max: 30 }),
        (all, asked, since) => {
          const index = new InvalidationIndex()
          const entries = all.map(({ path: p, star, soft, distribution }, i) => ({
            ...entry(i + 1, star ? `${p}*` : p, { soft }),
            distribution,
          }))
          for (const one of entries) index.add(one)
          all.forEach(({ undone }, i) => undone && entries[i] && index.undo(entries[i]))
          const takes = all.filter(
            (e, i) =>
              i + 1 > since &&
              !e.undone &&
              e.distribution !== 'e' &&
              (e.star ? plain(asked).startsWith(plain(e.path)) : plain(asked) === plain(e.path)),
          )
          const expected = takes.some((e) => !e.soft) ? 'gone' : takes[0] ? 'stale' : 'valid'
          expect(index.check(named(asked), since).kind).toBe(expected)
        },
      ),
      { numRuns: FUZZ_RUNS * 3 },
    )
  })
})

describe('an index within its bounds', () => {
  it('never says valid of what a scan over what is left says is not, and gives all back when all is undone', () => {
    const path = fc.constantFrom('/a', '/b', '/c', '/a/b', '/d')
    const made = fc.record({
      paths: fc.array(path, { minLength: 1, maxLength: 3 }),
      star: fc.boolean(),
      soft: fc.boolean(),
      undone: fc.boolean(),
    })
    const rank = { valid: 0, stale: 1, gone: 2 }
    fc.assert(
      fc.property(
        fc.array(made, { maxLength: 14 }),
        path,
        fc.nat({ max: 14 }),
        fc.integer({ min: 1, max: 4 }),
        (all, asked, since, bound) => {
          const index = new InvalidationIndex({ entries: bound })
          const entries = all.map(({ paths, star, soft }, i) => ({
            ...entry(i + 1, '', { soft }),
            paths: star ? paths.map((p) => `${p}*`) : paths,
          }))
          for (const one of entries) index.add(one)
          for (const [i, one] of entries.entries()) if (all[i]?.undone) index.undo(one)
          const left = all.filter((one, i) => i + 1 > since && !one.undone)
          const takes = left.filter(({ paths, star }) =>
            paths.some((p) => (star ? asked.startsWith(p) : asked === p)),
          )
          const least = takes.some(({ soft }) => !soft) ? 'gone' : takes[0] ? 'stale' : 'valid'
          expect(rank[index.check(named(asked), since).kind]).toBeGreaterThanOrEqual(rank[least])
          // Everything that is forgotten takes more than it named, but not more than was ever left.
          const most = left.some(({ soft }) => !soft) ? 'gone' : left[0] ? 'stale' : 'valid'
          expect(rank[index.check(named(asked), since).kind]).toBeLessThanOrEqual(rank[most])
          for (const one of entries) index.undo(one)
          expect(index.check(named(asked), since).kind).toBe('valid')
        },
      ),
      { numRuns: FUZZ_RUNS * 3 },
    )
  })
})

describe('a tree of prefixes', () => {
  it('finds what a list of them finds, while they come and go', () => {
    const prefix = fc.array(fc.constantFrom('a', 'b'), { maxLength: 6 }).map((p) => p.join(''))
    const step = fc.record({ prefix, goes: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), prefix, (steps, text) => {
        const tree = new PrefixTree<string>()
        const held = new Set<string>()
        for (const one of steps) {
          if (one.goes) expect(tree.delete(one.prefix)).toBe(held.delete(one.prefix))
          else {
            tree.set(one.prefix, `of ${one.prefix}`)
            held.add(one.prefix)
          }
        }
        const found: string[] = []
        tree.eachPrefixOf(text, (value) => found.push(value))
        const expected = [...held].filter((one) => text.startsWith(one))
        expected.sort((a, b) => a.length - b.length)
        expect(found).toEqual(expected.map((one) => `of ${one}`))
      }),
      { numRuns: FUZZ_RUNS * 3 },
    )
  })
})
