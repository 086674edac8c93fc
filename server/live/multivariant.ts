import { commonFrameRate } from '../formats/m3u8/frame-rate.ts'
import { type CaptionRendition, writeMultivariant } from '../formats/m3u8/write-multivariant.ts'
import { mediaPlaylistUri, type PlaylistSpan } from './address.ts'
import { firstListed, type Rendition, type Segment } from './segment.ts'
import type { LiveWindow } from './window.ts'

/** What the segments of a rendition show of it. Bits and frames a second. */
export interface Measured {
  readonly peakBandwidth: number
  readonly averageBandwidth: number
  readonly frameRate: number | undefined
  /** Each complete segment begins with a picture that needs no other. */
  readonly independent: boolean
}

const GROUP = 'audio'
/** The text of `index.m3u8` or `dvr.m3u8`: one variant for each video rendition, audio as a rendition of its own beside it. */
export function writeLivePlaylists(window: LiveWindow, span: PlaylistSpan): string {
  const target = window.currentTarget ?? 1
  const { offered } = window
  const measured = new Map(offered.map((rendition) => [rendition.id, measure(window, rendition)]))
  const audio = offered.filter((rendition) => rendition.facts.kind === 'audio')
  const video = offered.filter((rendition) => rendition.facts.kind === 'video')
  // Several sounds alone are one variant, and a group to choose from: the variant's own playlist is that of the first.
  const [firstSound] = audio
  const leads = video.length > 0 || !firstSound ? video : [firstSound]
  const beside = video.length > 0 || audio.length > 1 ? audio : []
  const names = audioNames(beside)
  const captions = captionGroups(leads)
  // A rung has each picture of what it is made of; measured by itself it would be 29.97 of 30, and hls.js does not go from
  // one rate to another.
  const rate = video[0] && measured.get(video[0].id)?.frameRate
  const rateOf = ({ id, bitsPerSecond }: Rendition) =>
    bitsPerSecond > 0 ? rate : measured.get(id)?.frameRate
  const uriOf = (rendition: Rendition) =>
    mediaPlaylistUri({ span, rendition: rendition.id, target })
  return writeMultivariant({
    version: 9,
    independentSegments: [...measured.values()].every((facts) => facts.independent),
    audio: beside.map((rendition, i) => ({
      groupId: GROUP,
      name: names[i] ?? rendition.id,
      uri: uriOf(rendition),
      channels: rendition.facts.channels,
      isDefault: i === 0,
      language: languageOf(rendition),
    })),
    closedCaptions: captions.renditions,
    variants: leads.map((lead) => {
      // §4.4.6.2: the most that a playable combination takes, which is the picture and one of the sounds.
      const sum = (read: (facts: Measured) => number) => {
        const of = ({ id }: Rendition) => {
          const facts = measured.get(id)
          return facts ? read(facts) : 0
        }
        const sound = Math.max(0, ...beside.map(of))
        return lead.facts.kind === 'video' ? of(lead) + sound : Math.max(of(lead), sound)
      }
      return {
        uri: uriOf(lead),
        bandwidth: sum((facts) => facts.peakBandwidth),
        averageBandwidth: sum((facts) => facts.averageBandwidth),
        codecs: [...new Set([lead, ...beside].map(({ facts }) => facts.codecString))],
        resolution: lead.facts.kind === 'video' ? lead.facts : undefined,
        frameRate: lead.facts.kind === 'video' ? rateOf(lead) : undefined,
        videoRange: lead.facts.videoRange,
        audio: beside.length > 0 ? GROUP : undefined,
        closedCaptions: captions.groupOf(lead),
      }
    }),
  })
}

/**
 * One group for each set of channels. Nothing is said of a rendition without: captions may begin at any time, players read the
 * master once, and hls.js shows none where it said CLOSED-CAPTIONS=NONE.
 */
function captionGroups(renditions: readonly Rendition[]): {
  readonly renditions: readonly CaptionRendition[]
  readonly groupOf: (rendition: Rendition) => string | undefined
} {
  const groups = new Map<string, string>()
  const found: CaptionRendition[] = []
  const keyOf = ({ facts }: Rendition) => facts.captions?.join() ?? ''
  for (const rendition of renditions) {
    const key = keyOf(rendition)
    if (key === '' || groups.has(key)) continue
    const groupId = `captions${groups.size === 0 ? '' : groups.size + 1}`
    groups.set(key, groupId)
    for (const instreamId of rendition.facts.captions ?? [])
      found.push({ groupId, name: instreamId.replace('SERVICE', 'Service '), instreamId })
  }
  return { renditions: found, groupOf: (rendition) => groups.get(keyOf(rendition)) }
}

function languageOf({ facts: { language } }: Rendition): string | undefined {
  return language === 'und' || language === '' ? undefined : language
}

/** §4.4.6.1.1: no two of a group have the same NAME. */
function audioNames(renditions: readonly Rendition[]): readonly string[] {
  const used = new Set<string>()
  for (const rendition of renditions) {
    const plain = languageOf(rendition) ?? 'Audio'
    let name = plain
    for (let number = 2; used.has(name); number++) name = `${plain} ${number}`
    used.add(name)
  }
  return [...used]
}

/** Measures what is listed in the main playlist. */
export function measure(window: LiveWindow, rendition: Rendition): Measured {
  const listed = rendition.segments
    .slice(firstListed(rendition.segments, window.windowSeconds))
    .filter((segment) => !segment.gap)
  let bytes = 0
  let seconds = 0
  let samples = 0
  let sampledSeconds = 0
  let peak = 0
  let independent = true
  for (const segment of listed) {
    bytes += segment.byteLength
    seconds += segment.durationSeconds
    // Of what memory has let go of, the parts are not known any more.
    if (segment.held) sampledSeconds += segment.durationSeconds
    for (const part of segment.parts) samples += part.samples
    if (!segment.parts[0]?.independent) independent = false
    if (countsForPeak(segment, listed)) {
      peak = Math.max(peak, (segment.byteLength * 8) / segment.durationSeconds)
    }
  }
  const average = seconds > 0 ? (bytes * 8) / seconds : 0
  return {
    // In whole kilobits, so that the text stays the same while nothing really changes.
    peakBandwidth: thousands(Math.max(peak, average, rendition.bitsPerSecond, 1)),
    averageBandwidth: thousands(average || Math.max(rendition.bitsPerSecond, 1)),
    frameRate:
      sampledSeconds > 0 && samples > 1 ? commonFrameRate(samples / sampledSeconds) : undefined,
    independent,
  }
}

/** rfc8216bis §4.4.6.2: the peak counts contiguous segments of half to one and a half target durations; a stub of a few frames with a key frame would count many times over. */
function countsForPeak(segment: Segment, listed: readonly Segment[]): boolean {
  return listed.length === 1 ? segment.durationSeconds > 0 : segment.durationSeconds >= 0.5
}

function thousands(bits: number): number {
  return Math.ceil(bits / 1000) * 1000
}
