import { formatEntityTag } from '../http/etag.ts'
import type { Body, Fields, OriginMessage, OriginRequest } from '../http/message.ts'
import type { RecordedRendition, RecordingIndex } from '../formats/recording/recording-index.ts'
import { isPlayed } from '../formats/recording/recording-totals.ts'
import { hasCode, NearcastError } from '../lib/errors.ts'
import { parseRecordingAddress, type RecordingAddress } from './recording-address.ts'
import { refusal } from './refusal.ts'
import { playedOf, writeRecordedMaster, writeRecordedMedia } from './recording-playlists.ts'

/** Recordings of live streams and clips of them, wherever their objects are at the moment. */
export interface Recordings {
  /** `key` as `recordings/NAME/START` or `recordings/NAME/clips/ID`; undefined when there is none. */
  find(key: string): Promise<RecordingIndex | undefined>
  /** An object of what was found, `uri` as `EPOCH/FILE`; undefined when it is nowhere. */
  read(
    key: string,
    uri: string,
    signal: AbortSignal,
  ): Promise<{ readonly length: number; readonly body: Body } | undefined>
}

/** Query names that change an answer. */
export const SKIP_QUERY = '_HLS_skip'

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl'
/** What is being recorded grows each second. */
const RUNNING_CACHING = 'public, max-age=1'
/** It never changes, but it may be removed: our edges are told so, foreign caches are not. */
const ENDED_CACHING = 'public, max-age=86400'
/** RFC 8246: the name says which bytes. */
const MEDIA_CACHING = 'public, max-age=31536000, immutable'

/** undefined when the path is none of a recording. Throws what a viewer gets as an error. */
export async function answerRecording(
  recordings: Recordings,
  request: OriginRequest,
): Promise<OriginMessage | undefined> {
  const address = parseRecordingAddress(request.path)
  if (!address) return undefined
  const index = await recordings.find(address.key)
  if (!index) throw new NearcastError('not-found', `there is no ${address.key}`)
  try {
    const answer = await answer200(recordings, request, index, address)
    return request.method === 'HEAD' ? { ...answer, body: null } : answer
  } catch (error) {
    // The next second may bring what is asked for.
    if (index.ended || !hasCode(error, 'not-found')) throw error
    return refusal(error, request.method, true)
  }
}

async function answer200(
  recordings: Recordings,
  request: OriginRequest,
  index: RecordingIndex,
  address: RecordingAddress,
): Promise<OriginMessage> {
  const played = playedOf(index)
  switch (address.kind) {
    case 'master':
      if (played.length === 0)
        throw new NearcastError('not-found', `${address.key} has no closed segment yet`)
      return playlist(index, writeRecordedMaster(index))
    case 'playlist': {
      const rendition = played.find(({ id }) => id === address.rendition)
      if (!rendition) throw noSuchPart(address)
      return playlist(index, await writeRecordedMedia(index, rendition, asksToSkip(request.query)))
    }
    case 'init': {
      const rendition = played.find(({ segments }) =>
        segments.some(({ init }) => init === address.uri),
      )
      if (!rendition) throw noSuchPart(address)
      return media(recordings, request, address.key, rendition, address.uri)
    }
    case 'segment': {
      const { epoch, sequence } = address
      const rendition = played.find(({ id }) => id === address.rendition)
      const segment = rendition && segmentOf(rendition, sequence)
      if (!rendition || !segment || !isPlayed(segment) || segment.epoch !== epoch)
        throw noSuchPart(address)
      const uri = `${epoch}/${rendition.id}-${sequence}.m4s`
      return media(recordings, request, address.key, rendition, uri)
    }
  }
}

function playlist(index: RecordingIndex, text: string): OriginMessage {
  return message(Buffer.from(text), {
    'content-type': PLAYLIST_TYPE,
    'content-length': String(Buffer.byteLength(text)),
    'cache-control': index.ended ? ENDED_CACHING : RUNNING_CACHING,
  })
}

async function media(
  recordings: Recordings,
  request: OriginRequest,
  key: string,
  { facts }: RecordedRendition,
  uri: string,
): Promise<OriginMessage> {
  const unread = new AbortController()
  const found = await recordings.read(key, uri, AbortSignal.any([request.signal, unread.signal]))
  if (request.method === 'HEAD') unread.abort()
  if (!found) throw new NearcastError('not-found', `${key} has no ${uri} (any more)`)
  return message(found.body, {
    'content-type': facts.kind === 'audio' ? 'audio/mp4' : 'video/mp4',
    'content-length': String(found.length),
    'cache-control': MEDIA_CACHING,
    etag: formatEntityTag(uri.replace('/', '-')),
  })
}

function message(body: Body, headers: Fields): OriginMessage {
  return { kind: 'message', status: 200, headers, body }
}

/** Their numbers grow. */
function segmentOf({ segments }: RecordedRendition, sequence: number) {
  let from = 0
  let to = segments.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((segments[middle]?.sequence ?? 0) < sequence) from = middle + 1
    else to = middle
  }
  const found = segments[from]
  return found?.sequence === sequence ? found : undefined
}

/** rfc8216bis §6.2.5.1: `v2` would leave out date ranges too, of which there are none. */
function asksToSkip(query: string): boolean {
  return ['YES', 'v2'].includes(new URLSearchParams(query).get(SKIP_QUERY) ?? '')
}

function noSuchPart({ key }: RecordingAddress): NearcastError {
  return new NearcastError('not-found', `${key} has no such part`)
}
