import { describe, expect, it } from 'vitest'
import type { Change, ChangeBody } from '../../server/distribution/change.ts'
import { ControlState } from '../../server/distribution/control-state.ts'
import { readChange } from '../../server/distribution/read-change.ts'
import { web } from './samples.ts'

const seed = {
  distributions: [web({ id: 'default' })],
  origins: { site: { kind: 'file', root: '/a' } },
} as const
const at = (seq: number, body: ChangeBody): Change => ({ ...body, seq, at: 0 })
const key = (name: string, value: string, revoked = false): ChangeBody => ({
  kind: 'stream-key',
  name,
  key: value,
  revoked,
})

describe('control state', () => {
  it('begins with the configuration', () => {
    const snapshot = new ControlState(seed).snapshot()
    expect(snapshot.seq).toBe(0)
    expect(snapshot.distributions.map((d) => d.id)).toEqual(['default'])
    expect(snapshot.origins).toEqual(seed.origins)
    expect(snapshot.streamKeys.size).toBe(0)
  })

  it('keeps keys until they are revoked', () => {
    const state = new ControlState(seed)
    state.apply(at(1, key('main', 'k1')))
    state.apply(at(2, key('main', 'k2')))
    state.apply(at(3, key('main', 'k1', true)))
    expect([...state.snapshot().streamKeys]).toEqual([['k2', 'main']])
  })

  it('adds, replaces in place and removes distributions and origins', () => {
    const state = new ControlState(seed)
    state.apply(at(1, { kind: 'distribution', distribution: web({ id: 'b' }), removed: false }))
    const changed = web({ id: 'default', enabled: false })
    state.apply(at(2, { kind: 'distribution', distribution: changed, removed: false }))
    expect(state.snapshot().distributions.map((d) => [d.id, d.enabled])).toEqual([
      ['default', false],
      ['b', true],
    ])
    state.apply(at(3, { kind: 'distribution', distribution: changed, removed: true }))
    expect(state.snapshot().distributions.map((d) => d.id)).toEqual(['b'])
    const options = { kind: 'file', root: '/b' } as const
    state.apply(at(4, { kind: 'origin', id: 'more', options, removed: false }))
    state.apply(at(5, { kind: 'origin', id: 'site', options, removed: true }))
    expect(state.snapshot().origins).toEqual({ more: options })
  })

  it('applies a change once and in order', () => {
    const state = new ControlState(seed)
    const invalidation = {
      kind: 'invalidation',
      id: 'i',
      distribution: '*',
      paths: ['/a'],
    } as const
    expect(state.apply(at(7, invalidation))).toBe(true)
    expect(state.apply(at(7, key('main', 'k')))).toBe(false)
    expect(state.apply(at(6, key('main', 'k')))).toBe(false)
    expect(state.seq).toBe(7)
    expect(state.snapshot().streamKeys.size).toBe(0)
    const what = { distribution: 'default', path: '/a', tags: [] }
    expect(state.invalidations.check(what, 6)).toEqual({ kind: 'gone' })
  })

  it('told late of invalidations and undos, stands where the others do', () => {
    const what = { distribution: 'default', path: '/a', tags: ['t'] }
    const made = { kind: 'invalidation', distribution: '*' } as const
    const state = new ControlState(seed)
    state.apply(at(1, { ...made, id: 'i', paths: ['/a'] }))
    state.apply(at(2, { ...made, id: 'j', paths: ['#t'], soft: true }))
    expect(state.invalidations.check(what, 0).kind).toBe('gone')
    const undo = {
      kind: 'invalidation-undo',
      distribution: '*',
      id: 'i',
      of: 1,
      paths: ['/a'],
    } as const
    state.apply(at(3, undo))
    expect(state.invalidations.check(what, 0)).toEqual({ kind: 'stale', since: 0 })
    expect(state.seq).toBe(3)
  })

  it('passes over what only a newer server knows, and goes on', () => {
    const newer = readChange({ kind: 'signer', id: 's', seq: 1, at: 0 })
    const broken = readChange({ kind: 'invalidation', id: 'i', seq: 1, at: 0 })
    expect(broken).toBeUndefined()
    const state = new ControlState(seed)
    if (newer) expect(state.apply(newer)).toBe(true)
    expect(state.apply(at(2, key('main', 'k')))).toBe(true)
    expect(state.seq).toBe(2)
    expect(newer).toBeDefined()
  })

  it.each([
    { kind: 'distribution', distribution: { ...web(), behaviors: [null] } },
    { kind: 'distribution', distribution: { ...web(), behaviors: [{ path: '*' }] } },
    { kind: 'distribution', distribution: { ...web(), hosts: [1] } },
    { kind: 'origin', id: 'a', options: {} },
    { kind: 'origin', id: 'a', options: { kind: 'file' } },
    { kind: 'origin', id: 'a', options: { kind: 'group' } },
  ])('is not made of what would fail each viewer: %j', (body) => {
    expect(readChange({ ...body, removed: false, seq: 1, at: 0 })).toBeUndefined()
  })

  it('is made of whole distributions and of origins that only a newer server knows', () => {
    const whole = { kind: 'distribution', distribution: web(), removed: false, seq: 1, at: 0 }
    const newer = {
      kind: 'origin',
      id: 'a',
      options: { kind: 'ipfs' },
      removed: false,
      seq: 2,
      at: 0,
    }
    for (const one of [whole, newer]) expect(readChange(one)).toBe(one)
  })

  it('a snapshot never changes, and what a change does not touch stays the same object', () => {
    const state = new ControlState(seed)
    const before = state.snapshot()
    state.apply(at(1, key('main', 'k')))
    const after = state.snapshot()
    expect(before.streamKeys.size).toBe(0)
    expect(after.distributions).toBe(before.distributions)
    expect(after).toBe(state.snapshot())
  })
})
