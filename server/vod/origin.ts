import { evaluateConditions } from '../http/conditionals.ts'
import { formatHttpDate } from '../http/dates.ts'
import { formatEntityTag } from '../http/etag.ts'
import type {
  Body,
  Fields,
  Origin,
  OriginMessage,
  OriginRequest,
  OriginResponse,
} from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import { failureLogOf } from '../lib/failure-log.ts'
import { inTurns } from '../lib/in-turns.ts'
import type { Log } from '../lib/log.ts'
import type { CountingMetric, Metrics } from '../lib/metrics.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { parseVodAddress, type VodAddress } from './address.ts'
import type { Film, Rendition } from './film.ts'
import { FilmShelf } from './film-shelf.ts'
import { writeMaster, writeMedia } from './playlists.ts'
import { type FilmReport, reportOf } from './probe.ts'
import { answerRecording, type Recordings, SKIP_QUERY } from './recording-answer.ts'
import { refusal } from './refusal.ts'
import { initSection, layOutSegment } from './segment.ts'
import { sendSegment } from './send-segment.ts'

export interface VodOriginOptions {
  /** Where the films are; read only. */
  readonly store: ObjectStore
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** What plays under `/vod/recordings/`; without, it is looked for like any film. */
  readonly recordings?: Recordings | undefined
  /** Memory for the indexes of films; default 256 MiB. */
  readonly maxIndexBytes?: number | undefined
}

export interface VodOrigin extends Origin {
  /** What a stored file is and how it will be played; throws what a viewer would get as an error. */
  probe(key: string, signal: AbortSignal): Promise<FilmReport>
}

const DEFAULT_INDEX_BYTES = 256 * 1024 * 1024
const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl'
/**
 * The master is the one name that goes on to mean the newest version: kept for long it names one whose segments are gone. A second is
 * enough for all who come at once; after it a 304 is made of what is in memory.
 */
const MASTER_CACHING = 'public, max-age=1'
/** RFC 8246: everything else names its version. */
const VERSION_CACHING = 'public, max-age=31536000, immutable'

/** The origin `vod`: HLS made just in time of stored MP4 and MOV files, at `/vod/KEY/index.m3u8`. */
export function createVodOrigin(options: VodOriginOptions): VodOrigin {
  const { store, clock, log, metrics } = options
  const counters = {
    loads: metrics.counter('vod_index_loads_total', 'Film indexes read from the store'),
    segments: metrics.counter('vod_segments_total', 'Segments made'),
    mended: metrics.counter('vod_pictures_mended_total', 'Damaged pictures put right'),
  }
  const shelf = new FilmShelf({
    store,
    clock,
    log: log.with({ part: 'vod' }),
    maxBytes: options.maxIndexBytes ?? DEFAULT_INDEX_BYTES,
    onLoad: () => counters.loads.add(),
  })
  metrics.gauge('vod_index_bytes', 'Memory of film indexes', () => shelf.bytes)
  const context = { store, clock, log, shelf, recordings: options.recordings, ...counters }
  return {
    id: 'vod',
    caching: 'shared',
    ranges: false,
    keyQuery: options.recordings ? [SKIP_QUERY] : [],
    fetch: (request) => fetchVod(context, request),
    probe: async (key, signal) => reportOf(await shelf.current(key, signal, { fromStart: false })),
  }
}

interface Context {
  readonly store: ObjectStore
  readonly clock: Clock
  readonly log: Log
  readonly shelf: FilmShelf
  readonly recordings: Recordings | undefined
  readonly segments: CountingMetric
  readonly mended: CountingMetric
}

async function fetchVod(context: Context, request: OriginRequest): Promise<OriginResponse> {
  try {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw new NearcastError('method-not-allowed', `${request.method} of stored media`)
    }
    const recorded = context.recordings && (await answerRecording(context.recordings, request))
    if (recorded) return recorded
    const address = parseVodAddress(request.path)
    if (address !== undefined) return await answer(context, request, address)
  } catch (error) {
    if (!(error instanceof NearcastError) || request.signal.aborted) throw error
    if (error.status >= 500)
      failureLogOf(context).warn(`vod ${error.code}`, 'stored media failed', {
        path: request.path,
        error: error.message,
      })
    return refusal(error, request.method)
  }
  // Thrown, which shows browsers a page: people come here who take this for the address of a film to watch.
  throw new NearcastError(
    'not-found',
    `${request.path} is not KEY/index.m3u8 or a part of it; a film is watched at /watch/vod/KEY`,
  )
}

async function answer(
  context: Context,
  request: OriginRequest,
  address: VodAddress,
): Promise<OriginMessage> {
  const { shelf } = context
  if (address.kind === 'master') {
    const film = await shelf.current(address.key, request.signal)
    const body = Buffer.from(writeMaster(film))
    return message(request, film, 'index', PLAYLIST_TYPE, MASTER_CACHING, body.length, () => body)
  }
  const film = await shelf.version(address.key, address.hash, request.signal)
  const rendition = film.renditions.find(({ id }) => id === address.rendition)
  if (rendition === undefined) throw noSuchPart(address)
  if (address.kind === 'segment') return segmentAnswer(context, request, film, rendition, address)
  const { clock } = context
  const body =
    address.kind === 'playlist'
      ? Buffer.from(await inTurns(writeMedia(film, rendition), clock, request.signal))
      : initSection(rendition, address.description)
  if (body === undefined) throw noSuchPart(address)
  const name = address.kind === 'playlist' ? rendition.id : `${rendition.id}.${address.description}`
  const type = address.kind === 'playlist' ? PLAYLIST_TYPE : mediaType(rendition)
  return message(request, film, name, type, VERSION_CACHING, body.length, () => body)
}

async function segmentAnswer(
  context: Context,
  request: OriginRequest,
  film: Film,
  rendition: Rendition,
  address: VodAddress & { readonly kind: 'segment' },
): Promise<OriginMessage> {
  const { segment } = address
  if (segment >= rendition.segmentCount) throw noSuchPart(address)
  const layout = await inTurns(layOutSegment(rendition, segment), context.clock, request.signal)
  const open = async () => {
    context.segments.add()
    try {
      return await sendSegment(context, film, layout, request.signal)
    } catch (error) {
      if (!hasCode(error, 'object-changed') && !hasCode(error, 'object-not-found')) throw error
      context.shelf.forget(film)
      // The index is read again: a store may have told another etag for the same bytes.
      const now = await context.shelf.version(film.key, film.hash, request.signal)
      return sendSegment(context, now, layout, request.signal)
    }
  }
  const name = `${rendition.id}-${segment}`
  return message(request, film, name, mediaType(rendition), VERSION_CACHING, layout.length, open)
}

async function message(
  request: OriginRequest,
  film: Film,
  name: string,
  type: string,
  caching: string,
  length: number,
  body: () => Body | Promise<Body>,
): Promise<OriginMessage> {
  const etag = formatEntityTag(`${film.hash}-${name}`)
  const { lastModified } = film.info
  const validators = {
    etag,
    'last-modified': formatHttpDate(lastModified),
    'cache-control': caching,
  }
  const { method, headers } = request
  const condition = evaluateConditions({ method, headers, etag, lastModified })
  if (condition === 'precondition-failed') {
    throw new NearcastError('precondition-failed', `${film.key} has another entity tag or date`)
  }
  if (condition === 'not-modified') return response(304, validators, null)
  const fields = { ...validators, 'content-type': type, 'content-length': String(length) }
  return response(200, fields, method === 'HEAD' ? null : await body())
}

function response(status: number, headers: Fields, body: Body): OriginMessage {
  return { kind: 'message', status, headers, body }
}

function noSuchPart({ key }: VodAddress): NearcastError {
  return new NearcastError('not-found', `${key} has no such part`)
}

function mediaType(rendition: Rendition): string {
  const hasVideo = rendition.parts.some(({ track }) => track.source.handler === 'vide')
  return hasVideo ? 'video/mp4' : 'audio/mp4'
}
