import { mkdir, readFile, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { DiskStore } from './cache/tier/disk-store.ts'
import { Resting } from './cache/tier/resting.ts'
import { bytesIn } from './cache/tier/segment-files.ts'
import type { Config } from './config/config.ts'
import type { Distribution } from './distribution/types.ts'
import type { Log } from './lib/log.ts'
import { type Random, readableToken } from './lib/random.ts'
import { countWorkers } from './main-viewers.ts'

const FOLDER = 'cache'
const RUN_LENGTH = 12
const CHANGES = 'changes.ndjson'
const WAYS = /"kind":"(?:origin|distribution)/
/** Of a disk's free space, the cache takes so much at most: others write there too. */
const FREE_PART = 0.5

/** The ways of a parent: its distributions, and where in its log they or its origins were changed last. */
export interface ToldWays {
  readonly distributions: readonly Distribution[]
  readonly position: string
}

/** The disk tier in the data folder, or undefined where the configuration wants none. Closed by the caller, after the last answer. */
export async function openResting(
  config: Config,
  deps: {
    readonly log: Log
    readonly random: Random
    readonly version: string
    /** What an edge was told by its parent, instead of what its own configuration says. */
    readonly told?: ToldWays | undefined
  },
): Promise<Resting | undefined> {
  const { log, random, version, told } = deps
  if (config.cache.diskBytes === 0) return undefined
  // Its workers ask the parent elsewhere, so nothing would come through this process.
  if (config.role === 'edge' && countWorkers(config) > 0) return undefined
  const folder = join(config.data, FOLDER)
  const diskBytes = await boundedByDisk(folder, config.cache.diskBytes, log)
  const changes = told ? [told.position] : await waysChanged(config.data)
  const distributions = told?.distributions ?? config.distributions
  const fingerprint = fingerprintOf({ ...config, distributions }, version, changes)
  const resting: { current: Resting | undefined } = { current: undefined }
  const disk = await DiskStore.open({
    folder,
    diskBytes,
    fingerprint,
    log,
    random,
    survives: async (record) => (await resting.current?.survives(record)) ?? false,
  })
  resting.current = new Resting({ disk, run: readableToken(random, RUN_LENGTH) })
  return resting.current
}

/**
 * A restart with other origins, other ways to them or another version of the server begins with an empty tier: keys do not say where
 * answers came from. Lifetimes are not among it, they are applied when an answer is served.
 */
function fingerprintOf(
  { origins, distributions, parent }: Config,
  version: string,
  changes: readonly string[],
): number {
  const ways = distributions.map((one) =>
    one.kind === 'web'
      ? one.behaviors.map(({ path, origin, strip, key }) => [one.id, path, origin, strip, key])
      : [],
  )
  return crc32(JSON.stringify([version, origins, ways, parent, changes]))
}

/** Changes of origins and distributions that were made while running: the lines of the change log that say neither of the other kinds. */
async function waysChanged(data: string): Promise<readonly string[]> {
  let text: string
  try {
    text = await readFile(join(data, CHANGES), 'utf8')
  } catch {
    return []
  }
  return text.split('\n').filter((line) => WAYS.test(line))
}

async function boundedByDisk(folder: string, asked: number, log: Log): Promise<number> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const { bavail, bsize } = await statfs(folder)
    const held = await bytesIn(folder)
    const most = Math.floor(held + bavail * bsize * FREE_PART)
    if (most >= asked) return asked
    log.warn('the disk has less room than cache.diskBytes', { asked, taken: most })
    return most
  } catch {
    // The store says what is wrong with the folder.
    return asked
  }
}
