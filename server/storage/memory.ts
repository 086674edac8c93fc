import { createHash } from 'node:crypto'
import { collect } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'
import { listPage } from './list-page.ts'
import { checkKey, compareKeys, shown } from './object-key.ts'
import type { ObjectInfo, ObjectStore } from './object-store.ts'
import { pulledBody } from './pulled-body.ts'
import { checkRange, locateRange } from './read-range.ts'
import { writtenBody } from './written-body.ts'

const CHUNK_BYTES = 256 * 1024

interface Stored {
  readonly info: ObjectInfo
  readonly bytes: Uint8Array
}

/** Objects in this process's memory, for tests and for what need not last; holds all that is written to it. */
export function openMemoryStore({ clock }: { readonly clock: Clock }): ObjectStore {
  const stored = new Map<string, Stored>()
  return {
    description: 'memory',

    async stat(key, signal) {
      checkKey(key)
      signal.throwIfAborted()
      return stored.get(key)?.info
    },

    async read(key, { range, ifMatch, signal }) {
      checkKey(key)
      checkRange(range)
      signal.throwIfAborted()
      const object = stored.get(key)
      if (!object)
        throw new NearcastError('object-not-found', `${shown(key)}: there is no such object`)
      const { info, bytes } = object
      if (ifMatch !== undefined && ifMatch !== info.etag)
        throw new NearcastError(
          'object-changed',
          `${shown(key)}: expected "${ifMatch}", got "${info.etag}"`,
        )
      const { start, length } = locateRange(key, range, info.size)
      let at = start
      const pull = async () => {
        const end = Math.min(at + CHUNK_BYTES, start + length)
        const chunk = at < end ? bytes.subarray(at, end) : undefined
        at = end
        return chunk
      }
      return { info, start, length, body: pulledBody({ pull, release: () => {}, signal }) }
    },

    async write(key, body, options) {
      checkKey(key)
      // What was given stays its giver's.
      const bytes = Buffer.from(await collect(writtenBody(key, body, options)))
      const { contentType } = options
      const etag = createHash('md5').update(bytes).digest('hex')
      const info = { key, size: bytes.length, etag, lastModified: clock.now(), contentType }
      stored.set(key, { info, bytes })
      return info
    },

    async list(prefix, options) {
      options.signal.throwIfAborted()
      const keys = [...stored.keys()].sort(compareKeys)
      return listPage(keys, prefix, options, (key) => stored.get(key)?.info)
    },

    async remove(key, signal) {
      checkKey(key)
      signal.throwIfAborted()
      stored.delete(key)
    },

    async close() {
      stored.clear()
    },
  }
}
