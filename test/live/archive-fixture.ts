import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '../../server/lib/log.ts'
import { Archives, type ArchivesOptions } from '../../server/live/archives.ts'
import type { LivePackagerDeps } from '../../server/live/packager.ts'
import type { ObjectStore } from '../../server/storage/object-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { LiveFixture } from './live-fixture.ts'

export async function newFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'nearcast-archive-'))
}

/** A packager with an archive in `folder`, main playlists of 10 s and a rewind window of a minute. */
export async function openWithArchive(
  folder: string,
  options: Partial<ArchivesOptions> & { readonly packager?: Partial<LivePackagerDeps> } = {},
  clock = new FakeClock(),
): Promise<{ readonly live: LiveFixture; readonly archives: Archives; readonly clock: FakeClock }> {
  const { packager, ...more } = options
  const archives = new Archives({
    folder: join(folder, 'archive'),
    queueBytes: 1024 * 1024 * 1024,
    storeOf: () => {
      throw new Error('nothing is recorded')
    },
    limits: { bytes: 256 * 1024 * 1024 },
    clock,
    log: silentLog,
    ...more,
  })
  const live = await LiveFixture.open(
    {
      windowSeconds: 10,
      dvrSeconds: 60,
      stateDir: join(folder, 'live'),
      archives,
      ...packager,
    },
    clock,
  )
  return { live, archives, clock }
}

/** Lets files be written and read until it holds; time stands still meanwhile. The test's own deadline ends what never comes. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve))
}

/** Passes everything on until it is told to fail or to stand still. */
export class UnsureStore implements ObjectStore {
  state: 'works' | 'fails' | 'hangs' = 'works'
  writes = 0
  readonly #inner: ObjectStore

  constructor(inner: ObjectStore) {
    this.#inner = inner
  }
  get description(): string {
    return this.#inner.description
  }
  stat: ObjectStore['stat'] = (key, signal) => this.#inner.stat(key, signal)
  read: ObjectStore['read'] = async (key, options) => {
    await this.#pass(options.signal)
    return this.#inner.read(key, options)
  }
  write: ObjectStore['write'] = async (key, body, options) => {
    this.writes++
    await this.#pass(options.signal)
    return this.#inner.write(key, body, options)
  }
  list: ObjectStore['list'] = (prefix, options) => this.#inner.list(prefix, options)
  remove: ObjectStore['remove'] = (key, signal) => this.#inner.remove(key, signal)
  close = async () => {}

  async #pass(signal: AbortSignal): Promise<void> {
    if (this.state === 'fails') throw new Error('the disk is full')
    if (this.state === 'hangs')
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      )
  }
}
