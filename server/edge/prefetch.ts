import type { StoredObject } from '../cache/stored-object.ts'
import { readPlaylist } from '../formats/m3u8/read-playlist.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import { iterate } from './cached-store.ts'
import type { EdgeContext } from './edge-context.ts'
import { sourceOf } from './fetch-object.ts'
import { type Exchange, matchRequest } from './match-request.ts'
import { dropBody } from './stored-answer.ts'

/** Media playlists that are followed, the last asked for; each costs its addresses. */
const PLAYLISTS_MAX = 200
const PLAYLIST_BYTES_MAX = 1024 * 1024
const SEGMENTS_MAX = 50_000
/** Of all addresses that are known, and of one playlist's: a long folder stands in each of them again. */
const ADDRESS_CHARS_MAX = 16 * 1024 * 1024
const PLAYLIST_CHARS_MAX = 4 * 1024 * 1024
/** A larger one is no segment; whoever asks for it gets it as it comes. */
const SEGMENT_BYTES_MAX = 32 * 1024 * 1024
const AT_ONCE = 4
/** One that takes longer comes too late for its viewer, and holds the place of another one. */
const BRING_MS = 60_000
/** Places in one playlist where somebody watches. */
const WATCHED_MAX = 64
const TYPES = /^(?:application\/(?:vnd\.apple\.mpegurl|x-mpegurl)|audio\/(?:x-)?mpegurl)\b/i

interface Followed {
  readonly site: string
  readonly chars: number
  /** Paths with their queries, in order. */
  readonly targets: readonly string[]
  /** Numbers of segments asked for, the last ones. */
  readonly watched: Set<number>
}

/**
 * Fetches the next segment of a playlist that is being watched: one whose last two segments somebody asked for in order. The first of a
 * film therefore costs no read more, and who only looks in fetches nothing for nobody.
 */
export class Prefetch {
  readonly #context: Omit<EdgeContext, 'prefetch'>
  readonly #playlists = new Map<string, Followed>()
  /** Segment's address → its playlist's key and number. */
  readonly #segments = new Map<string, { readonly playlist: string; readonly index: number }>()
  readonly #running = new Set<string>()
  /** Bodies that were read, and what they gave: read again only when it was dropped since. */
  readonly #read = new WeakMap<StoredObject['generation'], Followed | 'nothing'>()
  #chars = 0
  #targets = 0

  constructor(context: Omit<EdgeContext, 'prefetch'>) {
    this.#context = context
  }

  get running(): number {
    return this.#running.size
  }

  /** A viewer has been given this object whole. */
  served(exchange: Exchange, object: StoredObject): void {
    if (exchange.method !== 'GET' || object.facts.status !== 200) return
    if (TYPES.test(typeOf(object))) this.#learn(exchange, object)
    else this.#reached(exchange)
  }

  #learn(exchange: Exchange, object: StoredObject): void {
    const { generation } = object
    const known = this.#playlists.get(exchange.key)
    const read = this.#read.get(generation)
    if (read !== undefined && (read === 'nothing' || read === known)) return
    const text = textOf(object)
    if (text === undefined) return
    const targets = segmentsOf(text, exchange)
    if (known) this.#forget(exchange.key, known)
    this.#read.set(generation, 'nothing')
    if (targets.length < 2) return
    // Numbers move on as a live playlist drops its oldest, so that what was watched is found again by name.
    const places = new Map(targets.map((target, index) => [target, index]))
    const watched = new Set<number>()
    for (const index of known?.watched ?? []) {
      const place = places.get(known?.targets[index] ?? '')
      if (place !== undefined) watched.add(place)
    }
    const site = siteOf(exchange)
    const chars = targets.reduce((sum, target) => sum + site.length + target.length, 0)
    const followed = { site, chars, targets, watched }
    this.#read.set(generation, followed)
    this.#playlists.set(exchange.key, followed)
    this.#chars += chars
    this.#targets += targets.length
    for (const [target, index] of places)
      this.#segments.set(site + target, { playlist: exchange.key, index })
    this.#bound()
    const newest = Math.max(-1, ...watched)
    if (watched.has(newest - 1)) this.#fetch(exchange, targets[newest + 1])
  }

  #reached(exchange: Exchange): void {
    const { path, query } = exchange
    const place = this.#segments.get(siteOf(exchange) + (query === '' ? path : `${path}?${query}`))
    const playlist = place && this.#playlists.get(place.playlist)
    if (!playlist) return
    const { watched, targets } = playlist
    const { index } = place
    watched.delete(index)
    watched.add(index)
    if (watched.size > WATCHED_MAX)
      for (const oldest of watched) {
        watched.delete(oldest)
        break
      }
    if (watched.has(index - 1)) this.#fetch(exchange, targets[index + 1])
  }

  #fetch(exchange: Exchange, target: string | undefined): void {
    const next = target === undefined ? undefined : this.#match(exchange, target)
    if (!next || this.#running.size >= AT_ONCE || this.#running.has(next.key)) return
    const { cache, log } = this.#context.deps
    if (cache.find(next.key, next.selecting)) return
    this.#running.add(next.key)
    this.#bring(next)
      .catch((error: unknown) =>
        log.debug('prefetch failed', { path: next.path, error: describeError(error) }),
      )
      .finally(() => this.#running.delete(next.key))
  }

  async #bring(exchange: Exchange): Promise<void> {
    const { deps, flights } = this.#context
    const late = new AbortController()
    using _ = deps.clock.after(BRING_MS, () =>
      late.abort(new NearcastError('origin-timeout', `not there within ${BRING_MS} ms`)),
    )
    const { signal } = late
    const { fetched, collapsed } = await flights.join(exchange, {
      stale: undefined,
      reason: 'uri-miss',
      signal,
      mayShare: true,
    })
    if (fetched.kind === 'pass') {
      // That of a flight that was joined belongs to the viewer who began it.
      if (!collapsed) await dropBody(fetched.message.body)
      return
    }
    const { generation } = fetched.object
    if ((generation.size ?? 0) > SEGMENT_BYTES_MAX) return
    const sources = { ...deps, position: () => deps.state().position }
    const source = sourceOf(sources, exchange, generation)
    const reader = iterate(generation.read(0, SEGMENT_BYTES_MAX, source), signal)
    while (!(await reader.next()).done);
  }

  /** As the same viewer's player would ask: its address relative to the playlist, on the same host. */
  #match(exchange: Exchange, target: string): Exchange | undefined {
    const { deps } = this.#context
    const { headers } = exchange
    const match = matchRequest({
      method: 'GET',
      target,
      headers: Object.fromEntries(
        Object.entries(headers).filter(([name]) => !OF_ONE_REQUEST.test(name)),
      ),
      distributions: deps.state().distributions,
      origins: deps.origins,
    })
    if (match.kind !== 'matched' || match.exchange.direct) return undefined
    return match.exchange.distribution.id === exchange.distribution.id ? match.exchange : undefined
  }

  #bound(): void {
    while (
      this.#playlists.size > PLAYLISTS_MAX ||
      this.#targets > SEGMENTS_MAX ||
      this.#chars > ADDRESS_CHARS_MAX
    ) {
      const [oldest] = this.#playlists
      if (!oldest) return
      this.#forget(...oldest)
    }
  }

  #forget(key: string, { site, chars, targets }: Followed): void {
    this.#playlists.delete(key)
    this.#chars -= chars
    this.#targets -= targets.length
    for (const target of targets)
      if (this.#segments.get(site + target)?.playlist === key) this.#segments.delete(site + target)
  }
}

/** Addresses in one distribution begin with this; its hosts share what is stored, unless the key names them. */
function siteOf({ distribution }: Exchange): string {
  return `${distribution.id}\n`
}

const OF_ONE_REQUEST = /^(?:range|if-.*)$/

function typeOf({ facts }: StoredObject): string {
  const type = facts.responseFields['content-type']
  return typeof type === 'string' ? type : ''
}

/** The whole text when it is here, small, and not encoded. */
function textOf({ generation, facts }: StoredObject): string | undefined {
  const { size } = generation
  if (size === undefined || size > PLAYLIST_BYTES_MAX || !generation.holds(0, size))
    return undefined
  if (facts.responseFields['content-encoding'] !== undefined) return undefined
  const parts: Buffer[] = []
  for (let at = 0; at < size; ) {
    const slice = generation.sliceAt(at)
    if (!slice) return undefined
    parts.push(slice.bytes.subarray(at - slice.start, slice.filled))
    at = slice.end
  }
  return Buffer.concat(parts).toString('utf8')
}

/** Paths of a media playlist's segments on the same host; [] for what is no playlist, and where segments are pieces of one file. */
function segmentsOf(text: string, { path, query }: Exchange): readonly string[] {
  let playlist: ReturnType<typeof readPlaylist>
  try {
    playlist = readPlaylist(text)
  } catch {
    return []
  }
  if (playlist.kind !== 'media') return []
  const base = new URL(`http://host.invalid${path}${query === '' ? '' : `?${query}`}`)
  const targets = new Set<string>()
  let chars = 0
  for (const { uri } of playlist.segments) {
    if (uri === undefined || !URL.canParse(uri, base)) continue
    const url = new URL(uri, base)
    if (url.host !== base.host) continue
    const target = `${url.pathname}${url.search}`
    chars += target.length
    if (chars > PLAYLIST_CHARS_MAX || targets.size === SEGMENTS_MAX) return []
    targets.add(target)
  }
  return [...targets]
}
