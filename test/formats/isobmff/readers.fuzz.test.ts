import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { detectContainer } from '../../../server/formats/isobmff/detect-container.ts'
import { readBoxes } from '../../../server/formats/isobmff/read-boxes.ts'
import { readEsds } from '../../../server/formats/isobmff/read-esds.ts'
import {
  FragmentCollector,
  readRandomAccess,
  readSegmentIndex,
} from '../../../server/formats/isobmff/read-fragments.ts'
import { readMovie } from '../../../server/formats/isobmff/read-movie.ts'
import {
  readSampleTable,
  TableMemory,
  tableMemory,
} from '../../../server/formats/isobmff/read-tables.ts'
import {
  EMPTY_TABLE,
  expandSamples,
  tableBytes,
} from '../../../server/formats/isobmff/sample-table.ts'
import { box, fullBox, u32 } from '../../../server/formats/isobmff/write-box.ts'
import { NearcastError } from '../../../server/lib/errors.ts'
import { finish } from '../../../server/lib/in-turns.ts'
import { FUZZ_RUNS } from '../../support/fuzz-runs.ts'
import { makeFilm } from '../../support/media.ts'

function onlyRefuses(read: () => void): void {
  try {
    read()
  } catch (error) {
    expect(error).toBeInstanceOf(NearcastError)
  }
}

it('any bytes in any box are read or refused', () => {
  const readers: Record<string, (bytes: Uint8Array) => void> = {
    sidx: (bytes) => readBoxes(bytes).forEach((each) => readSegmentIndex(bytes, each, 100)),
    mfra: (bytes) => readBoxes(bytes).forEach((each) => finish(readRandomAccess(bytes, each))),
    esds: (bytes) => readBoxes(bytes).forEach((each) => readEsds(bytes, each)),
    stbl: (bytes) =>
      readBoxes(bytes).forEach((each) =>
        finish(readSampleTable(bytes, each, new TableMemory(bytes.length))),
      ),
    moov: (bytes) => readMovie(bytes),
    moof: (bytes) => {
      const tracks = [{ id: 1, samples: EMPTY_TABLE }]
      const collector = new FragmentCollector(new Map(), tracks, 1000)
      for (const each of readBoxes(bytes)) finish(collector.add(bytes, each, 0))
      expect(finish(collector.takeTable(1))?.count).toBeLessThanOrEqual(1000)
    },
    ftyp: (bytes) => detectContainer(bytes),
  }
  const inner = fc.constantFrom(
    'tfra',
    'traf',
    'trak',
    'mvhd',
    'mvex',
    'stsz',
    'stts',
    'stsc',
    'stco',
    'ctts',
  )
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc
      .array(fc.tuple(inner, fc.uint8Array({ maxLength: 40 })), { maxLength: 6 })
      .map((boxes) => Buffer.concat(boxes.map(([type, bytes]) => box(type, bytes)))),
  )
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(readers)), body, (type, bytes) => {
      onlyRefuses(() => readers[type]?.(box(type, bytes)))
    }),
    { numRuns: FUZZ_RUNS * 5 },
  )
})

it('any run of any fragment is read within the budget, or refused', () => {
  const word = fc.oneof(fc.nat(20), fc.constantFrom(0x7fff_ffff, 0x8000_0000, 0xffff_ffff))
  const words = fc.array(word, { maxLength: 12 }).map((values) => u32(...values))
  const flags = fc.nat(0xfff)
  const traf = fc
    .tuple(flags, words, fc.constantFrom(0, 1), words, flags, fc.array(words, { maxLength: 3 }))
    .map(([tfhdFlags, header, version, time, trunFlags, runs]) =>
      box(
        'traf',
        fullBox('tfhd', 0, tfhdFlags, u32(1), header),
        fullBox('tfdt', version, 0, time),
        ...runs.map((run) => fullBox('trun', 0, trunFlags, run)),
      ),
    )
  let samples = 0
  fc.assert(
    fc.property(fc.array(traf, { minLength: 1, maxLength: 3 }), (trafs) => {
      const moof = box('moof', ...trafs)
      const collector = new FragmentCollector(new Map(), [{ id: 1, samples: EMPTY_TABLE }], 1000)
      onlyRefuses(() => readBoxes(moof).forEach((each) => finish(collector.add(moof, each, 0))))
      const table = finish(collector.takeTable(1)) ?? EMPTY_TABLE
      expect(table.count).toBeLessThanOrEqual(1000)
      const { offsets, times } = expandSamples(table, 0, table.count)
      expect(offsets.every((at) => at >= 0)).toBe(true)
      expect(times.every((time, i) => i === 0 || time >= (times[i - 1] ?? 0))).toBe(true)
      samples += table.count
    }),
    { numRuns: FUZZ_RUNS },
  )
  expect(samples).toBeGreaterThan(0)
})

it('a damaged moov never costs much more memory than it has bytes', async () => {
  const film = await readFile(await makeFilm({ seconds: 2, bframes: 2, gop: 12 }))
  const moov = film.subarray(film.lastIndexOf('moov') - 4)
  const change = fc.tuple(
    fc.integer({ min: 8, max: moov.length - 4 }),
    fc.integer({ min: 0, max: 0xffffffff }),
  )
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const damaged = Buffer.from(moov)
      for (const [at, value] of changes) damaged.writeUInt32BE(value, at)
      onlyRefuses(() => {
        for (const { samples } of readMovie(damaged).tracks) {
          expect(tableBytes(samples)).toBeLessThanOrEqual(tableMemory(moov.length))
          expandSamples(samples, 0, Math.min(samples.count, 1000))
        }
      })
    }),
    { numRuns: FUZZ_RUNS },
  )
})

it('what a movie keeps is a copy, not a view that holds the whole file in memory', async () => {
  const film = await readFile(await makeFilm({ seconds: 2, bframes: 2, gop: 12 }))
  const { tracks } = readMovie(film.subarray(film.lastIndexOf('moov') - 4))
  for (const { descriptions } of tracks) {
    const [description] = descriptions
    if (description.kind === 'refused') throw new Error(description.reason)
    expect(description.config.buffer.byteLength).toBe(description.config.length)
  }
})
