import { deferred } from '../../server/lib/deferred.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import type { ObjectInfo, ObjectRead, ObjectStore } from '../../server/storage/object-store.ts'

/** A store in memory whose bytes come when the test lets them, and which remembers what it was asked. */
export interface GatedStore extends ObjectStore {
  readonly chunkBytes: number
  /** Ranges in the order asked: `0-`, `5-9`, `-100`. */
  readonly reads: string[]
  readonly stats: string[]
  /** Bytes given by all reads so far. */
  readonly fetchedBytes: number
  /** Bytes that each ended read had given. */
  readonly ended: number[]
  /** Lets so many bytes through, over all reads. */
  release(bytes: number): Promise<void>
  /** Lets everything through from now on. */
  open(): void
  /** The next read dies after so many bytes. */
  dieAfter(bytes: number): void
  /** Another object of this name; a read under way dies after `dieAfter` bytes. */
  replace(key: string, bytes: Buffer, dieAfter?: number): void
}

export function gatedStore(
  objects: Readonly<Record<string, Buffer>>,
  chunkBytes = 1024,
  weak = false,
): GatedStore {
  const held = new Map(Object.entries(objects).map(([key, bytes]) => [key, { bytes, version: 1 }]))
  const reads: string[] = []
  const stats: string[] = []
  const ended: number[] = []
  let allowance = 0
  let given = 0
  let death: number | undefined
  let changed = deferred()
  const wake = () => {
    changed.resolve()
    changed = deferred()
  }
  const infoOf = (key: string): ObjectInfo | undefined => {
    const object = held.get(key)
    if (!object) return undefined
    const { bytes, version } = object
    const info = { key, size: bytes.length, etag: `v${version}`, lastModified: version * 1000 }
    return weak ? { ...info, weak } : info
  }

  async function* pull(bytes: Buffer, signal: AbortSignal): AsyncGenerator<Buffer> {
    let at = 0
    try {
      while (at < bytes.length) {
        signal.throwIfAborted()
        const room = Math.min(chunkBytes, bytes.length - at, allowance)
        const alive = death === undefined ? room : Math.min(room, death - at)
        if (death !== undefined && at >= death) {
          death = undefined
          throw new NearcastError('store-failed', 'the connection was cut')
        }
        if (alive <= 0) {
          await Promise.race([changed.promise, aborted(signal)])
          continue
        }
        allowance -= alive
        given += alive
        at += alive
        yield bytes.subarray(at - alive, at)
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      ended.push(at)
    }
  }

  return {
    description: 'gated',
    chunkBytes,
    reads,
    stats,
    ended,
    get fetchedBytes() {
      return given
    },
    async release(bytes) {
      allowance += bytes
      wake()
      await new Promise((resolve) => setImmediate(resolve))
    },
    open() {
      allowance = Number.POSITIVE_INFINITY
      wake()
    },
    dieAfter(bytes) {
      death = bytes
    },
    replace(key, bytes, dieAfter) {
      held.set(key, { bytes, version: (held.get(key)?.version ?? 0) + 1 })
      death = dieAfter
    },
    stat: async (key) => {
      stats.push(key)
      return infoOf(key)
    },
    async read(key, { range, ifMatch, signal }): Promise<ObjectRead> {
      const info = infoOf(key)
      const bytes = held.get(key)?.bytes
      if (!info || !bytes) throw new NearcastError('object-not-found', key)
      const suffix = range && 'suffix' in range ? range.suffix : undefined
      const first = range && 'start' in range ? range.start : 0
      const start = suffix === undefined ? first : Math.max(0, info.size - suffix)
      const last = range && 'start' in range ? range.end : undefined
      reads.push(suffix === undefined ? `${first}-${last ?? ''}` : `-${suffix}`)
      if (ifMatch !== undefined && (ifMatch !== info.etag || weak))
        throw new NearcastError('object-changed', `${key}: expected ${ifMatch}, got ${info.etag}`)
      if (range && start >= info.size) throw new NearcastError('range-not-satisfiable', key)
      const end = Math.min(info.size, (last ?? info.size - 1) + 1)
      return { info, start, length: end - start, body: pull(bytes.subarray(start, end), signal) }
    },
    write: () => Promise.reject(new NearcastError('store-denied', 'read only')),
    list: () => Promise.resolve({ objects: [], prefixes: [] }),
    remove: () => Promise.reject(new NearcastError('store-denied', 'read only')),
    close: () => Promise.resolve(),
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
