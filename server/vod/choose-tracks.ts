import type { Track } from '../codecs/track.ts'
import type { Movie, MovieTrack } from '../formats/isobmff/read-movie.ts'
import type {
  AudioDescription,
  RefusedDescription,
  VideoDescription,
} from '../formats/isobmff/read-sample-entry.ts'
import { cutToObject, EMPTY_TABLE, type SampleTable } from '../formats/isobmff/sample-table.ts'
import { NearcastError } from '../lib/errors.ts'
import { forEntries, type Steps } from '../lib/in-turns.ts'
import { type PlayTrack, timingOf, type Visible, visibleSpan } from './play-track.ts'

/** What is played of a file, and in sentences what is not. */
export interface Choice {
  readonly video: PlayTrack | undefined
  readonly audios: readonly PlayTrack[]
  readonly notPlayed: readonly string[]
  /** The object ends before its last sample. */
  readonly truncated: boolean
}

interface Candidate {
  readonly source: MovieTrack
  readonly descriptions: readonly (VideoDescription | AudioDescription)[]
  readonly samples: SampleTable
  readonly visible: Visible
}

interface Refusal {
  readonly source: MovieTrack
  readonly code: RefusedDescription['code']
  readonly reason: string
}

/** Audio renditions beyond these are left out. */
const AUDIO_TRACKS_MAX = 16

/**
 * Chooses the video (the enabled one with most pixels) and the audio tracks to play; `tableOf` gives a track's samples.
 * Throws `media-unsupported`, `media-encrypted` or `media-broken` when there is nothing to play, or video that can't be.
 */
export function* chooseTracks(
  movie: Movie,
  tableOf: (source: MovieTrack) => Steps<SampleTable>,
  objectSize: number,
): Steps<Choice> {
  const refusals: Refusal[] = []
  const candidates: Candidate[] = []
  let truncated = false
  for (const source of movie.tracks) {
    if (source.handler !== 'vide' && source.handler !== 'soun') continue
    const whole = yield* tableOf(source)
    const samples = yield* cutToObject(whole, objectSize)
    if (samples.count < whole.count) truncated = true
    const result = yield* examine(source, samples, whole.count)
    if ('reason' in result) refusals.push(result)
    else candidates.push(result)
  }
  const videos = candidates.filter(({ source }) => source.handler === 'vide')
  const refusedVideo = refusals.find(({ source }) => source.handler === 'vide')
  if (videos.length === 0 && refusedVideo) {
    throw new NearcastError(refusedVideo.code, refusedVideo.reason)
  }
  if (candidates.length === 0) throw nothingToPlay(refusals)
  const video = videos.toSorted((a, b) => rank(b) - rank(a))[0]
  const audios = candidates.filter(({ source }) => source.handler === 'soun')
  const chosen = [...(video ? [video] : []), ...audios.slice(0, AUDIO_TRACKS_MAX)]
  const origin = Math.min(...chosen.map(({ visible }) => visible.startSeconds))
  const played: PlayTrack[] = []
  for (const candidate of chosen) {
    played.push(yield* toPlayTrack(candidate, played.length + 1, origin))
  }
  return {
    video: video ? played[0] : undefined,
    audios: video ? played.slice(1) : played,
    truncated,
    notPlayed: [
      ...refusals.map(({ source, reason }) => `${nameOf(source)}: ${reason}`),
      ...candidates
        .filter((candidate) => !chosen.includes(candidate))
        .map(({ source }) => `${nameOf(source)}: another track of this kind is played`),
    ],
  }
}

function* examine(
  source: MovieTrack,
  samples: SampleTable,
  claimed: number,
): Steps<Candidate | Refusal> {
  const used = yield* usedDescriptions(samples, source.descriptions.length)
  const descriptions: (VideoDescription | AudioDescription)[] = []
  for (const [index, description] of source.descriptions.entries()) {
    if (description.kind !== 'refused') descriptions.push(description)
    else if (used.has(index)) return { source, code: description.code, reason: description.reason }
  }
  if (descriptions.length < source.descriptions.length) {
    return broken(source, 'some of its sample descriptions cannot be read')
  }
  if (claimed === 0) return broken(source, 'it has no samples')
  if (samples.count === 0)
    return broken(source, 'the file is cut short: none of its samples is there')
  if ([...used].some((index) => index >= descriptions.length)) {
    return broken(source, 'samples name a description that is not there')
  }
  if (source.handler === 'soun' && !sameConfig(descriptions)) {
    const reason = 'its codec settings change on the way'
    return { source, code: 'media-unsupported', reason }
  }
  const visible = yield* visibleSpan(source, samples)
  if (visible === undefined) return broken(source, 'its edit list leaves nothing to play')
  return { source, descriptions, samples, visible }
}

function broken(source: MovieTrack, reason: string): Refusal {
  return { source, code: 'media-broken', reason }
}

function* usedDescriptions(samples: SampleTable, count: number): Steps<ReadonlySet<number>> {
  const { description } = samples.chunks
  if (description === undefined) return new Set(count > 0 ? [0] : [])
  const used = new Uint8Array(256)
  yield* forEntries(description.length, (from, to) => {
    for (let i = from; i < to; i += 1) used[description[i] ?? 0] = 1
  })
  return new Set(Array.from(used.keys()).filter((index) => used[index] === 1))
}

function sameConfig(descriptions: readonly (VideoDescription | AudioDescription)[]): boolean {
  const [first, ...others] = descriptions
  return others.every(
    (other) =>
      other.codecString === first?.codecString && Buffer.compare(other.config, first.config) === 0,
  )
}

/** Enabled before disabled, then by pixels. */
function rank({ source, descriptions: [first] }: Candidate): number {
  const pixels = first?.kind === 'video' ? first.width * first.height : 0
  return (source.enabled ? 2 ** 40 : 0) + pixels
}

function* toPlayTrack(candidate: Candidate, id: number, originSeconds: number): Steps<PlayTrack> {
  const { samples, visible } = candidate
  // A film in fragments has a table of its own: the moov's would be kept beside it, and counted by nobody.
  const source = { ...candidate.source, samples: EMPTY_TABLE }
  const timing = yield* timingOf(source, samples, visible, originSeconds)
  const tracks = candidate.descriptions.map((description) =>
    toTrack(description, id, source, timing.timescale),
  )
  const [first, ...others] = tracks
  if (first === undefined) throw new NearcastError('internal', 'a track without descriptions')
  return {
    source,
    tracks: [first, ...others],
    entries: candidate.descriptions.map((d) => (d.kind === 'video' ? d.entry : undefined)),
    samples,
    first: visible.first,
    end: visible.end,
    timing,
  }
}

function toTrack(
  description: VideoDescription | AudioDescription,
  id: number,
  { language, rotation }: MovieTrack,
  timescale: number,
): Track {
  const { codecString, config } = description
  const base = { id, codecString, config, language, timescale }
  if (description.kind === 'audio') {
    const { codec, sampleRate, channels } = description
    return { ...base, kind: 'audio', codec, sampleRate, channels }
  }
  const { codec, width, height, pixelAspect } = description
  return { ...base, kind: 'video', codec, width, height, pixelAspect, rotation }
}

function nothingToPlay(refusals: readonly Refusal[]): NearcastError {
  const codes = ['media-encrypted', 'media-unsupported', 'media-broken'] as const
  for (const code of codes) {
    const refusal = refusals.find((candidate) => candidate.code === code)
    if (refusal) return new NearcastError(code, refusal.reason)
  }
  return new NearcastError('media-unsupported', 'the file has neither a video nor an audio track')
}

function nameOf({ id, handler }: MovieTrack): string {
  return `${handler === 'vide' ? 'video' : 'audio'} track ${id}`
}
