import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type DataLock, lockData } from '../../server/config/lock-data.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { systemRandom } from '../../server/lib/random.ts'

let folder: string
const held: DataLock[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-lock-'))
})
afterEach(async () => {
  for (const lock of held.splice(0)) await lock.release()
  await rm(folder, { recursive: true, force: true })
})

async function lock(directory = folder): Promise<DataLock | undefined> {
  const taken = await lockData(directory, { random: systemRandom, clock: systemClock })
  if (taken) held.push(taken)
  return taken
}

it('keeps others out, and says who has it', async () => {
  await lock()
  const second = lock()
  await expect(second).rejects.toMatchObject({ code: 'data-in-use' })
  await expect(second).rejects.toThrow(`(pid ${process.pid})`)
})

it('lets the next in when it is released, and leaves nothing', async () => {
  await (await lock())?.release()
  expect(await readdir(folder)).toEqual([])
  await lock()
  expect(await readdir(folder)).toHaveLength(1)
})

it('gives the folder to exactly one of many that come at once', async () => {
  const tried = await Promise.allSettled(Array.from({ length: 12 }, () => lock()))
  expect(tried.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(await readdir(folder)).toHaveLength(1)
})

it('takes no notice of what a killed process left', async () => {
  const listens = `require('net').createServer().listen(${JSON.stringify(join(folder, 'lock-abcdefgh'))}, () => console.log('up'))`
  const child = spawn(process.execPath, ['-e', listens], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await readdir(folder)).toEqual(['lock-abcdefgh'])

  await lock()

  expect(await readdir(folder)).not.toContain('lock-abcdefgh')
})

it('keeps others out while its process is stopped', async () => {
  const listens = `require('net').createServer().listen(${JSON.stringify(join(folder, 'lock-abcdefgh'))}, () => console.log('up'))`
  const child = spawn(process.execPath, ['-e', listens], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGSTOP')
  try {
    await expect(lock()).rejects.toMatchObject({ code: 'data-in-use' })
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
})

it('is none where the path is too long for a socket', async () => {
  const deep = join(folder, 'd'.repeat(120))
  await mkdir(deep)
  expect(await lock(deep)).toBeUndefined()
})
