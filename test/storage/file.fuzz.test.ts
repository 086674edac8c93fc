import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { openFileStore } from '../../server/storage/file.ts'
import type { ObjectStore } from '../../server/storage/object-store.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { readText } from './object-store.contract.ts'

const SECRET = 'nobody may read this'
const signal = new AbortController().signal
let folder: string
let store: ObjectStore

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'nearcast-fuzz-'))
  const root = path.join(folder, 'root')
  await mkdir(path.join(root, 'a/b'), { recursive: true })
  await writeFile(path.join(root, 'a/b/c'), 'may be read')
  await writeFile(path.join(root, '.env'), SECRET)
  await writeFile(path.join(folder, 'secret'), SECRET)
  await symlink('..', path.join(root, 'up'))
  await symlink('../../../secret', path.join(root, 'a/b/out'))
  store = openFileStore(root, { clock: systemClock })
})
afterAll(() => rm(folder, { recursive: true }))

const SEGMENTS = ['a', 'b', 'c', 'up', 'out', 'root', 'secret', '..', '.', '', '.env', '\0', '~']
const key = fc.oneof(
  fc.array(fc.constantFrom(...SEGMENTS), { maxLength: 8 }).map((segments) => segments.join('/')),
  fc.array(fc.constantFrom(...SEGMENTS), { maxLength: 8 }).map((segments) => segments.join('\\')),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 1200 }),
)
const edge = fc.oneof(fc.integer(), fc.double(), fc.constant(Number.MAX_SAFE_INTEGER))
const range = fc.option(
  fc.oneof(
    fc.record({ start: edge, end: fc.option(edge, { nil: undefined }) }),
    fc.record({ suffix: edge }),
  ),
  { nil: undefined },
)

it('never gives a byte from outside the root, whatever the key and range', async () => {
  const check = async (name: string, asked: Parameters<typeof readFor>[1]) => {
    expect(await readFor(name, asked)).not.toContain('nobody')
    const { objects } = await store.list(name, { signal })
    for (const object of objects) expect(object.key).toBe('a/b/c')
  }
  await fc.assert(fc.asyncProperty(key, range, check), { numRuns: FUZZ_RUNS })
})

async function readFor(
  name: string,
  asked: { start: number; end: number | undefined } | { suffix: number } | undefined,
): Promise<string> {
  try {
    return await readText(store.read(name, { signal: new AbortController().signal, range: asked }))
  } catch (error) {
    expect(error).toBeInstanceOf(NearcastError)
    expect(error).toMatchObject({
      code: expect.stringMatching(/^(bad-request|object-not-found|range-not-satisfiable)$/),
    })
    return ''
  }
}

it('takes any cursor without harm', async () => {
  const check = async (cursor: string, limit: number) => {
    const listed = store.list('', { signal, cursor, limit, delimiter: '/' })
    await listed.catch((error: unknown) => expect(error).toMatchObject({ code: 'bad-request' }))
  }
  const cursors = fc.oneof(fc.string(), fc.base64String())
  await fc.assert(fc.asyncProperty(cursors, fc.integer(), check), { numRuns: FUZZ_RUNS })
})
