import { createHash } from 'node:crypto'
import type { AudioTrack, VideoTrack } from '../codecs/track.ts'
import { lastNotAbove, tableBytes } from '../formats/isobmff/sample-table.ts'
import { NearcastError } from '../lib/errors.ts'
import type { Steps } from '../lib/in-turns.ts'
import type { ObjectInfo } from '../storage/object-store.ts'
import type { Choice } from './choose-tracks.ts'
import { planSegments, SEGMENT_LENGTHS, segmentBytes, type SegmentPlan } from './plan-film.ts'
import type { PlayTrack } from './play-track.ts'

/** One version of one stored file, ready to be cut into segments. */
export interface Film {
  readonly key: string
  readonly info: ObjectInfo
  /** Names this version in URLs. */
  readonly hash: string
  readonly durationSeconds: number
  readonly renditions: readonly Rendition[]
  readonly variants: readonly Variant[]
  readonly plan: SegmentPlan
  readonly notPlayed: readonly string[]
  readonly truncated: boolean
  /** Memory it costs. */
  readonly indexBytes: number
}

/** One media playlist: video with its sound, video alone or one audio track. */
export interface Rendition {
  /** Unique in the film; part of its URLs. */
  readonly id: string
  readonly parts: readonly RenditionPart[]
  /** Segments to list: a trailing part without samples is left out. */
  readonly segmentCount: number
  readonly bandwidth: number
  readonly averageBandwidth: number
}

export interface RenditionPart {
  readonly track: PlayTrack
  /** First sample of each segment and, at the end, the end of the last. */
  readonly firstSamples: Uint32Array
}

/** One line of the multivariant playlist. */
export interface Variant {
  readonly rendition: Rendition
  /** Audio renditions of one codec; empty: the sound is in `rendition`, or there is none. */
  readonly audios: readonly Rendition[]
}

/** A new number when the same file would be cut or written otherwise, so that old and new bytes never share a name. */
const PACKAGER_VERSION = 4

export function hashOf(info: Pick<ObjectInfo, 'etag' | 'size'>): string {
  return createHash('sha256')
    .update(`${PACKAGER_VERSION}\0${info.etag}\0${info.size}`)
    .digest('hex')
    .slice(0, 16)
}

/**
 * Video and one audio track that all browsers play go into one rendition: one request and one read a segment, from bytes that lie
 * beside each other in the file. Several audio tracks, or one that only some browsers play, are renditions of their own, and a
 * variant without sound is there for the others.
 */
export function* makeFilm(key: string, info: ObjectInfo, choice: Choice): Steps<Film> {
  const { video, audios } = choice
  const plan = yield* planSegments(video, audios, SEGMENT_LENGTHS)
  const parts = plan.firstSamples.map((firstSamples, i): RenditionPart => {
    const track = video ? (i === 0 ? video : audios[i - 1]) : audios[i]
    if (track === undefined) throw new NearcastError('internal', 'a plan without a list of samples')
    return { track, firstSamples }
  })
  const { renditions, variants } = yield* arrange(parts, plan)
  return {
    key,
    info,
    hash: hashOf(info),
    durationSeconds: plan.starts.at(-1) ?? 0,
    renditions,
    variants,
    plan,
    notPlayed: choice.notPlayed,
    truncated: choice.truncated,
    indexBytes: parts.reduce(
      (sum, { track, firstSamples }) =>
        sum + tableBytes(track.samples) + firstSamples.byteLength + descriptionBytes(track),
      plan.starts.byteLength + plan.description.byteLength + FIXED_BYTES,
    ),
  }
}

/** Objects and strings around the tables. */
const FIXED_BYTES = 8192

function descriptionBytes({ tracks, entries }: PlayTrack): number {
  const configs = tracks.reduce((sum, { config }) => sum + config.byteLength, 0)
  return entries.reduce((sum, entry) => sum + (entry?.byteLength ?? 0), configs)
}

function* arrange(
  parts: readonly RenditionPart[],
  plan: SegmentPlan,
): Steps<Pick<Film, 'renditions' | 'variants'>> {
  const video = parts.find(({ track }) => track.source.handler === 'vide')
  const audios = parts.filter((part) => part !== video)
  const [onlyAudio] = audios
  if (video && audios.length <= 1 && (!onlyAudio || isForAllBrowsers(onlyAudio.track))) {
    const main = yield* toRendition('main', parts, plan)
    return { renditions: [main], variants: [{ rendition: main, audios: [] }] }
  }
  const sounds: Rendition[] = []
  for (const part of audios) {
    sounds.push(yield* toRendition(`audio${sounds.length + 1}`, [part], plan))
  }
  const [firstSound] = sounds
  if (!video) {
    const variants =
      sounds.length === 1 && firstSound ? [{ rendition: firstSound, audios: [] }] : []
    return {
      renditions: sounds,
      variants: variants.length > 0 ? variants : audioGroups(sounds).map(soundVariant),
    }
  }
  const main = yield* toRendition('video', [video], plan)
  const groups = audioGroups(sounds)
  const heard = groups.some((group) => group.some(isRenditionForAll))
  return {
    renditions: [main, ...sounds],
    variants: [
      ...groups.map((group) => ({ rendition: main, audios: group })),
      ...(heard ? [] : [{ rendition: main, audios: [] }]),
    ],
  }
}

function soundVariant(group: readonly Rendition[]): Variant {
  const [rendition] = group
  if (rendition === undefined) throw new NearcastError('internal', 'an empty audio group')
  return { rendition, audios: group }
}

/** Renditions of one group share their codec: a player takes or leaves a group by it. */
function audioGroups(renditions: readonly Rendition[]): readonly (readonly Rendition[])[] {
  const groups = new Map<string, Rendition[]>()
  for (const rendition of renditions) {
    const codec = rendition.parts[0]?.track.tracks[0].codec ?? ''
    groups.set(codec, [...(groups.get(codec) ?? []), rendition])
  }
  // What every browser plays comes first: a player that does not look closer takes the first variant.
  return [...groups.values()].sort(
    (a, b) => Number(b.some(isRenditionForAll)) - Number(a.some(isRenditionForAll)),
  )
}

function isRenditionForAll({ parts }: Rendition): boolean {
  return parts.every(({ track }) => isForAllBrowsers(track))
}

/** AC-3 and E-AC-3 play in Safari and Edge, not in Chromium and Firefox. */
function isForAllBrowsers({ tracks: [track] }: PlayTrack): boolean {
  return track.codec !== 'ac3' && track.codec !== 'eac3'
}

function* toRendition(
  id: string,
  parts: readonly RenditionPart[],
  plan: SegmentPlan,
): Steps<Rendition> {
  checkSamples(parts)
  const bytes = yield* segmentBytes(parts)
  checkBytes(bytes)
  let segmentCount = plan.starts.length - 1
  while (segmentCount > 1 && isEmpty(parts, segmentCount - 1)) segmentCount -= 1
  let total = 0
  let peak = 0
  const target = longestSegment(plan, segmentCount)
  for (let i = 0; i < segmentCount; i += 1) {
    if (i % SEGMENTS_A_STEP === 0) yield
    const seconds = segmentSeconds(plan, i)
    const bits = ((bytes[i] ?? 0) + overheadBytes(parts, i)) * 8
    total += bits
    // rfc8216bis §4.4.6.2: the peak is over spans of at least half a target duration.
    if (seconds >= target / 2) peak = Math.max(peak, bits / seconds)
  }
  const duration = plan.starts[segmentCount] ?? 0
  const average = duration > 0 ? Math.ceil(total / duration) : 0
  return {
    id,
    parts,
    segmentCount,
    bandwidth: Math.max(Math.ceil(peak), average, 1),
    averageBandwidth: Math.max(average, 1),
  }
}

const SEGMENTS_A_STEP = 256
const SEGMENT_SAMPLES_MAX = 65_536
/** A trun's data offset, a signed number of 32 bits, counts from the moof, which has 5 MB at most (ISO/IEC 14496-12 §8.8.8). */
const SEGMENT_BYTES_MAX = 2 ** 31 - 16 * 1024 * 1024

function checkSamples(parts: readonly RenditionPart[]): void {
  for (const { firstSamples } of parts) {
    for (let i = 1; i < firstSamples.length; i += 1) {
      const samples = (firstSamples[i] ?? 0) - (firstSamples[i - 1] ?? 0)
      if (samples > SEGMENT_SAMPLES_MAX) {
        throw new NearcastError('media-broken', `${samples} samples between two key frames`)
      }
    }
  }
}

function checkBytes(bytes: Float64Array): void {
  for (const length of bytes) {
    if (length > SEGMENT_BYTES_MAX) {
      throw new NearcastError('media-unsupported', `${length} bytes between two key frames`)
    }
  }
}

export function isEmpty(parts: readonly RenditionPart[], segment: number): boolean {
  return parts.every(({ firstSamples }) => firstSamples[segment] === firstSamples[segment + 1])
}

export function segmentSeconds({ starts }: SegmentPlan, segment: number): number {
  return (starts[segment + 1] ?? 0) - (starts[segment] ?? 0)
}

/** Of the first `count` segments, in seconds. */
export function longestSegment(plan: SegmentPlan, count: number): number {
  let longest = 0
  for (let i = 0; i < count; i += 1) longest = Math.max(longest, segmentSeconds(plan, i))
  return longest
}

/** What moof and mdat headers take at most: a trun for each chunk of the source, and four fields for each sample. */
function overheadBytes(parts: readonly RenditionPart[], segment: number): number {
  let bytes = 200
  for (const { track, firstSamples } of parts) {
    const from = firstSamples[segment] ?? 0
    const to = firstSamples[segment + 1] ?? 0
    const { first } = track.samples.chunks
    const chunks = to > from ? lastNotAbove(first, to - 1) - lastNotAbove(first, from) + 1 : 0
    bytes += chunks * 20 + (to - from) * 16
  }
  return bytes
}

export function videoOf(rendition: Rendition): VideoTrack | undefined {
  for (const { track } of rendition.parts) {
    const [first] = track.tracks
    if (first.kind === 'video') return first
  }
  return undefined
}

export function audioOf(rendition: Rendition): AudioTrack | undefined {
  for (const { track } of rendition.parts) {
    const [first] = track.tracks
    if (first.kind === 'audio') return first
  }
  return undefined
}
