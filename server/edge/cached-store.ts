import type { Cache } from '../cache/cache.ts'
import type { Source } from '../cache/fill.ts'
import type { Generation } from '../cache/generation.ts'
import type { Reader } from '../cache/reader.ts'
import type { Clock } from '../lib/clock.ts'
import { deferred } from '../lib/deferred.ts'
import { NearcastError, hasCode } from '../lib/errors.ts'
import type {
  ObjectInfo,
  ObjectRead,
  ObjectStore,
  ReadOptions,
  ReadRange,
} from '../storage/object-store.ts'
import { generationIdOf } from './store-path.ts'

export interface CachedStoreOptions {
  /** The origin whose cached bytes are shared: the edge's own objects of that origin read and fill the same slices. */
  readonly originId: string
  readonly store: ObjectStore
  readonly cache: Cache
  readonly clock: Clock
  /** How long what is known of an object counts, in milliseconds. */
  readonly ttlMs?: number | undefined
  /** Number of the last invalidation: what was learnt before it is asked again. */
  readonly invalidationSeq?: (() => number) | undefined
  /** Bytes read here go first when room is needed, unless they are read again. */
  readonly probation?: boolean | undefined
}

interface Known {
  readonly info: ObjectInfo
  readonly at: number
  readonly seq: number
}
interface FirstRead {
  readonly info: ObjectInfo
  readonly start: number
  readonly length: number
  readonly generation: Generation
}
interface Pending<T> {
  readonly result: Promise<T>
  readonly controller: AbortController
  waiting: number
}

const TTL_MS = 60_000
const KNOWN_MAX = 10_000
/** A body that nobody began to read for so long gives its place up; it is taken again when the reading begins. */
const UNREAD_MS = 10_000

/**
 * An object store read through the cache. A range that is not here costs exactly one read of the store, as it was asked for; several
 * who ask for the same share it. Reads with `ifMatch` need no fresh knowledge: bytes of an etag never change. Under a weak etag each
 * read is of its own.
 */
export function createCachedStore(options: CachedStoreOptions): ObjectStore {
  const { store, cache, clock, originId } = options
  const ttlMs = options.ttlMs ?? TTL_MS
  const seqNow = options.invalidationSeq ?? (() => 0)
  const known = new Map<string, Known>()
  const stats = new Map<string, Pending<ObjectInfo | undefined>>()
  const firstReads = new Map<string, Pending<FirstRead>>()

  const remember = (info: ObjectInfo, seq: number) => {
    known.delete(info.key)
    // What one read found says nothing of the bytes that another one finds.
    if (info.weak) return
    known.set(info.key, { info, at: clock.now(), seq })
    if (known.size > KNOWN_MAX) for (const oldest of known.keys()) return void known.delete(oldest)
  }
  const fresh = (key: string): ObjectInfo | undefined => {
    const entry = known.get(key)
    if (!entry || entry.seq < seqNow()) return undefined
    const age = clock.now() - entry.at
    return age >= 0 && age < ttlMs ? entry.info : undefined
  }
  const sourceOf = (info: ObjectInfo): Source | undefined => (info.weak ? undefined : pinned(info))
  const pinned = (info: ObjectInfo): Source => ({
    probation: options.probation ?? true,
    clock,
    async open(start, end, signal) {
      const range = { start, end: end - 1 }
      try {
        const read = await store.read(info.key, { range, ifMatch: info.etag, signal })
        return { start: read.start, body: read.body }
      } catch (error) {
        if (!hasCode(error, 'object-not-found') && !hasCode(error, 'object-changed')) throw error
        known.delete(info.key)
        throw changed(info.key, info.etag, undefined, error)
      }
    },
  })
  const generationOf = ({ key, etag, size, weak }: ObjectInfo): Generation =>
    weak
      ? cache.ownGeneration({ etag: undefined, size, rangeable: false })
      : cache.sharedGeneration(generationIdOf(originId, key, etag), { etag, size, rangeable: true })

  const readKnown = (info: ObjectInfo, read: ReadOptions): ObjectRead => {
    const { start, end } = resolveRange(info, read.range)
    const generation = generationOf(info)
    const open = () => generation.read(start, end, sourceOf(info))
    return { info, start, length: end - start, body: bodyOf(open, clock, read.signal) }
  }

  /** The first look at an object: the store's own answer says what it is, and its bytes fill the cache. */
  const firstRead = async (key: string, read: ReadOptions): Promise<ObjectRead> => {
    const name = `${key}\n${read.ifMatch ?? ''}\n${JSON.stringify(read.range ?? null)}`
    const first = await shared(firstReads, name, read.signal, async (controller) => {
      const seq = seqNow()
      const { range, ifMatch } = read
      const got = await store.read(key, { range, ifMatch, signal: controller.signal })
      remember(got.info, seq)
      const generation = generationOf(got.info)
      const hold = generation.hold()
      // All who wait have taken their places by then.
      setImmediate(() => hold[Symbol.dispose]())
      const run = { start: got.start, body: got.body }
      generation.fillFrom(run, got.start + got.length, sourceOf(got.info), controller)
      return { info: got.info, start: got.start, length: got.length, generation }
    })
    const { info, start, length, generation } = first
    const open = () => generation.read(start, start + length, sourceOf(info))
    return { info, start, length, body: bodyOf(open, clock, read.signal) }
  }

  const stat = async (key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> => {
    const info = fresh(key)
    if (info) return info
    return shared(stats, key, signal, async (controller) => {
      const seq = seqNow()
      const asked = await store.stat(key, controller.signal)
      if (asked) remember(asked, seq)
      else known.delete(key)
      return asked
    })
  }

  return {
    description: store.description,
    stat,
    async read(key, read) {
      read.signal.throwIfAborted()
      const info = fresh(key)
      if (info && read.ifMatch !== undefined && info.etag !== read.ifMatch)
        throw changed(key, read.ifMatch, info.etag, undefined)
      if (info) return readKnown(info, read)
      const stale = known.get(key)?.info
      if (stale && stale.etag === read.ifMatch) return readKnown(stale, read)
      if (stale && read.ifMatch === undefined && isHeld(cache, originId, stale, read.range)) {
        const now = await stat(key, read.signal)
        if (now && !now.weak) return readKnown(now, read)
      }
      return firstRead(key, read)
    },
    async write(key, body, write) {
      known.delete(key)
      const info = await store.write(key, body, write)
      remember(info, seqNow())
      return info
    },
    list: (prefix, list) => store.list(prefix, list),
    async remove(key, signal) {
      known.delete(key)
      await store.remove(key, signal)
    },
    close: () => store.close(),
  }
}

function isHeld(
  cache: Cache,
  originId: string,
  info: ObjectInfo,
  range: ReadRange | undefined,
): boolean {
  const id = generationIdOf(originId, info.key, info.etag)
  const { start, end } = resolveRange(info, range)
  return (
    cache.findGeneration(id)?.holds(start, end) === true || cache.rests(id, info.size, start, end)
  )
}

function resolveRange(
  info: ObjectInfo,
  range: ReadRange | undefined,
): { readonly start: number; readonly end: number } {
  const { size } = info
  if (!range) return { start: 0, end: size }
  if ('suffix' in range) {
    if (range.suffix <= 0 || size === 0) throw unsatisfiable(info, `the last ${range.suffix} bytes`)
    return { start: Math.max(0, size - range.suffix), end: size }
  }
  if (range.start >= size) throw unsatisfiable(info, `byte ${range.start}`)
  return { start: range.start, end: Math.min(size, (range.end ?? size - 1) + 1) }
}

function unsatisfiable(info: ObjectInfo, what: string): NearcastError {
  return new NearcastError('range-not-satisfiable', `${info.key}: ${what} of ${info.size}`)
}

function changed(
  key: string,
  expected: string,
  got: string | undefined,
  cause: unknown,
): NearcastError {
  const message = `${key}: expected "${expected}", got ${got === undefined ? 'another' : `"${got}"`}`
  return new NearcastError('object-changed', message, { cause })
}

/** One piece of work for all who ask for it meanwhile; it is aborted when all of them have left. */
async function shared<T>(
  pending: Map<string, Pending<T>>,
  name: string,
  signal: AbortSignal,
  work: (controller: AbortController) => Promise<T>,
): Promise<T> {
  const joined = pending.get(name) ?? begin(pending, name, work)
  const left = deferred<never>()
  const leave = () => {
    left.reject(signal.reason)
    joined.waiting--
    if (joined.waiting > 0) return
    if (pending.get(name) === joined) pending.delete(name)
    joined.controller.abort(signal.reason)
  }
  joined.waiting++
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([joined.result, left.promise])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

function begin<T>(
  pending: Map<string, Pending<T>>,
  name: string,
  work: (controller: AbortController) => Promise<T>,
): Pending<T> {
  const controller = new AbortController()
  const entry: Pending<T> = { result: work(controller), controller, waiting: 0 }
  pending.set(name, entry)
  const settled = () => {
    if (pending.get(name) === entry) pending.delete(name)
  }
  entry.result.then(settled, settled)
  return entry
}

/** Holds its place from the start, so that a fill knows its reader, and frees it when nobody comes. */
function bodyOf(open: () => Reader, clock: Clock, signal: AbortSignal): AsyncIterable<Uint8Array> {
  let waiting: Reader | undefined = open()
  const giveUp = () => {
    waiting?.close()
    waiting = undefined
  }
  const timer = clock.after(UNREAD_MS, giveUp)
  signal.addEventListener('abort', giveUp, { once: true })
  return {
    [Symbol.asyncIterator]() {
      timer[Symbol.dispose]()
      signal.removeEventListener('abort', giveUp)
      const reader = waiting ?? open()
      waiting = undefined
      return iterate(reader, signal)
    },
  }
}

// Not a generator: one that is returned before its first `next` would never close its reader.
/** What a reader is given, in order; closes it at the end, when left, and with the signal. */
export function iterate(reader: Reader, signal: AbortSignal): AsyncIterator<Uint8Array, undefined> {
  const close = () => {
    signal.removeEventListener('abort', close)
    reader.close()
  }
  signal.addEventListener('abort', close, { once: true })
  return {
    async next() {
      try {
        for (;;) {
          signal.throwIfAborted()
          const value = reader.take()
          if (value) return { value, done: false }
          if (reader.done) break
          await reader.ready()
        }
      } catch (error) {
        close()
        throw error
      }
      close()
      return { value: undefined, done: true }
    },
    return() {
      close()
      return Promise.resolve({ value: undefined, done: true as const })
    },
  }
}
