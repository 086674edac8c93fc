import { mkdtemp, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { createSlateMaker, readSlateFile } from '../../server/transcode/slate.ts'
import { drawSlate } from '../../server/transcode/slate-drawing.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const never = new AbortController().signal
const wish = (more: object = {}) => ({
  codec: 'avc' as const,
  codecString: 'avc1.64001f',
  width: 320,
  height: 180,
  framesPerSecond: 25,
  ...more,
})

async function maker(given?: string) {
  const folder = given ?? join(await mkdtemp(join(tmpdir(), 'nearcast-slates-')), 'slates')
  const warnings: string[] = []
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) }
  const make = createSlateMaker({ folder, ffmpeg: { path: undefined }, clock: systemClock, log })
  return { folder, make, warnings }
}

describe('a slate', () => {
  test.each([
    ['avc1.42c01e', 'avc1.42'],
    ['avc1.4d401f', 'avc1.4d'],
    ['avc1.64001f', 'avc1.64'],
  ])('for %s is one second of that profile, its size and its rate', async (codecString, begins) => {
    const { make } = await maker()
    const picture = await make(wish({ codecString }), never)
    expect(picture?.track).toMatchObject({ codec: 'avc', width: 320, height: 180 })
    expect(picture?.track.codecString.slice(0, 7)).toBe(begins)
    expect(picture?.frames.map(({ key }) => key)).toEqual([true, ...Array(24).fill(false)])
  })

  test('is made once, and read again by the next process', async () => {
    const { folder, make } = await maker()
    const first = await make(wish(), never)
    const [name = ''] = await readdir(folder)
    const file = join(folder, name)
    const old = new Date(1e12)
    await utimes(file, old, old)
    const again = await maker(folder)
    expect(await again.make(wish(), never)).toEqual(first)
    expect((await stat(file)).mtimeMs).toBe(1e12)
    await truncate(file, 2000)
    expect(await again.make(wish(), never)).toEqual(first)
    expect((await stat(file)).size).toBeGreaterThan(2000)
  })

  test('is not made of what it can’t be made for', async () => {
    const { folder, make, warnings } = await maker()
    for (const more of [
      { codec: 'hevc', codecString: 'hvc1.1.6.L93.B0' },
      { codecString: 'avc1.6e001f' },
      { width: 321 },
      { width: 8000 },
      { framesPerSecond: 29.97 },
    ])
      expect(
        await make({ ...wish(), ...more } as Parameters<typeof make>[0], never),
      ).toBeUndefined()
    expect(warnings).toEqual([])
    await expect(readdir(folder)).rejects.toThrow('ENOENT')
  })

  test('that cannot be made is told once', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'nearcast-slates-')), 'file')
    await writeFile(file, '')
    const { make, warnings } = await maker(join(file, 'slates'))
    expect(await make(wish(), never)).toBeUndefined()
    expect(await make(wish({ width: 640 }), never)).toBeUndefined()
    expect(warnings).toHaveLength(1)
  })

  test('is given up when the stream goes', async () => {
    const { folder, make } = await maker()
    const stop = new AbortController()
    const making = make(wish({ width: 1920, height: 1080 }), stop.signal)
    stop.abort()
    await expect(making).rejects.toThrow('aborted')
    await expect(readdir(folder)).rejects.toThrow('ENOENT')
  })

  test('of ever other sizes fills no disk', async () => {
    const { folder, make } = await maker()
    await make(wish(), never)
    const [name = ''] = await readdir(folder)
    const bytes = await readFile(join(folder, name))
    for (let i = 0; i < 70; i++) await writeFile(join(folder, `avc-high-2x${i}-1.flv`), bytes)
    await make(wish({ width: 160, height: 90 }), never)
    expect((await readdir(folder)).length).toBe(64)
  })
})

test('the words are drawn in the middle, whatever the size', () => {
  for (const [width, height] of [
    [1280, 720],
    [320, 180],
    [90, 160],
    [16, 16],
  ] as const) {
    const picture = drawSlate(width, height)
    expect(picture.length).toBe(width * height)
    expect(new Set(picture)).toEqual(new Set([26, 214]))
  }
})

test('a slate file with any bytes is read or refused (fuzz)', async () => {
  const { folder, make } = await maker()
  await make(wish({ width: 64, height: 64 }), never)
  const [name = ''] = await readdir(folder)
  const good = await readFile(join(folder, name))
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      fc.nat(good.length),
      (changes, cut) => {
        const bytes = Buffer.from(good.subarray(0, cut % 3 === 0 ? cut : good.length))
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
        try {
          expect(readSlateFile(bytes).frames.length).toBeGreaterThan(0)
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^media-/) })
        }
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
})
