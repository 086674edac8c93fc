import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ChangeLog, openChangeLog } from '../../server/control/change-log.ts'
import { expireKeys } from '../../server/control/expire-keys.ts'
import { foldChanges } from '../../server/control/fold-changes.ts'
import {
  createStreamKey,
  listStreamKeys,
  rotateStreamKey,
  type StreamKeyEntry,
} from '../../server/control/stream-keys.ts'
import { readChange } from '../../server/distribution/read-change.ts'
import { createKeyResolver } from '../../server/ingest/stream-keys.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { FakeClock } from '../support/fake-clock.ts'

let clock: FakeClock
let changes: ChangeLog
let former: StreamKeyEntry
const cut: string[] = []

beforeEach(async () => {
  clock = new FakeClock()
  changes = await openChangeLog({ clock, random: systemRandom, log: silentLog })
  former = await createStreamKey(changes, systemRandom, 'main')
  cut.length = 0
})
afterEach(() => changes.close())

const rotate = (overlapSeconds: number) =>
  rotateStreamKey(changes, systemRandom, former, { overlapSeconds, now: clock.now() })
const expiring = () =>
  expireKeys({ changes, clock, log: silentLog, cutRevoked: (name) => cut.push(name) })

test('both keys open the stream during the overlap, then the new one alone, and who used the former is cut', async () => {
  using _ = expiring()
  const opens = createKeyResolver(() => listStreamKeys(changes, clock.now()))
  await clock.advance(3000)
  const { made } = await rotate(60)
  expect(opens(made.key)?.name).toBe('main')
  await clock.advance(59_000)
  expect(opens(former.key)?.name).toBe('main')
  expect(cut).toEqual([])
  await clock.advance(2000)
  expect(opens(former.key)).toBeUndefined()
  expect(opens(made.key)?.name).toBe('main')
  expect(cut).toEqual(['main'])
  await clock.advance(10_000)
  expect(cut).toEqual(['main'])
})

test('an overlap that ended while no server ran has ended', async () => {
  await rotate(60)
  await clock.advance(120_000)
  expect(listStreamKeys(changes, clock.now())).toHaveLength(1)
  using _ = expiring()
  await clock.advance(1000)
  expect(changes.since(0)?.at(-1)).toMatchObject({ key: former.key, revoked: true })
})

test('a replaced key keeps its end and its age when the log is folded and read back', async () => {
  await clock.advance(1000)
  await rotate(60)
  const folded = foldChanges(changes.since(0) ?? [], 0).changes
  expect(folded).toHaveLength(2)
  const entry = folded.find((change) => change.kind === 'stream-key' && change.key === former.key)
  expect(readChange(JSON.parse(JSON.stringify(entry)))).toMatchObject({
    createdAt: former.createdAt,
    until: clock.now() + 60_000,
  })
})
