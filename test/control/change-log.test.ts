import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ChangeLogDeps, openChangeLog } from '../../server/control/change-log.ts'
import { followerLog } from '../../server/control/follower-log.ts'
import { foldChanges } from '../../server/control/fold-changes.ts'
import type { Change, ChangeBody } from '../../server/distribution/change.ts'
import { ControlState } from '../../server/distribution/control-state.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { behavior, web } from '../distribution/samples.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-log-'))
  file = join(folder, 'data', 'changes.ndjson')
})
afterEach(() => rm(folder, { recursive: true }))

const open = (more: Partial<ChangeLogDeps> = {}) =>
  openChangeLog({ file, clock: new FakeClock(), random: systemRandom, log: silentLog, ...more })
const key = (name: string, revoked = false): ChangeBody => ({
  kind: 'stream-key',
  name,
  key: `key-of-${name}`,
  revoked,
})
const invalidation = (path: string): ChangeBody => ({
  kind: 'invalidation',
  id: `I${path}`,
  distribution: '*',
  paths: [path],
})

describe('the change log', () => {
  it('numbers changes from 1 and tells subscribers before append resolves', async () => {
    const log = await open()
    const seen: number[] = []
    using _ = log.subscribe((change) => seen.push(change.seq))
    const changes = await Promise.all([log.append(key('a')), log.append(invalidation('/b'))])
    expect(changes.map((change) => change.seq)).toEqual([1, 2])
    expect(seen).toEqual([1, 2])
    expect(log.position.seq).toBe(2)
    expect(log.since(1)).toEqual([changes[1]])
    await log.close()
  })

  it('is the same log after a restart, in a file only its owner can read', async () => {
    const first = await open()
    await first.append(key('a'))
    await first.close()
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const second = await open()
    expect(second.position).toEqual(first.position)
    expect(second.since(0)).toEqual(first.since(0))
    expect((await second.append(key('b'))).seq).toBe(2)
    await second.close()
  })

  it('drops a torn last line and keeps its epoch', async () => {
    const first = await open()
    await first.append(key('a'))
    await first.close()
    await appendFile(file, '{"kind":"stream-key","name":"b","ke')
    const second = await open()
    expect(second.position).toEqual({ epoch: first.position.epoch, seq: 1 })
    await second.append(key('c'))
    await second.close()
    const third = await open()
    expect(third.since(0)?.map((change) => change.seq)).toEqual([1, 2])
    await third.close()
  })

  it('starts a new epoch when a line in the middle is damaged, and keeps a copy', async () => {
    const first = await open()
    await first.append(key('a'))
    await first.append(key('b'))
    await first.append(key('c'))
    await first.close()
    await writeFile(file, (await readFile(file, 'utf8')).replace('"name":"b"', '"name":"b'))
    const second = await open()
    expect(second.position.epoch).not.toBe(first.position.epoch)
    expect(second.since(0)?.map((change) => change.seq)).toEqual([1, 3])
    await second.close()
    expect((await readdir(join(folder, 'data'))).some((name) => name.includes('.damaged-'))).toBe(
      true,
    )
    const third = await open()
    expect(third.position).toEqual(second.position)
    await third.close()
  })

  it('forgets the floor with the epoch, which may lie above all that is left', async () => {
    await (await open()).close()
    await writeFile(file, '{"epoch":"abc","floor":7,"seq":9}\n{"kind":"inval\n')
    const log = await open()
    expect([log.position.seq, log.floor]).toEqual([9, 0])
    await log.close()
  })

  it('keeps working with a file that is something else entirely', async () => {
    const first = await open()
    await first.close()
    await writeFile(file, Buffer.from([0, 1, 2, 255, 10, 13, 10, 200]))
    const second = await open()
    expect(second.since(0)).toEqual([])
    expect((await second.append(key('a'))).seq).toBe(1)
    await second.close()
  })

  it('writes the file anew when most of it was overruled, and goes on counting', async () => {
    const log = await open({ slackLines: 20 })
    for (let round = 0; round < 50; round += 1) await log.append(key('a', round % 2 === 1))
    const lines = (await readFile(file, 'utf8')).trim().split('\n').length
    expect(lines).toBeLessThan(25)
    expect(log.since(0)?.at(-1)).toMatchObject({ seq: 50, revoked: true })
    await log.close()
    const again = await open()
    expect(again.position).toEqual(log.position)
    await again.close()
  })

  it('folds sooner when what was overruled is long, also across a restart', async () => {
    const long = web({ behaviors: [behavior({ path: `/${'a'.repeat(1_000_000)}` })] })
    const put: ChangeBody = { kind: 'distribution', distribution: long, removed: false }
    const first = await open()
    for (let round = 0; round < 20; round += 1) await first.append(put)
    await first.close()
    const second = await open()
    for (let round = 0; round < 20; round += 1) await second.append(put)
    await second.close()
    expect((await stat(file)).size).toBeLessThan(20 * 1024 * 1024)
  })

  it('says so when a follower asks for what was folded away', async () => {
    const bounds = { invalidations: 3, pathCharacters: 1000, removals: 10 }
    const log = await open({ slackLines: 4, bounds })
    for (let round = 1; round <= 6; round += 1) await log.append(invalidation(`/${round}`))
    expect(log.since(1)).toBeUndefined()
    expect(log.floor).toBe(2)
    expect(log.since(0)?.map((change) => change.seq)).toContain(6)
    expect(log.since(99)).toBeUndefined()
    await log.close()
    const again = await open({ bounds })
    expect(again.since(1)).toBeUndefined()
    await again.close()
  })

  it('keeps what a newer server wrote, and its epoch', async () => {
    const first = await open()
    await first.append(key('a'))
    await first.close()
    await appendFile(file, '{"kind":"signer","id":"s","seq":2,"at":0}\n')
    const second = await open({ slackLines: 0 })
    for (const revoked of [true, false]) await second.append(key('a', revoked))
    await second.close()
    const third = await open()
    expect(third.position).toEqual({ epoch: first.position.epoch, seq: 4 })
    expect(third.since(0)?.map((change) => change.seq)).toEqual([2, 4])
    await third.close()
  })

  it('keeps a whole copy of a file that is damaged and torn', async () => {
    const first = await open()
    await first.append(key('a'))
    await first.close()
    const bytes = `${(await readFile(file, 'utf8')).replace('"name":"a"', '"name":"a')}{"kind":"st`
    await writeFile(file, bytes)
    await (await open()).close()
    const copy = (await readdir(join(folder, 'data'))).find((name) => name.includes('.damaged-'))
    expect(await readFile(join(folder, 'data', copy ?? ''), 'utf8')).toBe(bytes)
  })

  it('takes no change once it is closed', async () => {
    const log = await open()
    await log.append(key('a'))
    await log.close()
    await expect(log.append(key('b'))).rejects.toMatchObject({ code: 'unavailable' })
    expect(log.position.seq).toBe(1)
  })

  it('lives in memory without a file', async () => {
    const log = await open({ file: undefined })
    await log.append(key('a'))
    expect(log.since(0)).toHaveLength(1)
    await log.close()
  })
})

describe('the log of an edge', () => {
  it('is where its parent is, and is not written to', async () => {
    const log = followerLog(() => ({ epoch: 'abc', seq: 7 }), 'http://origin:8070')
    expect(log.position).toEqual({ epoch: 'abc', seq: 7 })
    await expect(log.append(key('a'))).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('http://origin:8070'),
    })
  })
})

describe('folding', () => {
  const numbered = (bodies: readonly ChangeBody[]): Change[] =>
    bodies.map((body, index) => ({ ...body, seq: index + 1, at: 0 }))

  it('keeps the newest word on each thing and each revocation', () => {
    const changes = numbered([key('a'), key('b'), key('a', true)])
    expect(foldChanges(changes, 0)).toEqual({ changes: [changes[1], changes[2]], floor: 0 })
  })

  it('forgets no removal of a distribution for keys that were revoked since', () => {
    const gone: ChangeBody = { kind: 'distribution', distribution: web(), removed: true }
    const changes = numbered([gone, key('a', true), key('b', true), key('c', true)])
    const bounds = { invalidations: 1, pathCharacters: 1, removals: 2 }
    expect(foldChanges(changes, 0, bounds)).toEqual({
      changes: [changes[0], changes[2], changes[3]],
      floor: 0,
    })
  })

  it('raises the floor for a removal that it forgets, which edges must hear of', () => {
    const gone = (id: string): ChangeBody => ({
      kind: 'distribution',
      distribution: web({ id }),
      removed: true,
    })
    const changes = numbered([gone('a'), gone('b')])
    const bounds = { invalidations: 1, pathCharacters: 1, removals: 1 }
    expect(foldChanges(changes, 0, bounds)).toEqual({ changes: [changes[1]], floor: 1 })
  })

  it('leaves distributions in their order, by which one of two answers for a host', () => {
    const one = fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd'), removed: fc.boolean() })
    const seed = { distributions: [web({ id: 'a' }), web({ id: 'b' })], origins: {} }
    const after = (changes: readonly Change[]) => {
      const state = new ControlState(seed)
      for (const change of changes) state.apply(change)
      return state.snapshot().distributions
    }
    fc.assert(
      fc.property(fc.array(one, { maxLength: 20 }), (all) => {
        const changes = numbered(
          all.map(({ id, removed }, i) => ({
            kind: 'distribution',
            distribution: web({ id, defaultRootObject: `${i}` }),
            removed,
          })),
        )
        const folded = foldChanges(changes, 0).changes
        expect(after(folded)).toEqual(after(changes))
        expect(foldChanges(folded, 0).changes).toEqual(folded)
        expect(folded.length).toBeLessThanOrEqual(12)
      }),
      { numRuns: FUZZ_RUNS },
    )
  })

  it('counts undos with invalidations and keeps each behind what it undid', () => {
    const undo = {
      kind: 'invalidation-undo',
      id: 'i',
      of: 2,
      distribution: '*',
      paths: ['/b'],
    } as const
    const changes = numbered([invalidation('/a'), invalidation('/b'), undo])
    const bounds = { invalidations: 2, pathCharacters: 100, removals: 1 }
    expect(foldChanges(changes, 0, bounds)).toEqual({ changes: changes.slice(1), floor: 1 })
  })

  it('bounds the characters of invalidated paths', () => {
    const changes = numbered([invalidation('/long-one'), invalidation('/b'), invalidation('/c')])
    const bounds = { invalidations: 100, pathCharacters: 5, removals: 1 }
    expect(foldChanges(changes, 0, bounds)).toEqual({ changes: changes.slice(1), floor: 1 })
  })
})
