import { describe, expect, test } from 'vitest'
import { KeyIntervals } from '../../server/live/key-intervals.ts'
import { choosePartTarget } from '../../server/live/part-target.ts'
import { SampleClock } from '../../server/live/sample-clock.ts'
import { WallClock } from '../../server/live/wall-clock.ts'

describe('the part target (rfc8216bis §4.4.4.9)', () => {
  test('is the whole number of frames nearest to the wish, with room for millisecond timestamps', () => {
    expect(choosePartTarget(0.2, 1 / 30, [1024 / 48_000], true)).toBe(0.202)
    expect(choosePartTarget(0.2, 1 / 24, [1024 / 48_000], true)).toBe(0.211)
    expect(choosePartTarget(0.2, 1, [1024 / 48_000], true)).toBe(1.002)
  })

  test('lets the frames of sound fill 85 % of it, whatever their length', () => {
    for (const rate of [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]) {
      for (const fps of [10, 12, 15, 24, 25, 29.97, 30, 50, 60]) {
        const frame = 1024 / rate
        const target = choosePartTarget(0.2, 1 / fps, [frame], true)
        const filled = Math.floor(target / frame) * frame
        expect(filled / target, `${rate} Hz, ${fps} fps`).toBeGreaterThanOrEqual(0.85)
      }
    }
  })

  test('of sound alone is a whole number of its frames', () => {
    expect(choosePartTarget(0.2, 1024 / 48_000, [], false)).toBe(0.192)
  })
})

describe('the target duration', () => {
  const learn = (...seconds: readonly number[]) => {
    const intervals = new KeyIntervals()
    for (const interval of seconds) intervals.add(interval)
    return intervals.targetSeconds(1)
  }

  test('is known when the longest distance of key frames was seen three times', () => {
    expect(learn(2, 2)).toBeUndefined()
    expect(learn(2, 2, 2)).toBe(2)
    expect(learn(8.333, 8.334, 8.333)).toBe(8)
    expect(learn(0.5, 0.5, 0.5)).toBe(1)
    expect(learn(0.7, 0.7, 0.7)).toBe(2)
  })

  test('stays unknown for an encoder that follows the picture', () => {
    expect(learn(1.2, 3.4, 0.9, 5.1, 2.2, 8.3, 1.1)).toBeUndefined()
    expect(learn(2, 2, 2, 9)).toBeUndefined()
  })

  test('is never so long that nobody waits for it', () => {
    expect(learn(60, 60, 60)).toBeUndefined()
  })
})

describe('the sample clock', () => {
  const place = (stamps: readonly number[]) => {
    const clock = new SampleClock(48_000)
    return stamps.map((ms) => clock.place(ms, 1024))
  }

  test('gives jittery timestamps of whole milliseconds steady times', () => {
    const stamps = Array.from({ length: 500 }, (_, i) => Math.round((i * 1024) / 48 + (i % 7) - 3))
    const times = place(stamps.map((ms) => ms + 3))
    times.forEach((dts, i) => expect(dts).toBe((times[0] ?? 0) + i * 1024))
  })

  test('follows an encoder whose clock is a tenth of a percent off, never 40 ms behind', () => {
    const clock = new SampleClock(48_000)
    for (let i = 0; i < 20_000; i++) {
      const ms = i * (1024 / 48) * 1.001
      const dts = clock.place(ms, 1024)
      if (dts !== undefined) expect(Math.abs(dts / 48 - ms)).toBeLessThan(40)
    }
  })

  test('leaves a hole of whole frames where sound is missing and drops what repeats', () => {
    expect(place([0, 21, 43, 564, 585])).toEqual([0, 1024, 2048, 26_624, 27_648])
    expect(place([0, 21, 43, 64, 0, 21, 43, 64, 85])).toEqual([
      0,
      1024,
      2048,
      3072,
      undefined,
      undefined,
      4096,
      5120,
      6144,
    ])
  })
})

test('dates follow the clock of the machine by at most a millisecond a segment', () => {
  const wall = new WallClock(1_000_000)
  let shown = wall.at(0)
  for (let segment = 1; segment < 50; segment++) {
    wall.observe(1_000_000 + segment * 1010, segment * 1000)
    wall.slew()
    const next = wall.at(segment * 1000)
    expect(Math.abs(next - shown - 1000)).toBeLessThanOrEqual(1)
    shown = next
  }
})
