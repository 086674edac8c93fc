import { describe, expect, it } from 'vitest'
import type { AudioTrack } from '../../../server/codecs/track.ts'
import { detectContainer } from '../../../server/formats/isobmff/detect-container.ts'
import { readBoxes, readBoxHeader } from '../../../server/formats/isobmff/read-boxes.ts'
import {
  FragmentCollector,
  readRandomAccess,
  readSegmentIndex,
} from '../../../server/formats/isobmff/read-fragments.ts'
import { readSampleEntry } from '../../../server/formats/isobmff/read-sample-entry.ts'
import {
  EMPTY_TABLE,
  expandSamples,
  tableBytes,
} from '../../../server/formats/isobmff/sample-table.ts'
import { box, fullBox, i32, u16, u32, u64, u8 } from '../../../server/formats/isobmff/write-box.ts'
import { finish } from '../../../server/lib/in-turns.ts'
import { writeSampleEntry } from '../../../server/formats/isobmff/write-sample-entry.ts'

const AAC: AudioTrack = {
  id: 1,
  kind: 'audio',
  codec: 'aac',
  codecString: 'mp4a.40.2',
  timescale: 48_000,
  config: Buffer.from([0x11, 0x90]),
  language: 'und',
  sampleRate: 48_000,
  channels: 2,
}

function only(bytes: Uint8Array) {
  const [first] = readBoxes(bytes)
  if (first === undefined) throw new Error('no box')
  return first
}

describe('sample entries of sound', () => {
  /** The entry with another version, and `more` bytes between its fields and its boxes. */
  function entryOf(version: number, more: number): Buffer {
    const entry = writeSampleEntry(AAC)
    const fields = Buffer.from(entry.subarray(8, 36))
    fields.writeUInt16BE(version, 8)
    return box('mp4a', fields, Buffer.alloc(more), entry.subarray(36))
  }

  it.each([
    ['version 0', 0, 0, 0],
    ['QuickTime version 1, with 16 bytes more', 1, 16, 0],
    ['QuickTime version 2, with 36 bytes more', 2, 36, 0],
    ['ISO/IEC 14496-12 §12.2.3 version 1, in an stsd of version 1', 1, 0, 1],
  ])('are read in %s', (_, version, more, stsdVersion) => {
    const entry = entryOf(version, more)
    expect(readSampleEntry(entry, only(entry), 'soun', stsdVersion)).toMatchObject({
      kind: 'audio',
      codecString: 'mp4a.40.2',
      sampleRate: 48_000,
      channels: 2,
    })
  })
})

describe('fragments', () => {
  const moof = (...boxes: readonly Uint8Array[]) => box('moof', box('traf', ...boxes))
  const tfhd = (flags: number, ...values: readonly number[]) =>
    fullBox('tfhd', 0, flags, u32(1, ...values))
  function collect(bytes: Uint8Array, at = 1000, budget = 100) {
    const collector = new FragmentCollector(
      new Map([[1, { description: 1, duration: 10, size: 50, flags: 0x10000 }]]),
      [{ id: 1, samples: EMPTY_TABLE }],
      budget,
    )
    finish(collector.add(bytes, only(bytes), at))
    return finish(collector.takeTable(1)) ?? EMPTY_TABLE
  }

  it('§8.8.7, §8.8.8: what a run leaves out comes from its fragment, and else from the movie', () => {
    const table = collect(
      moof(
        tfhd(0x20008, 20),
        fullBox('tfdt', 1, 0, u64(500)),
        fullBox('trun', 1, 0x805, u32(2), i32(200), u32(0), i32(-5), i32(7)),
        fullBox('trun', 0, 0x200, u32(1, 60)),
      ),
    )
    expect(expandSamples(table, 0, 3)).toEqual({
      offsets: Float64Array.of(1200, 1250, 1300),
      sizes: Uint32Array.of(50, 50, 60),
      times: Float64Array.of(500, 520, 540, 560),
      compositions: Int32Array.of(-5, 7, 0),
      keys: Uint8Array.of(1, 0, 0),
    })
  })

  it('runs without samples cost no memory', () => {
    const empty = Array<Uint8Array>(10_000).fill(fullBox('trun', 0, 0, u32(0)))
    expect(tableBytes(collect(moof(tfhd(0x20000), ...empty)))).toBe(0)
  })

  it('more samples than the budget or than bytes for them are refused', () => {
    const run = (flags: number, count: number) =>
      moof(tfhd(0x20000), fullBox('trun', 0, flags, u32(count)))
    expect(collect(run(0, 100)).count).toBe(100)
    expect(() => collect(run(0, 101))).toThrow(/^media-broken/)
    expect(() => collect(run(0x200, 1))).toThrow(/^media-broken/)
    expect(() => collect(run(0, 0xffff_ffff), 0, 2 ** 40)).toThrow(/^media-broken/)
  })

  it('§8.16.3: a segment index names spans behind it', () => {
    const sidx = fullBox(
      'sidx',
      0,
      0,
      u32(1, 1000, 0, 24),
      u16(0, 2),
      u32(500, 1, 0, 0x8000_0000 + 70, 1, 0),
    )
    expect(readSegmentIndex(sidx, only(sidx), 100)).toEqual([
      { start: 124, end: 624, kind: 'media' },
      { start: 624, end: 694, kind: 'index' },
    ])
  })

  it('§8.8.10: random access boxes name moofs, each once and rising', () => {
    const entry = (at: number) => Buffer.concat([u32(0, at), u8(1, 1), u16(1)])
    const tfra = fullBox('tfra', 0, 0, u32(1, 1, 3), entry(900), entry(300), entry(900))
    const mfra = box('mfra', tfra)
    expect([...finish(readRandomAccess(mfra, only(mfra)))]).toEqual([300, 900])
  })
})

describe('boxes', () => {
  it('of more than 2^53 bytes are damage like any other impossible size: the walk ends', () => {
    const endless = Buffer.concat([u32(1, 0x6d646174), Buffer.alloc(8, 0xff)])
    expect(readBoxHeader(endless, 0)).toBeUndefined()
    expect(readBoxes(Buffer.concat([box('free'), endless])).map(({ type }) => type)).toEqual([
      'free',
    ])
  })
})

describe('containers are told apart by how they begin', () => {
  it.each([
    ['0000001866747970', { kind: 'isobmff' }],
    ['464c5601', { kind: 'other', name: 'FLV', browserPlaysFile: false }],
    ['1a45dfa3934282847765626d', { kind: 'other', name: 'WebM', browserPlaysFile: true }],
    ['1a45dfa3934282886d6174726f736b61', { name: 'Matroska (MKV)' }],
    ['fff15080', { name: 'AAC (ADTS)' }],
    ['fffb9064', { name: 'MP3' }],
    ['fffe41004200', { kind: 'unknown' }],
    ['', { kind: 'unknown' }],
  ])('%s', (head, container) => {
    expect(detectContainer(Buffer.from(head, 'hex'))).toMatchObject(container)
  })
})
