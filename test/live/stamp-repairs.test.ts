import { expect, test } from 'vitest'
import { StampRepairs } from '../../server/live/stamp-repairs.ts'

test('what is made of a picture gets the time that the picture was given', () => {
  const repairs = new StampRepairs()
  repairs.note(0, 0, false)
  repairs.note(33, 0, false)
  // The clock stands still for 99 ms and goes on late by that.
  for (const shift of [33, 66, 99]) repairs.note(66, shift, false)
  repairs.note(99, 99, false)
  expect([33, 66, 99, 132].map((stamp) => repairs.shiftOf(stamp))).toEqual([0, 99, 99, 99])
})

test('a stamp that jumped alone changes nothing for those around it', () => {
  const repairs = new StampRepairs()
  repairs.note(5033, -4967, true)
  repairs.note(66, 0, false)
  repairs.note(-9000, 9099, true)
  expect([33, 66, 99, 5033, -9000].map((stamp) => repairs.shiftOf(stamp))).toEqual([
    0, 0, 0, -4967, 9099,
  ])
})

test('a publisher of ever new repairs is held to the newest', () => {
  const repairs = new StampRepairs()
  for (let at = 1; at <= 1000; at++) {
    repairs.note(at * 10, at, false)
    repairs.note(at * 10 + 5, -at, true)
  }
  expect(repairs.shiftOf(10_000)).toBe(1000)
  expect(repairs.shiftOf(10_005)).toBe(-1000)
  expect(repairs.shiftOf(15)).toBe(0)
})
