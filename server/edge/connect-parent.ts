import type { Change } from '../distribution/change.ts'
import type { ChangesHeader } from '../distribution/read-change.ts'
import type { Origin } from '../http/message.ts'
import { readBeatFrames } from '../lib/beat-frames.ts'
import { collect } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { fetchFromParent } from './fetch-from-parent.ts'
import { followParent } from './follow-parent.ts'
import { openParentWire } from './parent-wire.ts'

export interface ParentDeps {
  /** Where the parent's face for edges is: `http://HOST:PORT`. */
  readonly url: string
  readonly token: string
  /** A unix socket to reach it by, on the same machine; the address then only names it. */
  readonly socketPath?: string | undefined
  readonly clock: Clock
  readonly log: Log
  /** A tail or change stream that does not even beat for so long is dead; 15 s unless given. */
  readonly stallMs?: number | undefined
  /** The head of an answer comes within 60 s unless given. */
  readonly answerMs?: number | undefined
}

/** Another process whose origins, live windows and changes this edge serves from. */
export interface Parent {
  /** What the parent has at this moment; each works as if it were here. */
  origins(): Promise<readonly Origin[]>
  /** One origin whose traits are known already. */
  origin(id: string, traits: Omit<Origin, 'id' | 'fetch'>): Origin
  /**
   * The bytes of a live window from now on; undefined when nobody publishes it.
   * The iteration throws `origin-timeout` when the parent falls silent and `origin-failed` when the connection breaks.
   */
  tail(name: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined>
  /** A header, then changes; after each break a header again. Ends only by the signal or `close`. */
  followChanges(
    after: { readonly epoch: string; readonly seq: number } | undefined,
    signal: AbortSignal,
  ): AsyncIterable<ChangesHeader | Change>
  /** Says that the changes up to `EPOCH:SEQ` are in force at an edge, or that it leaves; `by` names its process. */
  acknowledge(
    said: {
      readonly edge: string
      readonly by: string
      readonly at: string
      readonly leaving: boolean
    },
    signal: AbortSignal,
  ): Promise<void>
  /** Breaks every request, tail and change stream. */
  close(): Promise<void>
}

const STALL_MS = 15_000
const ORIGINS_BYTES_MAX = 1024 * 1024

/** Connects to a parent's face (`origin/`). Nothing is sent before something is asked for. */
export function connectParent(deps: ParentDeps): Parent {
  const wire = openParentWire({ ...deps, stallMs: deps.stallMs ?? STALL_MS })
  const closed = new AbortController()
  const origin: Parent['origin'] = (id, traits) => ({
    id,
    ...traits,
    fetch: (request) => fetchFromParent(wire, id, request),
  })
  return {
    origins: async () => {
      const body = await wire.stream('/v1/origins', closed.signal)
      const text = (await collect(body, ORIGINS_BYTES_MAX)).toString()
      return readOrigins(text, deps.url).map(({ id, ...traits }) => origin(id, traits))
    },
    origin,
    tail: async (name, signal) => {
      try {
        const path = `/v1/live/${encodeURIComponent(name)}/tail`
        return readBeatFrames(await wire.stream(path, signal))
      } catch (error) {
        if (hasCode(error, 'stream-not-live')) return undefined
        throw error
      }
    },
    followChanges: (after, signal) =>
      followParent(wire, deps, after, AbortSignal.any([signal, closed.signal])),
    acknowledge: async ({ edge, by, at, leaving }, signal) => {
      const path = `/v1/edges/${encodeURIComponent(edge)}/applied?at=${at}&by=${by}`
      const answer = await wire.send({
        method: leaving ? 'DELETE' : 'PUT',
        path,
        headers: {},
        body: null,
        signal,
      })
      await answer.body.dump()
    },
    close: async () => {
      closed.abort(new NearcastError('unavailable', 'the edge is stopping'))
      await wire.close()
    },
  }
}

function readOrigins(text: string, url: string): readonly Omit<Origin, 'fetch'>[] {
  const failed = new NearcastError('origin-failed', `${url} sent no list of origins`)
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    throw failed
  }
  if (!Array.isArray(list) || !list.every(isOriginTraits)) throw failed
  return list
}

function isOriginTraits(value: unknown): value is Omit<Origin, 'fetch'> {
  if (typeof value !== 'object' || value === null) return false
  if (!('id' in value && 'caching' in value && 'ranges' in value && 'keyQuery' in value))
    return false
  const { id, caching, ranges, keyQuery } = value
  return (
    typeof id === 'string' &&
    (caching === 'none' || caching === 'shared') &&
    typeof ranges === 'boolean' &&
    Array.isArray(keyQuery) &&
    keyQuery.every((name) => typeof name === 'string')
  )
}
