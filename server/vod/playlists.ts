import type { VideoTrack } from '../codecs/track.ts'
import { decodeTime } from '../formats/isobmff/sample-table.ts'
import {
  END_LIST,
  writePlaylistHead,
  writePlaylistSegment,
} from '../formats/m3u8/write-media-playlist.ts'
import { type AudioRendition, writeMultivariant } from '../formats/m3u8/write-multivariant.ts'
import type { Steps } from '../lib/in-turns.ts'
import {
  audioOf,
  type Film,
  isEmpty,
  longestSegment,
  type Rendition,
  segmentSeconds,
  type Variant,
  videoOf,
} from './film.ts'

const SEGMENTS_A_STEP = 256
/** 6 is what EXT-X-MAP outside of I-frame playlists asks for (rfc8216bis §8); 7 is what Apple's fragmented MP4 playlists say. */
const VERSION = 7

/** `index.m3u8`; its URIs are relative to it and name the film's version. */
export function writeMaster(film: Film): string {
  const text = writeMultivariant({
    version: VERSION,
    independentSegments: true,
    audio: film.variants.flatMap((variant) => audioRenditions(film, variant)),
    variants: film.variants.map(({ rendition, audios }) => {
      const video = videoOf(rendition)
      const loudest = Math.max(0, ...audios.map(({ bandwidth }) => bandwidth))
      const average = Math.max(0, ...audios.map(({ averageBandwidth }) => averageBandwidth))
      const own = audios.includes(rendition)
      return {
        uri: `${film.hash}/${rendition.id}.m3u8`,
        bandwidth: own ? loudest : rendition.bandwidth + loudest,
        averageBandwidth: own ? average : rendition.averageBandwidth + average,
        codecs: codecsOf([rendition, ...audios]),
        resolution: video && displaySize(video),
        frameRate: video && frameRate(rendition),
        audio: audios.length > 0 ? groupId(audios) : undefined,
      }
    }),
  })
  return text + remarks(film)
}

/** A media playlist; its URIs are relative to it. Three days of film have 65,536 segments. */
export function* writeMedia(film: Film, rendition: Rendition): Steps<string> {
  const { plan } = film
  // rfc8216bis §6.2.4: target duration and discontinuities are the same in all renditions.
  const longest = longestSegment(plan, plan.starts.length - 1)
  const head = writePlaylistHead({
    version: VERSION,
    targetDurationSeconds: Math.max(1, Math.round(longest)),
    mediaSequence: 0,
    discontinuitySequence: 0,
    type: 'VOD',
    independentSegments: true,
  })
  const lines: string[] = [head, remarks(film)]
  let map: number | undefined
  for (let i = 0; i < rendition.segmentCount; i += 1) {
    if (i % SEGMENTS_A_STEP === 0) yield
    const description = initOf(film, rendition, i)
    lines.push(
      writePlaylistSegment({
        uri: `${rendition.id}-${i}.m4s`,
        durationSeconds: segmentSeconds(plan, i),
        open: false,
        discontinuity: i > 0 && plan.description[i] !== plan.description[i - 1],
        gap: isEmpty(rendition.parts, i),
        map: map === description ? undefined : `${initName(rendition, description)}`,
        startedAt: undefined,
        parts: [],
      }),
    )
    map = description
  }
  lines.push(END_LIST)
  return lines.join('')
}

/** The sample description whose init section a segment needs. */
function initOf(film: Film, rendition: Rendition, segment: number): number {
  return videoOf(rendition) ? (film.plan.description[segment] ?? 0) : 0
}

function initName({ id }: Rendition, description: number): string {
  return description === 0 ? `${id}.mp4` : `${id}.d${description}.mp4`
}

/** What a person who looks into the playlist should know; players skip comments. */
function remarks(film: Film): string {
  const lines = film.notPlayed.map((sentence) => `# not played: ${sentence}\n`)
  if (film.truncated) lines.push('# the file is cut short: it plays up to where it ends\n')
  return lines.map((line) => `${line.trimEnd().replaceAll(/[\r\n]/g, ' ')}\n`).join('')
}

function audioRenditions(film: Film, { audios }: Variant): readonly AudioRendition[] {
  const sounds = film.renditions.filter((rendition) => videoOf(rendition) === undefined)
  return audios.map((rendition, i) => {
    const track = audioOf(rendition)
    const language = track?.language === 'und' ? undefined : track?.language
    return {
      groupId: groupId(audios),
      name: audioName(language, sounds.indexOf(rendition) + 1),
      uri: `${film.hash}/${rendition.id}.m3u8`,
      channels: track?.channels ?? 2,
      isDefault: i === 0,
      language,
    }
  })
}

function audioName(language: string | undefined, number: number): string {
  const name = language && new Intl.DisplayNames('en', { type: 'language' }).of(language)
  return `${name ?? 'Audio'} ${number}`
}

function groupId(audios: readonly Rendition[]): string {
  return audioOf(audios[0] ?? NO_RENDITION)?.codec ?? 'audio'
}
const NO_RENDITION: Rendition = {
  id: '',
  parts: [],
  segmentCount: 0,
  bandwidth: 0,
  averageBandwidth: 0,
}

function codecsOf(renditions: readonly Rendition[]): readonly string[] {
  const codecs = new Set<string>()
  for (const { parts } of renditions) {
    for (const { track } of parts)
      for (const { codecString } of track.tracks) codecs.add(codecString)
  }
  return [...codecs]
}

/** What is seen: square pixels, upright. */
function displaySize(video: VideoTrack): { readonly width: number; readonly height: number } {
  const [horizontal, vertical] = video.pixelAspect
  const width = Math.max(1, Math.round((video.width * horizontal) / vertical))
  const upright = video.rotation === 0 || video.rotation === 180
  return upright ? { width, height: video.height } : { width: video.height, height: width }
}

/** On average: what VFR cameras write has no other. */
function frameRate(rendition: Rendition): number | undefined {
  const track = rendition.parts.find((part) => part.track.source.handler === 'vide')?.track
  if (track === undefined) return undefined
  const pictures = track.end - track.first - 1
  const { samples, source } = track
  const ticks = decodeTime(samples, track.end - 1) - decodeTime(samples, track.first)
  const rate = (pictures * source.timescale) / ticks
  return pictures > 0 && rate > 0 && rate < 1000 ? rate : undefined
}
