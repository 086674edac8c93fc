import { describe, expect, test } from 'vitest'
import type { Encoder } from '../../server/transcode/encoder.ts'
import { hasRoom, ladderLevels, threadsFor } from '../../server/transcode/ladder-levels.ts'
import { planRungs } from '../../server/transcode/ladder-plan.ts'

const source = (width: number, height: number, framesPerSecond = 30) => ({
  width,
  height,
  framesPerSecond,
  bitsPerSecond: undefined,
})
const sizes = (width: number, height: number) =>
  planRungs(source(width, height), 'auto').map((rung) => `${rung.width}x${rung.height}`)

describe('the rungs of a ladder', () => {
  test.each([
    ['1080p', 1920, 1080, ['1280x720', '854x480', '640x360']],
    ['720p: no rung of its own size', 1280, 720, ['854x480', '640x360']],
    ['576 lines: 480 is too near', 1024, 576, ['640x360']],
    ['480p', 854, 480, ['640x360']],
    ['360p and less: none', 640, 360, []],
    ['an upright picture: by its width', 1080, 1920, ['720x1280', '480x854', '360x640']],
    ['an odd shape: sides stay even', 1919, 801, ['1150x480', '862x360']],
  ])('of %s', (_, width, height, expected) => {
    expect(sizes(width, height)).toEqual(expected)
  })

  test('are the listed ones, the largest first, and never larger than the source', () => {
    const wish = [{ height: 240, bitsPerSecond: 300_000 }, { height: 360 }, { height: 720 }]
    const rungs = planRungs(source(640, 400), wish)
    expect(rungs.map(({ id, bitsPerSecond }) => [id, bitsPerSecond])).toEqual([
      ['v360', 700_000],
      ['v240', 300_000],
    ])
  })

  test('are sent fewer bits than the source has', () => {
    const rungs = planRungs({ ...source(1280, 720), bitsPerSecond: 1_000_000 }, 'auto')
    expect(rungs.map(({ bitsPerSecond }) => bitsPerSecond)).toEqual([800_000, 700_000])
  })

  // ITU-T H.264 Table A-1
  test.each([
    [30, [31, 30]],
    [60, [31, 31]],
  ])('are of the level that their size and %i pictures a second need', (fps, levels) => {
    expect(planRungs(source(1280, 720, fps), 'auto').map(({ level }) => level)).toEqual(levels)
  })
})

describe('the levels of a ladder', () => {
  const x264: Encoder = {
    name: 'libx264',
    hardware: false,
    codecPrefix: 'avc1.6400',
    secondsPerMegapixel: 0.02,
  }
  const of1080 = source(1920, 1080)
  const levels = ladderLevels(of1080, planRungs(of1080, 'auto'), x264)

  test('do less effort first, then lose the most costly rung each', () => {
    expect(levels.map(({ rungs, effort }) => [rungs.map(({ id }) => id).join(), effort])).toEqual([
      ['v720,v480,v360', 'usual'],
      ['v720,v480,v360', 'less'],
      ['v480,v360', 'less'],
      ['v360', 'less'],
    ])
    const costs = levels.map(({ cores }) => cores)
    expect(costs).toEqual(costs.toSorted((a, b) => b - a))
  })

  test('fit a machine only with room to spare: not beside an OBS that takes 1.75 of two cores', () => {
    const last = levels.at(-1)
    const [first] = levels
    if (!first || !last) throw new Error('no levels')
    expect(hasRoom(last, 0.25, 2)).toBe(false)
    expect(hasRoom(last, 1.9, 2)).toBe(true)
    expect(hasRoom(first, 1.2, 2)).toBe(false)
    expect(hasRoom(first, 7.9, 8)).toBe(true)
    expect(threadsFor(first, 8)).toBe(2)
    expect(threadsFor(last, 2)).toBe(1)
  })
})
