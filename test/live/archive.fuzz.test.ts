import fc from 'fast-check'
import { expect, test } from 'vitest'
import { gunzipSync } from 'node:zlib'
import {
  readRecordingIndex,
  type RecordedSegment,
  writeRecordingIndex,
} from '../../server/formats/recording/recording-index.ts'
import { hasCode } from '../../server/lib/errors.ts'
import {
  type ChapterHead,
  readJournal,
  writeJournalLine,
} from '../../server/live/archive-journal.ts'
import { OldLines, Rendered } from '../../server/live/rendered.ts'
import { windowOf } from '../../server/live/restored-window.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const FACTS = {
  kind: 'video',
  codecString: 'avc1.64001f',
  width: 1280,
  height: 720,
  channels: 0,
  language: '',
} as const

function segment(sequence: number): RecordedSegment {
  return {
    sequence,
    epoch: 'e1',
    init: 'e1/video-init-1.mp4',
    startedAt: 1000 * sequence,
    discontinuity: sequence === 3,
    discontinuitySequence: sequence < 3 ? 0 : 1,
    seconds: 1,
    bytes: 1000,
    samples: 30,
    independent: true,
    gap: sequence === 5,
    ...(sequence === 4 && { slate: true }),
  }
}

const HEAD: ChapterHead = {
  kind: 'chapter',
  version: 1,
  id: 'w',
  name: 'main',
  bornAt: 0,
  windowSeconds: 60,
  dvrSeconds: 7200,
  place: 'rewind/main/20261127T073000Z/',
  startedAt: 0,
}

const JOURNAL = Buffer.from(
  [
    writeJournalLine(HEAD),
    writeJournalLine({ kind: 'pace', partTargetSeconds: 0.2 }),
    writeJournalLine({ kind: 'promise', targets: [1], current: 1, floor: 1 }),
    writeJournalLine({
      kind: 'init',
      rendition: 'video',
      uri: 'e1/video-init-1.mp4',
      facts: FACTS,
      bitsPerSecond: 0,
      media: 'AAAA',
    }),
    ...Array.from({ length: 8 }, (_, i) =>
      writeJournalLine({ kind: 'kept', rendition: 'video', ...segment(i) }),
    ),
    writeJournalLine({ kind: 'moved', rendition: 'video', sequence: 1 }),
    writeJournalLine({ kind: 'begun', sequence: 3, discontinuitySequence: 1 }),
    writeJournalLine({ kind: 'lost', rendition: 'video', sequence: 2 }),
  ].join(''),
)

test('a journal that was cut off anywhere gives the lines that are whole', () => {
  const lines = JOURNAL.toString().split('\n').length - 1
  const first = JOURNAL.indexOf(0x0a) + 1
  for (let length = first; length <= JOURNAL.length; length++) {
    const { entries, length: whole } = readJournal(JOURNAL.subarray(0, length))
    expect(whole).toBe(JOURNAL.lastIndexOf(0x0a, length - 1) + 1)
    expect(entries.length).toBeLessThanOrEqual(lines - 1)
  }
  expect(readJournal(JOURNAL).entries).toHaveLength(lines - 1)
})

test('a journal with broken bytes is read as far as it means something, or refused', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(JOURNAL.length - 1), fc.nat(255)), { maxLength: 12 }),
      fc.nat(JOURNAL.length),
      (changes, length) => {
        const bytes = Buffer.from(JOURNAL.subarray(0, length))
        for (const [at, value] of changes) if (at < length) bytes[at] = value
        try {
          const journal = readJournal(bytes)
          windowOf([journal], { now: 9000, oldMs: 600_000, limits: { bytes: 1000 } })
        } catch (error) {
          if (!hasCode(error, 'origin-failed')) throw error
        }
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
})

test('an index is read as it was written; other bytes are refused', async () => {
  const index = {
    stream: 'main',
    startedAt: 5,
    ended: true,
    of: undefined,
    renditions: [{ id: 'video', facts: FACTS, segments: [0, 1, 2, 3, 4, 5].map(segment) }],
  }
  const bytes = await writeRecordingIndex(index)
  expect(await readRecordingIndex(bytes)).toEqual(index)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      async (changes) => {
        const broken = Buffer.from(bytes)
        for (const [at, value] of changes) broken[at] = value
        try {
          await readRecordingIndex(broken)
        } catch (error) {
          if (!hasCode(error, 'media-broken')) throw error
        }
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
})

test('a text put together of compressed pieces is one gzip member that says the same (RFC 1952)', () => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(300), fc.nat(200), fc.string(), (from, length, later, tail) => {
      const lines = new OldLines()
      const lineOf = (sequence: number) => `#EXTINF:1,\ne/video-${sequence}.m4s\n`
      for (const begin of [from, from + later]) {
        const rendered = new Rendered(
          'head\n',
          ...lines.pieces(begin, from + later + length, lineOf),
          tail,
        )
        const plain = Buffer.concat([...rendered.plain])
        let expected = 'head\n'
        for (let sequence = begin; sequence < from + later + length; sequence++)
          expected += lineOf(sequence)
        expect(plain.equals(Buffer.from(expected + tail))).toBe(true)
        expect(gunzipSync(Buffer.concat([...rendered.gzip])).equals(plain)).toBe(true)
      }
    }),
    { numRuns: Math.ceil(FUZZ_RUNS / 10) },
  )
})
