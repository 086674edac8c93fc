import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { silentLog } from '../../server/lib/log.ts'
import { readCatalogue, RecordingCatalogue } from '../../server/live/recording-catalogue.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const KEY = 'recordings/main/20260101T000000Z'
const INDEX = { stream: 'main', startedAt: 5, ended: true, renditions: [] }

async function newFile(): Promise<string> {
  return join(await mkdtemp(join(tmpdir(), 'nearcast-catalogue-')), 'recordings.ndjson')
}

test('a list of recordings that was cut off in a line is read without it, and goes on', async () => {
  const file = await newFile()
  const first = await RecordingCatalogue.open(file, silentLog)
  await first.add(KEY, 'media', INDEX)
  await first.add('recordings/main/clips/abc', 'media', { ...INDEX, of: '20260101T000000Z' })
  await first.beginRemoving(KEY)
  const whole = await readFile(file)
  await writeFile(file, whole.subarray(0, whole.length - 3))
  const second = await RecordingCatalogue.open(file, silentLog)
  expect(second.isRemoving(KEY)).toBe(false)
  await second.beginRemoving(KEY)
  const third = await RecordingCatalogue.open(file, silentLog)
  expect(third.rows.map(({ key }) => key)).toEqual([KEY, 'recordings/main/clips/abc'])
  expect(third.isRemoving(KEY)).toBe(true)
  await third.removed(KEY)
  expect((await RecordingCatalogue.open(file, silentLog)).rows).toHaveLength(1)
})

test('a list of recordings with broken bytes is read as far as it means something', async () => {
  const file = await newFile()
  const catalogue = await RecordingCatalogue.open(file, silentLog)
  await catalogue.add(KEY, 'media', INDEX)
  await catalogue.add('recordings/main/clips/abc', 'media', { ...INDEX, of: '20260101T000000Z' })
  const whole = await readFile(file)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 }),
      (changes) => {
        const broken = Buffer.from(whole)
        for (const [at, value] of changes) broken[at] = value
        for (const line of readCatalogue(broken.toString('utf8')).lines)
          expect(line.key).toMatch(
            /^recordings\/[A-Za-z0-9_-]+\/(?:\d{8}T\d{6}Z|clips\/[a-z0-9]+)$/,
          )
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
})
