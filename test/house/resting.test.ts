import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadConfig } from '../../server/config/load-config.ts'
import type { Distribution } from '../../server/distribution/types.ts'
import { validateDistribution } from '../../server/distribution/schema.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { openResting, type ToldWays } from '../../server/main-resting.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-resting-'))
})
afterEach(() => rm(folder, { recursive: true }))

function site(origin: string): Distribution {
  const checked = validateDistribution({ id: 'site', behaviors: [{ path: '*', origin }] })
  if (checked.kind === 'invalid') throw new Error(checked.problems.join())
  return checked.value
}

/** How much rests when an edge starts that was told this. */
async function startEdge(told: ToldWays): Promise<number> {
  const argv = ['--role', 'edge', '--data', folder]
  const config = loadConfig({
    argv,
    env: { NEARCAST_PARENT: 'http://127.0.0.1:1', NEARCAST_PARENT_TOKEN: 'a-secret-token-16' },
    cwd: folder,
  })
  const deps = { log: silentLog, random: systemRandom, version: '1', told }
  const resting = await openResting(config, deps)
  if (!resting) throw new Error('there is no disk tier')
  const { records } = resting.stats
  resting.forgetPath('site', '/a', 1)
  await resting.close()
  return records
}

it('an edge begins with what rested under the rules its parent has still, and with nothing under others', async () => {
  const before = { distributions: [site('app')], position: 'e1:3' }
  expect(await startEdge(before)).toBe(0)
  expect(await startEdge(before)).toBe(1)
  expect(await startEdge({ ...before, distributions: [site('other')] })).toBe(0)
  expect(await startEdge(before)).toBe(0)
  expect(await startEdge(before)).toBe(1)
})

it('an edge keeps nothing across rules that changed and changed back while it was away', async () => {
  const told = { distributions: [site('app')], position: 'e1:3' }
  await startEdge(told)
  expect(await startEdge({ ...told, position: 'e1:5' })).toBe(0)
  expect(await startEdge({ ...told, position: 'e2:5' })).toBe(0)
})
