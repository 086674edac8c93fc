import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readStart, readTimescales } from '../../player/engine/box-times.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

function box(type: string, ...bodies: readonly Buffer[]): Buffer {
  const body = Buffer.concat(bodies)
  const head = Buffer.alloc(8)
  head.writeUInt32BE(body.length + 8)
  head.write(type, 4, 'latin1')
  return Buffer.concat([head, body])
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, i * 4)
  return bytes
}

/** ISO/IEC 14496-12 §8.3.2 and §8.4.2: version 1 has times of 64 bits. */
function trak(id: number, timescale: number, version: 0 | 1): Buffer {
  const times = version === 1 ? [0, 0, 0, 0] : [0, 0]
  const tkhd = box('tkhd', words(version << 24, ...times, id, 0))
  return box('trak', tkhd, box('mdia', box('mdhd', words(version << 24, ...times, timescale, 0))))
}

const traf = (id: number, time: Buffer) => box('traf', box('tfhd', words(0, id)), box('tfdt', time))
const INIT = Buffer.concat([
  box('ftyp', words(0)),
  box('moov', trak(1, 90_000, 0), trak(2, 48_000, 1)),
])
const LONG = words(1 << 24, 1, 0)
const FRAGMENT = Buffer.concat([
  box('styp', words(0)),
  box('moof', box('mfhd', words(0, 1)), traf(1, LONG), traf(2, words(0, 96_000))),
  box('mdat', Buffer.alloc(100)),
])

describe('the clock of a fragment', () => {
  it('is read with either version of each box, and is that of the earliest track', () => {
    const timescales = readTimescales(INIT)
    expect([...timescales]).toEqual([
      [1, 90_000],
      [2, 48_000],
    ])
    expect(readStart(FRAGMENT, timescales)).toEqual({
      trackId: 2,
      timescale: 48_000,
      baseTime: 96_000,
    })
    const video = box('moof', traf(1, LONG))
    expect(readStart(video, timescales)).toMatchObject({ trackId: 1, baseTime: 2 ** 32 })
  })

  it('waits for the whole box, and for a track that it knows', () => {
    const timescales = readTimescales(INIT)
    expect(readStart(FRAGMENT.subarray(0, 60), timescales)).toBeUndefined()
    expect(readStart(FRAGMENT, new Map())).toBeUndefined()
  })

  it('takes any bytes', () => {
    const parts = fc.constantFrom(
      INIT,
      FRAGMENT,
      words(0, 0),
      box('moof'),
      box('moov', box('trak')),
    )
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 400 }), parts)
    const cut = fc.tuple(fc.array(bytes, { maxLength: 5 }), fc.nat(400), fc.nat(255))
    fc.assert(
      fc.property(cut, ([list, at, value]) => {
        const all = Buffer.concat(list)
        if (all.length > 0) all[at % all.length] = value
        const start = readStart(all, readTimescales(all))
        if (start) expect(Number.isSafeInteger(start.baseTime)).toBe(true)
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
})
