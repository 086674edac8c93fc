import { describe, expect, test } from 'vitest'
import { type LiveMedia, makeLiveMedia } from '../support/live-media.ts'
import { picturesOf, sendAll, startLadder, type TestLadder } from './ladder-fixture.ts'

const SOURCE = await makeLiveMedia({ seconds: 6, gop: 30 })
const REORDERED = await makeLiveMedia({ seconds: 6, gop: 30, bframes: 2 })
const RUNGS = [{ height: 120 }, { height: 90, bitsPerSecond: 200_000 }]
const PATIENT = { timeout: 60_000, interval: 20 }

const byTime = (a: { pts: number }, b: { pts: number }) => a.pts - b.pts

/** The first pictures, and when the ladder has seen enough of them, the rest. */
async function sendWhole({ stream, sink }: TestLadder, media: LiveMedia): Promise<void> {
  sendAll(stream, media, 0, 500)
  await expect.poll(() => sink.announced.length, PATIENT).toBe(1)
  expect(sink.tracks.size).toBe(0)
  sendAll(stream, media, 500)
}

describe('a rung of the real ffmpeg', () => {
  test.each([
    ['a source without B-frames', SOURCE],
    ['a source with B-frames', REORDERED],
  ])('has the times and key frames of %s, to the picture', async (_, media) => {
    await using live = await startLadder(RUNGS)
    await sendWhole(live, media)
    const source = picturesOf(media).toSorted(byTime)
    for (const id of ['v120', 'v90']) {
      await expect.poll(() => live.sink.count(id), PATIENT).toBeGreaterThan(source.length - 5)
      const frames = live.sink.frames.get(id) ?? []
      const expected = source.slice(0, frames.length)
      expect(frames.map(({ pts }) => pts)).toEqual(expected.map(({ pts }) => pts))
      expect(frames.map(({ key }) => key)).toEqual(expected.map(({ key }) => key))
    }
  })

  test('is what was announced of it before its first picture', async () => {
    await using live = await startLadder(RUNGS)
    await sendWhole(live, SOURCE)
    await expect.poll(() => live.sink.count('v90'), PATIENT).toBeGreaterThan(0)
    const [announced = []] = live.sink.announced
    expect(announced.map(({ id, bitsPerSecond }) => [id, bitsPerSecond])).toEqual([
      ['v120', 200_000],
      ['v90', 200_000],
    ])
    for (const { id, facts } of announced) {
      const track = live.sink.tracks.get(id)?.[0]
      expect(facts).toMatchObject({
        codecString: track?.codecString,
        width: track?.width,
        height: track?.height,
      })
    }
  })

  test('has key frames of its own where the source has none for seconds, besides those of the source', async () => {
    const media = await makeLiveMedia({ seconds: 12, gop: 250 })
    await using live = await startLadder([{ height: 90 }])
    await sendWhole(live, media)
    await expect.poll(() => live.sink.count('v90'), PATIENT).toBeGreaterThan(350)
    const keys = (live.sink.frames.get('v90') ?? []).filter(({ key }) => key).map(({ pts }) => pts)
    const gaps = keys.slice(1).map((pts, i) => pts - (keys[i] ?? 0))
    expect(Math.max(...gaps)).toBeLessThan(1200)
    const second = picturesOf(media).filter(({ key }) => key)[1]
    expect(keys).toContain(second?.pts)
  })
})
