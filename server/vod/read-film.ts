import { type Container, detectContainer } from '../formats/isobmff/detect-container.ts'
import { readBoxHeader } from '../formats/isobmff/read-boxes.ts'
import { type Movie, readMovie } from '../formats/isobmff/read-movie.ts'
import { collect } from '../lib/bytes.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import type { ObjectRead, ObjectStore, ReadRange } from '../storage/object-store.ts'
import { chooseTracks } from './choose-tracks.ts'
import { type Film, makeFilm } from './film.ts'
import { ObjectWindow } from './object-window.ts'
import { collectFragments } from './walk-fragments.ts'

/**
 * Read at the same time on first touch. 512 KiB hold the index of about 12 minutes of film with sound, wherever it lies; a longer
 * one costs one more read, for exactly what is missing. Larger reads would cost short files more than that saves long ones.
 */
const HEAD_BYTES = 512 * 1024
const TAIL_BYTES = 512 * 1024

export interface FilmLimits {
  /** Of a moov box. */
  readonly moovBytes: number
  /** Samples of a fragmented file. */
  readonly fragmentSamples: number
}

/** 100 hours of film have about 60 MB; what claims more would cost more memory than a server has to spare. */
export const FILM_LIMITS: FilmLimits = {
  moovBytes: 192 * 1024 * 1024,
  fragmentSamples: 16_000_000,
}

/**
 * Reads what is needed to play the object: two reads at once, a third for a long index, then what fragments need.
 * Throws `object-not-found`, `media-unsupported`, `media-encrypted`, `media-broken`, `object-changed` and the store's errors.
 */
export async function readFilm(
  store: ObjectStore,
  key: string,
  signal: AbortSignal,
  limits: FilmLimits = FILM_LIMITS,
): Promise<Film> {
  const tailGivenUp = new AbortController()
  const tail = openTail(store, key, AbortSignal.any([signal, tailGivenUp.signal]))
  try {
    const head = await readPart(store, key, { start: 0, end: HEAD_BYTES - 1 }, signal)
    const window = new ObjectWindow(store, head.info, signal)
    window.add(0, head.bytes)
    checkContainer(key, detectContainer(head.bytes))
    let joined = false
    const join = async () => {
      if (joined) return
      joined = true
      const { info, start, bytes } = await tail
      if (info.etag !== head.info.etag) {
        throw new NearcastError('object-changed', `${key}: ${head.info.etag} became ${info.etag}`)
      }
      window.add(start, bytes)
    }
    const { movie, start, end } = await findMovie(window, join, limits)
    if (!movie.fragmentDefaults) checkSamplesOutside(movie, start, end)
    if (movie.fragmentDefaults) await join()
    const fragments =
      movie.fragmentDefaults && (await collectFragments(window, movie, end, limits.fragmentSamples))
    const choice = chooseTracks(
      movie,
      (track) => fragments?.collector.table(track.id) ?? track.samples,
      head.info.size,
    )
    const truncated = choice.truncated || fragments?.truncated === true
    return makeFilm(key, head.info, { ...choice, truncated })
  } catch (error) {
    throw hasCode(error, 'range-not-satisfiable')
      ? new NearcastError('media-broken', `${key}: the file is empty`)
      : error
  } finally {
    tailGivenUp.abort()
  }
}

interface Part {
  readonly info: ObjectRead['info']
  readonly start: number
  readonly bytes: Uint8Array
}

/** Never rejects unseen: most files whose index is in front give it up. */
function openTail(store: ObjectStore, key: string, signal: AbortSignal): Promise<Part> {
  const tail = readPart(store, key, { suffix: TAIL_BYTES }, signal)
  tail.catch(() => {})
  return tail
}

async function readPart(
  store: ObjectStore,
  key: string,
  range: ReadRange,
  signal: AbortSignal,
): Promise<Part> {
  const read = await store.read(key, { range, signal })
  const bytes = await collect(read.body, Math.max(HEAD_BYTES, TAIL_BYTES))
  return { info: read.info, start: read.start, bytes }
}

function checkContainer(key: string, container: Container): void {
  if (container.kind === 'isobmff') return
  if (container.kind === 'unknown') {
    throw new NearcastError('media-unsupported', `${key} is not a media file this server knows`)
  }
  const advice = container.browserPlaysFile
    ? 'browsers play the file itself, from /media'
    : 'put it into MP4'
  throw new NearcastError(
    'media-unsupported',
    `${key} is ${container.name}, which this server does not make into HLS yet: ${advice}`,
  )
}

/** A damaged table whose samples would be the index's own bytes: no decoder makes a picture of them. */
function checkSamplesOutside(movie: Movie, start: number, end: number): void {
  for (const { id, samples } of movie.tracks) {
    for (const at of samples.chunks.offset) {
      if (at < start || at >= end) continue
      throw new NearcastError('media-broken', `track ${id} has samples inside the file's own index`)
    }
  }
}

/** Walks the boxes of the file to its moov. `join` adds the tail. */
async function findMovie(
  window: ObjectWindow,
  join: () => Promise<void>,
  limits: FilmLimits,
): Promise<{ readonly movie: Movie; readonly start: number; readonly end: number }> {
  const { size } = window.info
  let ahead = AHEAD_BYTES
  const get = async (start: number, length: number) => {
    if (!window.have(start, length)) await join()
    if (window.have(start, length)) return window.get(start, length)
    const bytes = await window.get(start, length, ahead)
    ahead = AHEAD_AGAIN_BYTES
    return bytes
  }
  for (let at = 0, boxes = 0; at + 8 <= size; boxes += 1) {
    const header = readBoxHeader(await get(at, 16), 0)
    if (header === undefined) throw new NearcastError('media-broken', `no box at byte ${at}`)
    const end = header.size === undefined ? size : at + header.size
    if (header.type === 'moov') {
      if (end > size) throw cutShort(`its index (moov) goes to byte ${end} of ${size}; ${COPYING}`)
      if (end - at > limits.moovBytes) {
        throw new NearcastError('media-broken', `an index (moov) of ${end - at} bytes`)
      }
      return { movie: readMovie(await get(at, end - at)), start: at, end }
    }
    if (end > size) throw cutShort(`its ${header.type} goes to byte ${end} of ${size}; ${COPYING}`)
    if (boxes > BOXES_BEFORE_MOOV) break
    at = end
  }
  throw cutShort('it has no index (moov)')
}

/** Behind the mdat comes the moov, of a length not known yet: two hours of film have about 5 MB. */
const AHEAD_BYTES = 8 * 1024 * 1024
/** Only the first: of a file with many large boxes before its moov all of them would be read and held. */
const AHEAD_AGAIN_BYTES = 64 * 1024
/** Each may cost a read. */
const BOXES_BEFORE_MOOV = 64
const COPYING = 'if it is still being copied, wait'

function cutShort(how: string): NearcastError {
  return new NearcastError('media-broken', `the file is cut short: ${how}`)
}
