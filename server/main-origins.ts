import type { Cache } from './cache/cache.ts'
import type { OriginOptions } from './distribution/types.ts'
import { createCachedStore } from './edge/cached-store.ts'
import { groupOrigin } from './edge/group-origin.ts'
import { type ClosableOrigin, httpOrigin } from './edge/http-origin.ts'
import { objectStoreOrigin } from './edge/object-store-origin.ts'
import type { Origin } from './http/message.ts'
import type { Clock } from './lib/clock.ts'
import { assertNever, describeError, hasCode, NearcastError } from './lib/errors.ts'
import type { Log } from './lib/log.ts'
import { countedStore } from './storage/counted-store.ts'
import { openFileStore } from './storage/file.ts'
import type { ObjectStore } from './storage/object-store.ts'
import { openS3Store } from './storage/s3.ts'

/**
 * The configured origins as they are now. A changed one is opened anew; what runs in the former one, or in a removed one, goes on to its
 * end, and viewers in the midst of its bodies get the rest from it.
 */
export interface OriginSet {
  get(id: string): Origin | undefined
  list(): readonly Origin[]
  /**
   * The store of an `s3` or `file` origin, read through the cache: whatever the origin is at the moment of each call, which
   * throws `not-found` while it is none of these.
   */
  store(id: string): ObjectStore
  /**
   * Asks each bucket once: what is wrong with it is known before a viewer comes (one sentence each), and the first viewer
   * meets an open connection.
   */
  checkBuckets(signal: AbortSignal): Promise<readonly string[]>
  /** What cannot be opened (a group whose member was removed) is left out with a line in the log, and tried again each time. */
  update(options: Readonly<Record<string, OriginOptions>>): void
  close(): Promise<void>
}

export interface OriginSetDeps {
  readonly cache: Cache
  readonly clock: Clock
  readonly log: Log
  /** Number of the last invalidation: what was learnt of objects before is asked again. */
  readonly invalidationSeq: () => number
}

/** Keys that nobody has: a bucket that can be read says so. Three at once, as many connections as a film opens with. */
function probe(store: ObjectStore, signal: AbortSignal): readonly Promise<unknown>[] {
  const range = { start: 0, end: 0 }
  return [
    store.stat('nearcast-was-here', signal),
    store.read('nearcast-was-here-1', { range, signal }),
    store.read('nearcast-was-here-2', { range, signal }),
  ]
}

/** A replaced film is the new one for who comes later than this; bytes that are read under an etag need no look at the object. */
const KNOWN_MS = 1000

interface Opened {
  readonly options: OriginOptions
  readonly origin: Origin
  readonly cached: ObjectStore | undefined
  /** Resolves when nothing runs in it any more and its connections are gone. */
  readonly retire: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Opens every configured origin; nothing is asked of one before a viewer does. */
export function openOrigins(deps: OriginSetDeps): OriginSet {
  const opened = new Map<string, Opened>()

  const retired = new Set<Opened>()

  const retireOne = (id: string) => {
    const old = opened.get(id)
    if (!old) return
    opened.delete(id)
    retired.add(old)
    old
      .retire()
      .catch((error: unknown) => {
        deps.log.warn('origin did not close', { origin: id, error: describeError(error) })
      })
      .finally(() => retired.delete(old))
  }
  const open = (id: string, options: OriginOptions): Opened => {
    switch (options.kind) {
      case 's3':
        return openStore(id, options, openS3Store(options, deps))
      case 'file':
        return openStore(id, options, openFileStore(options.root, deps))
      case 'http': {
        const origin = httpOrigin(id, options, deps)
        return { options, origin, cached: undefined, ...endsOf(origin) }
      }
      case 'group': {
        const members = options.members.map((member) => memberOf(id, member))
        const origin = groupOrigin(id, members, options, deps)
        return { options, origin, cached: undefined, ...endsOf(origin) }
      }
      default:
        return assertNever(options)
    }
  }
  const openStore = (id: string, options: OriginOptions, opening: ObjectStore): Opened => {
    const store = countedStore(opening)
    return {
      options,
      origin: objectStoreOrigin(id, store),
      cached: createCachedStore({
        ...deps,
        originId: id,
        store,
        probation: true,
        ttlMs: KNOWN_MS,
      }),
      retire: async () => {
        await store.idle()
        await store.close()
      },
      close: () => store.close(),
    }
  }
  const memberOf = (group: string, member: string): Origin => {
    const found = opened.get(member)?.origin
    if (found) return found
    throw new NearcastError(
      'config-invalid',
      `origins.${group}.members: there is no origin ${member}`,
    )
  }

  const storeOf = (id: string): ObjectStore => {
    const store = opened.get(id)?.cached
    if (store) return store
    throw new NearcastError('not-found', `origin ${id} is no bucket and no folder`)
  }
  const tryOpen = (id: string, options: OriginOptions) => {
    try {
      opened.set(id, open(id, options))
    } catch (error) {
      deps.log.error('origin cannot be opened', { origin: id, error: describeError(error) })
    }
  }

  return {
    get: (id) => opened.get(id)?.origin,
    list: () => [...opened.values()].map((one) => one.origin),
    store: (id) => ({
      get description() {
        return storeOf(id).description
      },
      stat: async (key, signal) => storeOf(id).stat(key, signal),
      read: async (key, readOptions) => storeOf(id).read(key, readOptions),
      write: async (key, body, writeOptions) => storeOf(id).write(key, body, writeOptions),
      list: async (prefix, listOptions) => storeOf(id).list(prefix, listOptions),
      remove: async (key, signal) => storeOf(id).remove(key, signal),
      close: async () => {},
    }),
    checkBuckets: async (signal) => {
      const buckets = [...opened].filter(([, one]) => one.options.kind === 's3')
      const said = await Promise.all(
        buckets.map(async ([id, one]) => {
          const answers = await Promise.allSettled(one.cached ? probe(one.cached, signal) : [])
          const wrong = answers.find(
            (answer) => answer.status === 'rejected' && !hasCode(answer.reason, 'object-not-found'),
          )
          return wrong?.status === 'rejected'
            ? [`origins.${id}: ${describeError(wrong.reason)}`]
            : []
        }),
      )
      return said.flat()
    },
    update: (options) => {
      const entries = Object.entries(options)
      const stale = new Set(
        [...opened].filter(([id, one]) => options[id] !== one.options).map(([id]) => id),
      )
      // A group holds on to its members: a changed member makes the group new as well.
      for (const [id, { kind, members }] of entries.map(
        ([id, one]) =>
          [id, { kind: one.kind, members: one.kind === 'group' ? one.members : [] }] as const,
      ))
        if (kind === 'group' && members.some((member) => stale.has(member))) stale.add(id)
      for (const id of stale) retireOne(id)
      for (const groups of [false, true])
        for (const [id, one] of entries)
          if ((one.kind === 'group') === groups && !opened.has(id)) tryOpen(id, one)
    },
    close: async () => {
      await Promise.all([...opened.values(), ...retired].map((one) => one.close()))
      opened.clear()
    },
  }
}

function endsOf(origin: ClosableOrigin): Pick<Opened, 'retire' | 'close'> {
  return { retire: () => origin.retire(), close: () => origin.close() }
}
