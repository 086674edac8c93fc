import type { Clock } from '../lib/clock.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { orAborted, withDeadline } from '../lib/deadline.ts'
import type { Film } from './film.ts'
import { LoadMemory } from './load-memory.ts'
import { readFilm } from './read-film.ts'

export interface FilmShelfOptions {
  readonly store: ObjectStore
  readonly clock: Clock
  readonly log: Log
  /** Indexes kept, in bytes; the one in use stays even when it alone is more. */
  readonly maxBytes: number
  readonly onLoad: () => void
  /** What films that are being opened take at once. */
  readonly loadBytes?: number | undefined
}

interface Shelved {
  readonly film: Film
  /** When the store last said that this is the object's version. */
  checkedAt: number
}

interface Loading {
  readonly film: Promise<Film>
  readonly controller: AbortController
  waiting: number
}

const LOAD_DEADLINE_MS = 30_000
const STAT_DEADLINE_MS = 10_000
/** A player asks for two playlists and an init section within this; one look at the object serves them all. */
const CHECKED_MS = 1000
/** Loads at a time: each holds the head and the tail of its file. */
const LOADS_MAX = 64
/** The largest index and its tables (192 and 256 MiB) have room alone, and of hours of film some together. */
const LOAD_BYTES = 512 * 1024 * 1024

/** The indexes of the films asked for, least recently used out first. Requests for one film share one load. */
export class FilmShelf {
  readonly #options: FilmShelfOptions
  readonly #films = new Map<string, Shelved>()
  readonly #loading = new Map<string, Loading>()
  readonly #memory: LoadMemory
  #bytes = 0

  constructor(options: FilmShelfOptions) {
    this.#options = options
    this.#memory = new LoadMemory(options.clock, options.loadBytes ?? LOAD_BYTES)
  }

  get bytes(): number {
    return this.#bytes
  }
  /** Of films that are being opened. */
  get loadBytes(): number {
    return this.#memory.used
  }
  get count(): number {
    return this.#films.size
  }

  /**
   * The film as the object was within `checkedMs`; one that is opened for this is read on to the end of its first segment, unless
   * `fromStart` is false. Throws what `readFilm` throws.
   */
  async current(
    key: string,
    signal: AbortSignal,
    { checkedMs = CHECKED_MS, fromStart = true } = {},
  ): Promise<Film> {
    const { clock, store } = this.#options
    const shelved = this.#films.get(key)
    if (shelved && clock.monotonic() - shelved.checkedAt < checkedMs) return this.#use(key, shelved)
    if (shelved) {
      const info = await withDeadline(clock, STAT_DEADLINE_MS, key, signal, (deadline) =>
        store.stat(key, deadline),
      )
      if (info?.etag === shelved.film.info.etag) {
        shelved.checkedAt = clock.monotonic()
        return this.#use(key, shelved)
      }
      this.#remove(key, shelved.film)
    }
    return this.#load(key, signal, fromStart)
  }

  /** The version named by `hash`, without a look at the object when it is known; throws `media-replaced` when it is not the object's. */
  async version(key: string, hash: string, signal: AbortSignal): Promise<Film> {
    const shelved = this.#films.get(key)
    if (shelved?.film.hash === hash) return this.#use(key, shelved)
    // Another server may have seen a newer version first.
    const film = await this.current(key, signal, { checkedMs: 0, fromStart: false })
    if (film.hash !== hash) {
      throw new NearcastError(
        'media-replaced',
        `${key}: version ${hash} was replaced by ${film.hash}`,
      )
    }
    return film
  }

  /** The store said that the object is another one now. */
  forget(film: Film): void {
    this.#remove(film.key, film)
  }

  #use(key: string, shelved: Shelved): Film {
    if (this.#films.get(key) === shelved) {
      this.#films.delete(key)
      this.#films.set(key, shelved)
    }
    return shelved.film
  }

  /** Whoever waits may leave; the load goes on while anyone is left. */
  async #load(key: string, signal: AbortSignal, fromStart: boolean): Promise<Film> {
    signal.throwIfAborted()
    const loading = this.#loading.get(key) ?? this.#start(key, fromStart)
    loading.waiting += 1
    try {
      return await orAborted(loading.film, signal)
    } finally {
      loading.waiting -= 1
      if (loading.waiting === 0) {
        loading.controller.abort(new NearcastError('unavailable', 'nobody waits any more'))
        if (this.#loading.get(key) === loading) this.#loading.delete(key)
      }
    }
  }

  #start(key: string, fromStart: boolean): Loading {
    if (this.#loading.size >= LOADS_MAX) {
      throw new NearcastError('unavailable', `${LOADS_MAX} films are being opened already`)
    }
    const controller = new AbortController()
    const film = this.#read(key, controller.signal, fromStart)
    const loading: Loading = { film, controller, waiting: 0 }
    this.#loading.set(key, loading)
    loading.film
      .catch(() => {})
      .finally(() => {
        if (this.#loading.get(key) === loading) this.#loading.delete(key)
      })
    return loading
  }

  async #read(key: string, signal: AbortSignal, fromStart: boolean): Promise<Film> {
    const { clock, store, log, onLoad } = this.#options
    onLoad()
    const began = clock.monotonic()
    const reading = { store, clock, fromStart, memory: this.#memory }
    const film = await withDeadline(clock, LOAD_DEADLINE_MS, key, signal, async (deadline) => {
      try {
        return await readFilm(reading, key, deadline)
      } catch (error) {
        // It was replaced while it was read: once more, for the new one.
        if (!hasCode(error, 'object-changed')) throw error
        return readFilm(reading, key, deadline)
      }
    })
    const { notPlayed, truncated, durationSeconds } = film
    const facts = { key, seconds: durationSeconds, ms: Math.round(clock.monotonic() - began) }
    if (notPlayed.length > 0 || truncated)
      log.warn('film opened', { ...facts, notPlayed, truncated })
    else log.debug('film opened', facts)
    if (!signal.aborted) this.#put(key, film)
    return film
  }

  #put(key: string, film: Film): void {
    const former = this.#films.get(key)
    if (former) this.#remove(key, former.film)
    this.#films.set(key, { film, checkedAt: this.#options.clock.monotonic() })
    this.#bytes += film.indexBytes
    for (const [other, shelved] of this.#films) {
      if (this.#bytes <= this.#options.maxBytes || other === key) break
      this.#remove(other, shelved.film)
    }
  }

  #remove(key: string, film: Film): void {
    if (this.#films.get(key)?.film !== film) return
    this.#films.delete(key)
    this.#bytes -= film.indexBytes
  }
}
