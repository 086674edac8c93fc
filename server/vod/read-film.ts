import { type Container, detectContainer } from '../formats/isobmff/detect-container.ts'
import { readBoxHeader } from '../formats/isobmff/read-boxes.ts'
import { type Movie, type MovieTrack, readMovieInSteps } from '../formats/isobmff/read-movie.ts'
import { tableMemory } from '../formats/isobmff/read-tables.ts'
import type { SampleTable } from '../formats/isobmff/sample-table.ts'
import { collect } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import { forEntries, type Steps, Turns } from '../lib/in-turns.ts'
import type { ObjectRead, ObjectStore } from '../storage/object-store.ts'
import { chooseTracks } from './choose-tracks.ts'
import { type Film, makeFilm } from './film.ts'
import { FilmStart, READ_ON_MS } from './film-start.ts'
import type { LoadMemory, MemoryShare } from './load-memory.ts'
import { ObjectWindow } from './object-window.ts'
import { layOutSegment } from './segment.ts'
import { collectFragments } from './walk-fragments.ts'

/**
 * Read at the same time on first touch. 512 KiB hold the index of about 12 minutes of film with sound, wherever it lies; a longer
 * one costs one more read, for exactly what is missing.
 */
const HEAD_BYTES = 512 * 1024
const TAIL_BYTES = 512 * 1024
/** For who plays from the start: with the first segment of most films in it, or its beginning. */
const PLAYED_HEAD_BYTES = 2 * 1024 * 1024
/** Of a longer first segment so much is read ahead. */
const READ_AHEAD_BYTES = 8 * 1024 * 1024
/**
 * An index is read without a stop for so long, which is enough for half an hour of film: in turns its viewer would wait for the media that
 * arrives meanwhile, 30 ms from a store that is 30 ms away.
 */
const FIRST_TURN_MS = 40
/** What tells containers apart. */
const CONTAINER_BYTES = 1024

export interface FilmLimits {
  /** Of a moov box. */
  readonly moovBytes: number
  /** Samples of a fragmented file. */
  readonly fragmentSamples: number
  /** Memory of their tables. */
  readonly fragmentBytes: number
}

/** 100 hours of film have about 60 MB; what claims more would cost more memory than a server has to spare. */
export const FILM_LIMITS: FilmLimits = {
  moovBytes: 192 * 1024 * 1024,
  fragmentSamples: 16_000_000,
  fragmentBytes: 192 * 1024 * 1024,
}

export interface FilmReading {
  readonly store: ObjectStore
  readonly clock: Clock
  /** Shared with all that are being opened. */
  readonly memory: LoadMemory
  /** Someone is about to play it from the start: what the first segment needs is read on, into the store that keeps what it reads. */
  readonly fromStart: boolean
  readonly limits?: FilmLimits | undefined
}

/**
 * Reads what is needed to play the object: two reads at once, a third for a long index, then what fragments need.
 * Throws `object-not-found`, `media-unsupported`, `media-encrypted`, `media-broken`, `object-changed`, `unavailable` when too much is
 * being opened, and the store's errors.
 */
export async function readFilm(
  reading: FilmReading,
  key: string,
  signal: AbortSignal,
): Promise<Film> {
  const { store, fromStart } = reading
  using share = reading.memory.share(signal)
  const tailGivenUp = new AbortController()
  const tail = openTail(store, key, AbortSignal.any([signal, tailGivenUp.signal]))
  let head: FilmStart | undefined
  try {
    head = await FilmStart.open(reading, key, fromStart ? PLAYED_HEAD_BYTES : HEAD_BYTES, signal)
    const { film, turns } = await readIndex(reading, { key, head, tail, share }, signal)
    if (fromStart) readOn(reading, film, head, await turns.run(firstSegmentEnd(film)))
    else head.close()
    return film
  } catch (error) {
    head?.close()
    throw hasCode(error, 'range-not-satisfiable')
      ? new NearcastError('media-broken', `${key}: the file is empty`)
      : error
  } finally {
    tailGivenUp.abort()
  }
}

interface Opened {
  readonly key: string
  readonly head: FilmStart
  readonly tail: Promise<Part>
  readonly share: MemoryShare
}

async function readIndex(
  reading: FilmReading,
  { key, head, tail, share }: Opened,
  signal: AbortSignal,
): Promise<{ readonly film: Film; readonly turns: Turns }> {
  const { clock, limits = FILM_LIMITS } = reading
  // RFC 9110 §8.8.1: no two reads of it are known to be of the same bytes, and each segment is a read.
  if (head.info.weak)
    throw new NearcastError(
      'media-unsupported',
      `${key}: its store gives weak entity tags; a proxy that changes bodies stands before it`,
    )
  const window = new ObjectWindow(reading, head.info, signal)
  const reserve = (bytes: number) => share.grow(bytes, () => window.forget())
  const begin = async (length: number) => window.add(0, await head.atLeast(length))
  await begin(CONTAINER_BYTES)
  checkContainer(key, detectContainer(window.have(0, CONTAINER_BYTES) ?? NOTHING))
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
  /** Waits for what was asked for already before something is asked for again. */
  const arrive = async (start: number, length: number) => {
    if (!window.have(start, length) && start < head.length) await begin(start + length)
    if (!window.have(start, length)) await join()
  }
  const place = await findMovie(window, { arrive, reserve }, limits)
  const { start, end } = place
  const turns = new Turns(clock, signal, clock.monotonic() + FIRST_TURN_MS)
  const movie = await turns.run(readMovieInSteps(place.moov))
  if (!movie.fragmentDefaults) await turns.run(checkSamplesOutside(movie, start, end))
  if (movie.fragmentDefaults) {
    await begin(head.length)
    await join()
  }
  const fragments =
    movie.fragmentDefaults && (await collectFragments(window, movie, end, { limits, share, turns }))
  function* tableOf({ id, samples }: MovieTrack): Steps<SampleTable> {
    const collected = fragments && (yield* fragments.collector.takeTable(id))
    return collected ?? samples
  }
  const choice = await turns.run(chooseTracks(movie, tableOf, head.info.size))
  const truncated = choice.truncated || fragments?.truncated === true
  const film = await turns.run(makeFilm(key, head.info, { ...choice, truncated }))
  return { film, turns }
}

/** Reads on to the end of the first segment; nobody waits for it, and a failure is met again by whoever asks for the segment. */
function readOn({ store, clock }: FilmReading, film: Film, head: FilmStart, end: number): void {
  head.readOn(end)
  if (end <= head.length) return
  const given = new AbortController()
  const range = { start: head.length, end: Math.min(end, head.length + READ_AHEAD_BYTES) - 1 }
  const timer = clock.after(READ_ON_MS, () => given.abort())
  store
    .read(film.key, { range, ifMatch: film.info.etag, signal: given.signal })
    .then(async ({ body }) => {
      for await (const _ of body);
    })
    .catch(() => {})
    .finally(() => timer[Symbol.dispose]())
}

/** Behind the last byte of the first segment; 0 where that is scattered over the file. */
function* firstSegmentEnd({ variants }: Film): Steps<number> {
  const rendition = variants[0]?.rendition
  if (rendition === undefined || rendition.segmentCount === 0) return 0
  try {
    const { reads } = yield* layOutSegment(rendition, 0)
    return reads.length === 1 ? (reads[0]?.end ?? 0) : 0
  } catch {
    // Whoever asks for the segment is told what is wrong with it.
    return 0
  }
}

interface Part {
  readonly info: ObjectRead['info']
  readonly start: number
  readonly bytes: Uint8Array
}

/** Never rejects unseen: most files whose index is in front give it up. */
function openTail(store: ObjectStore, key: string, signal: AbortSignal): Promise<Part> {
  const tail = readTail(store, key, signal)
  tail.catch(() => {})
  return tail
}

async function readTail(store: ObjectStore, key: string, signal: AbortSignal): Promise<Part> {
  const read = await store.read(key, { range: { suffix: TAIL_BYTES }, signal })
  return { info: read.info, start: read.start, bytes: await collect(read.body, TAIL_BYTES) }
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
function* checkSamplesOutside(movie: Movie, start: number, end: number): Steps<undefined> {
  for (const { id, samples } of movie.tracks) {
    const { offset } = samples.chunks
    yield* forEntries(offset.length, (from, to) => {
      for (let i = from; i < to; i += 1) {
        const at = offset[i] ?? 0
        if (at < start || at >= end) continue
        throw new NearcastError(
          'media-broken',
          `track ${id} has samples inside the file's own index`,
        )
      }
    })
  }
}

interface Arriving {
  /** Waits for what is on its way. */
  readonly arrive: (start: number, length: number) => Promise<void>
  /** Before so many bytes are read or made in all. */
  readonly reserve: (bytes: number) => Promise<void>
}

/** Walks the boxes of the file to its moov. */
async function findMovie(
  window: ObjectWindow,
  { arrive, reserve }: Arriving,
  limits: FilmLimits,
): Promise<{ readonly moov: Uint8Array; readonly start: number; readonly end: number }> {
  const { size } = window.info
  let ahead = AHEAD_BYTES
  const get = async (start: number, length: number) => {
    await arrive(start, length)
    if (window.have(start, length)) return window.get(start, length)
    await reserve(Math.max(length, ahead))
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
      await reserve(end - at + tableMemory(end - at))
      return { moov: await get(at, end - at), start: at, end }
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

const NOTHING = new Uint8Array(0)
