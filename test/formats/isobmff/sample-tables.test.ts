import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readBoxes, readBoxHeader } from '../../../server/formats/isobmff/read-boxes.ts'
import { readSampleTable, TableMemory } from '../../../server/formats/isobmff/read-tables.ts'
import {
  cutToObject,
  decodeTime,
  EMPTY_TABLE,
  expandSamples,
  firstSampleAt,
  keyAtOrAfter,
  lastKeyWhile,
  presentationTime,
  type SampleTable,
} from '../../../server/formats/isobmff/sample-table.ts'
import { box, fullBox, i32, u32, u64, u8 } from '../../../server/formats/isobmff/write-box.ts'
import { finish } from '../../../server/lib/in-turns.ts'

const stts = (...entries: number[]) => fullBox('stts', 0, 0, u32(entries.length / 2, ...entries))
const stsc = (...entries: number[]) => fullBox('stsc', 0, 0, u32(entries.length / 3, ...entries))
const stco = (...offsets: number[]) => fullBox('stco', 0, 0, u32(offsets.length, ...offsets))
const stsz = (...sizes: number[]) => fullBox('stsz', 0, 0, u32(0, sizes.length, ...sizes))

function read(...boxes: readonly Uint8Array[]): SampleTable {
  const bytes = box('stbl', ...boxes)
  const [stbl] = readBoxes(bytes)
  if (stbl === undefined) throw new Error('no stbl')
  return finish(readSampleTable(bytes, stbl, new TableMemory(bytes.length)))
}

/** Six samples in three chunks of 2, 2, 2, then one of 1. */
const SEVEN = [
  stts(4, 10, 3, 20),
  stsc(1, 2, 1, 4, 1, 1),
  stsz(5, 6, 7, 8, 9, 10, 11),
  stco(100, 200, 300, 400),
]

describe('sample tables', () => {
  it('lay each sample behind the one before it in its chunk', () => {
    const span = expandSamples(read(...SEVEN), 1, 7)
    expect([...span.offsets]).toEqual([105, 200, 207, 300, 309, 400])
    expect([...span.sizes]).toEqual([6, 7, 8, 9, 10, 11])
    expect([...span.times]).toEqual([10, 20, 30, 40, 60, 80, 100])
    expect([...span.keys]).toEqual([1, 1, 1, 1, 1, 1])
  })

  it('find samples by time and key frames by index', () => {
    const table = read(...SEVEN, fullBox('stss', 0, 0, u32(2, 1, 5)))
    expect([0, 1, 10, 40, 41, 80, 81, 1000].map((time) => firstSampleAt(table, time))).toEqual([
      0, 1, 1, 4, 5, 6, 7, 7,
    ])
    expect([0, 1, 4, 5].map((index) => keyAtOrAfter(table, index))).toEqual([0, 4, 4, 7])
    expect(decodeTime(table, 7)).toBe(100)
    expect([...expandSamples(table, 3, 6).keys]).toEqual([0, 1, 0])
  })

  it('read composition offsets as signed in both versions', () => {
    for (const version of [0, 1]) {
      const ctts = fullBox('ctts', version, 0, u32(2, 3), i32(-4), u32(9, 6))
      const table = read(...SEVEN, ctts)
      expect([0, 2, 3, 6].map((index) => presentationTime(table, index))).toEqual([-4, 16, 36, 86])
    }
  })

  it('read offsets of 64 bits, one size for all, and sizes of 4, 8 and 16 bits', () => {
    const co64 = fullBox('co64', 0, 0, u32(1), u64(2 ** 40))
    const same = fullBox('stsz', 0, 0, u32(50, 3))
    const table = read(stts(3, 1), stsc(1, 3, 1), same, co64)
    expect([...expandSamples(table, 0, 3).offsets]).toEqual([2 ** 40, 2 ** 40 + 50, 2 ** 40 + 100])
    const compact = (bits: number, ...bytes: number[]) =>
      read(stts(3, 1), stsc(1, 3, 1), stco(0), fullBox('stz2', 0, 0, u32(bits, 3), u8(...bytes)))
    expect([...expandSamples(compact(4, 0x12, 0x30), 0, 3).sizes]).toEqual([1, 2, 3])
    expect([...expandSamples(compact(8, 1, 2, 3), 0, 3).sizes]).toEqual([1, 2, 3])
    expect([...expandSamples(compact(16, 1, 0, 2, 0, 3, 0), 0, 3).sizes]).toEqual([256, 512, 768])
  })

  it('are cut where the object ends', () => {
    const table = read(...SEVEN)
    expect(finish(cutToObject(table, 411))).toMatchObject(table)
    expect(finish(cutToObject(table, 410)).count).toBe(6)
    expect(finish(cutToObject(table, 308)).count).toBe(4)
    expect(finish(cutToObject(table, 99)).count).toBe(0)
  })

  it('tell where a sample far into a long chunk lies, as a walk from its beginning does', () => {
    const sizes = Array.from({ length: 10_000 }, (_, i) => 1 + (i % 7))
    const chunks = [stsc(1, 5, 1, 2, 9990, 1, 3, 5, 1), stco(1000, 50, 90_000)]
    const table = read(stts(10_000, 1), stsz(...sizes), ...chunks)
    const placed = finish(cutToObject(table, 1e6))
    for (const from of [0, 4, 5, 4095, 4096, 4100, 8192, 9994, 9995, 9999]) {
      expect(expandSamples(placed, from, 10_000)).toEqual(expandSamples(table, from, 10_000))
    }
  })

  it('leave out chunks without samples', () => {
    const table = read(
      stts(3, 1),
      stsc(1, 1, 1, 2, 0, 1, 4, 2, 1),
      stsz(5, 6, 7),
      stco(1, 2, 3, 40),
    )
    expect([...table.chunks.offset]).toEqual([1, 40])
    expect([...expandSamples(table, 0, 3).offsets]).toEqual([1, 40, 46])
  })

  it('go as far as the shortest of them', () => {
    expect(read(stts(2, 10), ...SEVEN.slice(1)).count).toBe(2)
  })

  it('refuse counts that no bytes are there for, and contradictions', () => {
    const broken = (...boxes: readonly Uint8Array[]) =>
      expect(() => read(...boxes)).toThrow(/media-broken/)
    broken(stts(4, 10, 3, 20), stsc(1, 2, 1), stsz(5), fullBox('stco', 0, 0, u32(0xffffffff, 1)))
    broken(...SEVEN.slice(0, 2), fullBox('stsz', 0, 0, u32(0, 0xffffffff, 1)), stco(1))
    broken(fullBox('stts', 0, 0, u32(0x20000000)), ...SEVEN.slice(1))
    broken(stts(7, 1), stsc(2, 1, 1), ...SEVEN.slice(2))
    broken(stts(7, 1), stsc(1, 2, 1, 1, 2, 1), ...SEVEN.slice(2))
    broken(...SEVEN, fullBox('stss', 0, 0, u32(2, 5, 5)))
    // 12 bytes that claim 2^32 samples: refused before anything is allocated for them.
    const endless = fullBox('stsz', 0, 0, u32(1, 0xffffffff))
    broken(stts(0xffffffff, 1), stsc(1, 0xffffffff, 1), endless, stco(1))
  })
})

describe('boxes', () => {
  it('have sizes of 32 bits, of 64 bits, or go to the end', () => {
    expect(readBoxHeader(u32(16, 0x66726565), 0)).toEqual({ type: 'free', headerSize: 8, size: 16 })
    const large = Buffer.concat([u32(1, 0x6d646174), u64(2 ** 33)])
    expect(readBoxHeader(large, 0)).toEqual({ type: 'mdat', headerSize: 16, size: 2 ** 33 })
    expect(readBoxHeader(u32(0, 0x6d646174), 0)?.size).toBeUndefined()
    expect(readBoxHeader(u32(7, 0x6d646174), 0)).toBeUndefined()
  })

  it('stop at one that leaves its parent, and at the zeros of QuickTime', () => {
    const bytes = Buffer.concat([box('free'), u32(0)])
    expect(readBoxes(bytes).map(({ type }) => type)).toEqual(['free'])
    expect(readBoxes(Buffer.concat([box('free'), u32(99, 0x66726565)]))).toHaveLength(1)
    expect(() => readBoxes(Buffer.concat(Array(65_537).fill(box('free'))))).toThrow(/media-broken/)
  })
})

it('the last key sample for which something holds is that of a walk over all of them', () => {
  const indexes = fc.uniqueArray(fc.nat(59), { maxLength: 30 })
  fc.assert(
    fc.property(
      fc.option(indexes, { nil: undefined }),
      fc.nat(60),
      fc.nat(60),
      fc.nat(60),
      (keys, from, end, until) => {
        const rising = keys && Uint32Array.from(keys).sort()
        const table: SampleTable = { ...EMPTY_TABLE, count: 60, keys: rising }
        const walked = Array.from({ length: 60 }, (_, i) => i).filter(
          (i) => (!keys || keys.includes(i)) && i >= from && i < end && i < until,
        )
        expect(lastKeyWhile(table, from, end, (key) => key < until)).toBe(walked.at(-1))
      },
    ),
  )
})
