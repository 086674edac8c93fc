import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  mendPictures,
  type PictureFraming,
  type PlacedBytes,
} from '../../server/vod/mend-pictures.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

type LengthSize = PictureFraming['lengthSize']

/** The pictures with sound between them, as they lie in a file from byte 1000 on. */
function layOut(pictures: readonly Uint8Array[], gap: number, lengthSize: LengthSize) {
  const parts: Uint8Array[] = []
  const starts: number[] = []
  const ends: number[] = []
  let at = 1000
  for (const picture of pictures) {
    parts.push(new Uint8Array(gap).fill(7), picture)
    starts.push(at + gap)
    at += gap + picture.length
    ends.push(at)
  }
  const framing: PictureFraming = {
    codec: 'avc',
    lengthSize,
    starts: Float64Array.from(starts),
    ends: Float64Array.from(ends),
  }
  return { bytes: Buffer.concat(parts), framing }
}

async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<PlacedBytes> {
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length] ?? bytes.length
    yield { at: 1000 + at, bytes: bytes.subarray(at, at + size) }
    at += size
  }
}

async function mend(bytes: Uint8Array, framing: PictureFraming, sizes: readonly number[]) {
  const before = Buffer.from(bytes)
  const sent: Uint8Array[] = []
  let mended = 0
  for await (const part of mendPictures(cut(bytes, sizes), framing, () => (mended += 1)))
    sent.push(part)
  expect(bytes, 'the source keeps its bytes').toEqual(before)
  return { sent: Buffer.concat(sent), mended }
}

function picture(units: readonly Uint8Array[], lengthSize: LengthSize): Uint8Array {
  return Buffer.concat(
    units.flatMap((unit) => {
      const length = Buffer.alloc(lengthSize)
      length.writeUIntBE(unit.length, 0, lengthSize)
      return [length, unit]
    }),
  )
}

/** Unit lengths, when all of them are within the picture and none is 0. */
function unitsOf(bytes: Buffer, lengthSize: LengthSize): number[] | undefined {
  const lengths: number[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + lengthSize > bytes.length) return undefined
    const length = bytes.readUIntBE(at, lengthSize)
    if (length === 0 || at + lengthSize + length > bytes.length) return undefined
    lengths.push(length)
    at += lengthSize + length
  }
  return lengths
}

const lengthSizes = fc.constantFrom<LengthSize>(1, 2, 4)
const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 6 })
const unit = fc
  .uint8Array({ minLength: 1, maxLength: 100 })
  .map((bytes) => Uint8Array.of((bytes[0] ?? 0) & 0x7f, ...bytes.subarray(1)))

describe('mending pictures', () => {
  it('leaves whole pictures as they are, however the bytes arrive', async () => {
    const units = fc.array(fc.array(unit, { minLength: 1, maxLength: 4 }), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(units, lengthSizes, sizes, fc.nat(20), async (film, size, chunks, gap) => {
        const { bytes, framing } = layOut(
          film.map((one) => picture(one, size)),
          gap,
          size,
        )
        expect(await mend(bytes, framing, chunks)).toEqual({ sent: bytes, mended: 0 })
      }),
      { numRuns: FUZZ_RUNS },
    )
  })

  it('makes NAL units of any bytes, the same however they arrive, and keeps their number', async () => {
    const pictures = fc.array(
      fc.oneof(
        fc.uint8Array({ minLength: 7, maxLength: 200 }),
        fc.array(unit, { minLength: 2, maxLength: 4 }).map((units) => picture(units, 4)),
      ),
      { minLength: 1, maxLength: 6 },
    )
    await fc.assert(
      fc.asyncProperty(pictures, sizes, fc.nat(20), async (film, chunks, gap) => {
        const { bytes, framing } = layOut(film, gap, 4)
        const { sent } = await mend(bytes, framing, chunks)
        expect(sent.length).toBe(bytes.length)
        expect(sent).toEqual((await mend(bytes, framing, [bytes.length])).sent)
        for (const [i, start] of framing.starts.entries()) {
          const [from, to] = [start - 1000, (framing.ends[i] ?? 0) - 1000]
          expect(unitsOf(sent.subarray(from, to), 4)).toBeDefined()
          expect(sent.subarray(from - gap, from)).toEqual(bytes.subarray(from - gap, from))
        }
      }),
      { numRuns: FUZZ_RUNS },
    )
  })

  it('keeps the slice before an empty unit', async () => {
    const slice = Uint8Array.of(0x41, 1, 2, 3)
    const { bytes, framing } = layOut([picture([slice, new Uint8Array(0)], 4)], 0, 4)
    const { sent, mended } = await mend(bytes, framing, [5])
    expect(mended).toBe(1)
    expect(sent).toEqual(Buffer.of(0, 0, 0, 8, 0x41, 1, 2, 3, 0, 0, 0, 0))
  })

  it('makes filler data of what leaves its picture', async () => {
    const slice = Uint8Array.of(0x41, 1, 2, 3)
    const damaged = Buffer.concat([picture([slice], 4), Buffer.of(0xff, 0, 0, 0, 9, 9, 9)])
    const { bytes, framing } = layOut([damaged], 3, 4)
    const { sent } = await mend(bytes, framing, [100])
    expect(sent.subarray(11)).toEqual(Buffer.of(0, 0, 0, 3, 0x0c, 0xff, 0x80))
  })

  it('takes a moment for the worst of pictures', async () => {
    const units = Array.from({ length: 100_000 }, (_, i) => new Uint8Array(i % 2).fill(0x41))
    const { bytes, framing } = layOut([picture(units, 4)], 0, 4)
    const { sent } = await mend(bytes, framing, [65_536])
    expect(unitsOf(sent, 4)).toBeDefined()
  })
})
