import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type FollowInput,
  followLive,
  penaltyAfterPlaying,
  penaltyAfterStall,
} from '../../player/engine/follow-live.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const AT_TARGET: FollowInput = { latency: 0.6, target: 0.6, ahead: 0.5, rate: 1, starting: false }

describe('following live', () => {
  it('plays at the camera’s speed at the target', () => {
    expect(followLive(AT_TARGET)).toEqual({ kind: 'rate', rate: 1 })
  })
  it('speeds up by a small step when late', () => {
    expect(followLive({ ...AT_TARGET, latency: 0.75 })).toEqual({ kind: 'rate', rate: 1.1 })
  })
  it('goes on speeding up inside the dead band until it is there', () => {
    const late = { ...AT_TARGET, latency: 0.66 }
    expect(followLive(late)).toEqual({ kind: 'rate', rate: 1 })
    expect(followLive({ ...late, rate: 1.05 })).toEqual({ kind: 'rate', rate: 1.05 })
  })
  it('slows down while the buffer is nearly empty', () => {
    expect(followLive({ ...AT_TARGET, ahead: 0.1 })).toEqual({ kind: 'rate', rate: 0.95 })
  })
  it('jumps when it is far behind', () => {
    expect(followLive({ ...AT_TARGET, latency: 5.6 })).toEqual({ kind: 'jump', seconds: 5 })
  })
  it('jumps over a long key frame distance at the start, once the media is there', () => {
    const late = { ...AT_TARGET, latency: 2.6, starting: true }
    expect(followLive({ ...late, ahead: 2.5 })).toEqual({ kind: 'jump', seconds: 2 })
    expect(followLive({ ...late, ahead: 1 }).kind).toBe('rate')
  })
  it('never plays faster than 1.2 or slower than 0.95, whatever it is told', () => {
    const seconds = fc.double({ noNaN: true, min: -1e6, max: 1e6 })
    const input = fc.record({
      latency: seconds,
      target: seconds,
      ahead: seconds,
      rate: fc.constantFrom(0.95, 1, 1.2),
      starting: fc.boolean(),
    })
    fc.assert(
      fc.property(input, (facts) => {
        const step = followLive(facts)
        if (step.kind === 'rate') expect([0.95, 1, 1.05, 1.1, 1.15, 1.2]).toContain(step.rate)
        else expect(step.seconds).toBeGreaterThan(0)
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
  it('waits longer behind the edge after a stall, at most 1.5 s, and forgets it while it plays', () => {
    expect(penaltyAfterStall(0)).toBe(0.25)
    expect(penaltyAfterStall(1.5)).toBe(1.5)
    expect(penaltyAfterPlaying(0.25, 20)).toBe(0)
  })
})
