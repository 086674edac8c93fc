import { describe, expect, it } from 'vitest'
import { formatTime } from '../../player/controls/format-time.ts'
import { readKey } from '../../player/controls/read-key.ts'

const press = (key: string, focus: 'player' | 'button' | 'slider' | 'menu' = 'player') =>
  readKey({ key, modified: false, focus })

describe('keys', () => {
  it('play and pause with Space and k, in either case', () => {
    for (const key of [' ', 'k', 'K']) expect(press(key)).toEqual({ kind: 'toggle-play' })
  })
  it('seek by 10 s with j and l, by 5 s with the arrows', () => {
    expect(press('j')).toEqual({ kind: 'seek-by', seconds: -10 })
    expect(press('ArrowRight')).toEqual({ kind: 'seek-by', seconds: 5 })
  })
  it('seek to tenths with digits, to the ends with Home and End', () => {
    expect(press('7')).toEqual({ kind: 'seek-part', part: 0.7 })
    expect(press('End')).toEqual({ kind: 'seek-part', part: 1 })
  })
  it('leave Space to a button, the arrows to a slider, all to a menu', () => {
    expect(press(' ', 'button')).toBeUndefined()
    expect(press('k', 'button')).toEqual({ kind: 'toggle-play' })
    expect(press('ArrowLeft', 'slider')).toBeUndefined()
    expect(press('m', 'slider')).toEqual({ kind: 'toggle-mute' })
    expect(press('5', 'menu')).toBeUndefined()
  })
  it('leave the browser its shortcuts', () => {
    expect(readKey({ key: 'f', modified: true, focus: 'player' })).toBeUndefined()
  })
  it('mean nothing otherwise', () => {
    for (const key of ['x', 'Tab', 'Escape', 'F5', 'constructor'])
      expect(press(key)).toBeUndefined()
  })
})

it('writes times as people do', () => {
  expect([0, 65.9, 3723, Number.NaN, -3].map(formatTime)).toEqual([
    '0:00',
    '1:05',
    '1:02:03',
    '0:00',
    '0:00',
  ])
})
