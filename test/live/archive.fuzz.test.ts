import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mkdir, mkdtemp, readFile, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
import { Chapter } from '../../server/live/chapter.ts'
import { OldLines, Rendered } from '../../server/live/rendered.ts'
import { windowOf } from '../../server/live/restored-window.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import { FakeClock } from '../support/fake-clock.ts'
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

test('a window is made anew from days of several renditions, and from numbers that lie', () => {
  const limits = { now: 600_001_000, oldMs: 600_000, limits: { bytes: 1000 } }
  const { head, entries } = readJournal(JOURNAL)
  const kept = (sequence: number) =>
    ({ kind: 'kept', rendition: 'video', ...segment(sequence) }) as const
  // A worker thread takes more arguments than the main one, which gives up at 125,000.
  const many = Array.from({ length: 600_000 }, (_, i) => kept(i))
  const long = { head, entries: [...entries.slice(0, 3), ...many], length: 0 }
  expect(windowOf([long], limits)?.rendition('video')?.id).toBe('video')
  const sound = { ...kept(0), rendition: 'audio' }
  const lies = { ...kept(1), sequence: Number.MAX_SAFE_INTEGER - 1, startedAt: 600_000_000 }
  const [init] = entries.filter((entry) => entry.kind === 'init')
  if (!init) throw new Error('no init section')
  const odd = [...entries.slice(0, 3), { ...init, rendition: 'audio' }, sound, lies]
  const window = windowOf([{ head, entries: odd, length: 0 }], limits)
  expect(window?.rendition('audio')?.segments).toHaveLength(1)
})

test('a line that a full disk tore spoils none of those behind it', async () => {
  const clock = new FakeClock()
  const file = join(await mkdtemp(join(tmpdir(), 'nearcast-journal-')), 'torn.ndjson')
  const chapter = new Chapter(HEAD, file, { local: openMemoryStore({ clock }), clock })
  await mkdir(file)
  const [seventh, eighth] = [7, 8].map(
    (i) => ({ kind: 'kept', rendition: 'video', ...segment(i) }) as const,
  )
  if (!seventh || !eighth) throw new Error('no segments')
  await expect(chapter.note(seventh)).rejects.toThrow()
  await rmdir(file)
  await writeFile(file, writeJournalLine(HEAD).slice(0, 40))
  await chapter.note(seventh)
  await chapter.note(eighth)
  const { head, entries } = readJournal(await readFile(file))
  expect(head).toEqual(HEAD)
  expect(entries).toEqual([seventh, eighth])
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
