import { describe, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { LadderPressure } from '../../server/transcode/ladder-pressure.ts'
import { type CpuTimes, MachineRoom } from '../../server/transcode/machine-room.ts'

const CALM = { behindMs: 40, droppedGroups: 0, idleShare: 0.4 }
const LATE = { ...CALM, behindMs: 600 }

/** Looks twice a second for `seconds`; the seconds after which it had to do less. */
function lookFor(pressure: LadderPressure, from: number, seconds: number, facts = CALM) {
  for (let ms = 500; ms <= seconds * 1000; ms += 500)
    if (pressure.look(from + ms, facts) !== undefined) return ms / 1000
  return undefined
}

describe('a ladder under pressure', () => {
  test('does less after three seconds of being late, not for a moment of it', () => {
    const pressure = new LadderPressure(0)
    expect(lookFor(pressure, 0, 2.5, LATE)).toBeUndefined()
    expect(lookFor(pressure, 2500, 1)).toBeUndefined()
    expect(lookFor(pressure, 3500, 10, LATE)).toBe(3)
  })

  test('does less at once when groups of pictures were left out', () => {
    expect(new LadderPressure(0).look(500, { ...CALM, droppedGroups: 1 })).toContain('behind')
  })

  test('does less when the machine has nothing left for eight seconds', () => {
    const full = { ...CALM, idleShare: 0.01 }
    expect(lookFor(new LadderPressure(0), 0, 60, full)).toBe(8)
    expect(lookFor(new LadderPressure(0), 0, 7.5, full)).toBeUndefined()
  })

  test('waits twice as long after each time that more was too much, and no longer than a quarter of an hour', () => {
    const pressure = new LadderPressure(0)
    const waits: number[] = []
    let now = 0
    for (let round = 0; round < 8; round++) {
      const from = now
      while (!pressure.mayRaise(now)) now += 500
      waits.push((now - from) / 1000)
      pressure.raised(now)
      now += 3000
      pressure.lowered(now)
    }
    expect(waits).toEqual([60, 120, 240, 480, 900, 900, 900, 900])
  })
})

describe('the room of a machine', () => {
  function roomOf(times: { idle: number; used?: CpuTimes['used'] }) {
    const clock = new FakeClock()
    return { clock, room: new MachineRoom(clock, () => ({ ...times }), 4) }
  }

  test('is what its cores had nothing to do in the last seconds', async () => {
    const times = { idle: 0 }
    const { clock, room } = roomOf(times)
    expect(room.idleCores(1000)).toBeUndefined()
    for (let i = 0; i < 10; i++) {
      times.idle += i < 5 ? 4000 : 500
      await clock.advance(1000)
    }
    expect(room.idleCores(3000)).toBeCloseTo(0.5)
    room[Symbol.dispose]()
  })

  test('in a container is no more than what its bound leaves', async () => {
    const times = { idle: 0, used: { ms: 0, cores: 2 } }
    const { clock, room } = roomOf(times)
    expect(room.cores).toBe(2)
    for (let i = 0; i < 5; i++) {
      times.idle += 3900
      times.used = { ms: times.used.ms + 1500, cores: 2 }
      await clock.advance(1000)
    }
    expect(room.idleCores(3000)).toBeCloseTo(0.5)
    room[Symbol.dispose]()
  })
})
