import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import type { Origin } from '../../server/http/message.ts'
import { collect } from '../../server/lib/bytes.ts'
import { type Log, silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import type { ObjectStore, ReadOptions } from '../../server/storage/object-store.ts'
import { createVodOrigin, type VodOrigin } from '../../server/vod/origin.ts'
import { FakeClock } from '../support/fake-clock.ts'

/** A store that counts, and can be told to wait before each read. */
export interface CountingStore extends ObjectStore {
  readonly reads: ReadOptions[]
  readonly stats: string[]
  before: (options: ReadOptions) => Promise<void>
}

export function countReads(store: ObjectStore): CountingStore {
  const counting: CountingStore = {
    ...store,
    reads: [],
    stats: [],
    before: async () => {},
    stat(key, signal) {
      counting.stats.push(key)
      return store.stat(key, signal)
    },
    async read(key, options) {
      counting.reads.push(options)
      await counting.before(options)
      return store.read(key, options)
    },
  }
  return counting
}

export interface Shelf {
  readonly origin: VodOrigin
  readonly store: CountingStore
  readonly clock: FakeClock
  put(key: string, bytes: Uint8Array): Promise<void>
}

/** An origin over a store in memory that holds these films. */
export async function shelfWith(
  films: Readonly<Record<string, string | Uint8Array>>,
  { maxIndexBytes, log = silentLog }: { readonly maxIndexBytes?: number; readonly log?: Log } = {},
): Promise<Shelf> {
  const clock = new FakeClock()
  const store = countReads(openMemoryStore({ clock }))
  const options = { store, clock, log, metrics: new Metrics(), maxIndexBytes }
  const put = async (key: string, bytes: Uint8Array) => {
    await store.write(key, bytes, { signal: NEVER })
  }
  for (const [key, film] of Object.entries(films)) {
    await put(key, typeof film === 'string' ? await readFile(film) : film)
  }
  return { origin: createVodOrigin(options), store, clock, put }
}

export const NEVER = new AbortController().signal

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly bytes: Buffer
  readonly text: string
}

export async function ask(
  { origin }: { readonly origin: Origin },
  path: string,
  request: {
    readonly method?: string
    readonly headers?: Record<string, string>
    readonly signal?: AbortSignal
  } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, signal = new AbortController().signal } = request
  const response = await origin.fetch({ method, path, query: '', headers, body: null, signal })
  if (response.kind !== 'message') throw new Error('an upgrade')
  const { body, status } = response
  const bytes =
    body === null
      ? Buffer.alloc(0)
      : body instanceof Uint8Array
        ? Buffer.from(body)
        : await collect(body)
  return { status, headers: response.headers, bytes, text: bytes.toString('utf8') }
}

export interface Played {
  readonly master: string
  readonly playlist: string
  readonly segments: readonly { readonly seconds: number; readonly bytes: Buffer }[]
  readonly init: Buffer
}

/** Fetches what a player would of the first rendition, or the one whose URI has `rendition` in it. */
export async function playFilm(shelf: Shelf, key: string, rendition = ''): Promise<Played> {
  const master = await ask(shelf, `/vod/${key}/index.m3u8`)
  if (master.status !== 200) throw new Error(master.text)
  const uris = master.text.match(/[^\s"/]+\/[a-z0-9]+\.m3u8/g) ?? []
  const uri = uris.find((candidate) => candidate.includes(rendition))
  if (uri === undefined) throw new Error(`no ${rendition} in ${master.text}`)
  const { text: playlist } = await ask(shelf, `/vod/${key}/${uri}`)
  const read = readPlaylist(playlist)
  if (read.kind !== 'media') throw new Error('not a media playlist')
  const base = `/vod/${key}/${uri.split('/')[0]}`
  const segments = []
  let init: Buffer = Buffer.alloc(0)
  for (const segment of read.segments) {
    if (segment.map !== undefined && init.length === 0) {
      init = (await ask(shelf, `${base}/${segment.map}`)).bytes
    }
    const { bytes, status, headers } = await ask(shelf, `${base}/${segment.uri}`)
    if (status !== 200) throw new Error(`${segment.uri}: ${status} ${bytes.toString()}`)
    if (headers['content-length'] !== String(bytes.length)) throw new Error('a wrong length')
    segments.push({ seconds: segment.durationSeconds, bytes })
  }
  return { master: master.text, playlist, segments, init }
}

/** Init section and segments as one file; gives its path. */
export async function asFile(played: Played, name: string): Promise<string> {
  const path = join(tmpdir(), `nearcast-vod-${process.pid}-${name}.mp4`)
  await writeFile(path, Buffer.concat([played.init, ...played.segments.map(({ bytes }) => bytes)]))
  return path
}
