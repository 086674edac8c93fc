import { commonFrameRate } from '../formats/m3u8/frame-rate.ts'
import {
  END_LIST,
  writePlaylistHead,
  writePlaylistSegment,
  writeSkip,
} from '../formats/m3u8/write-media-playlist.ts'
import { type AudioRendition, writeMultivariant } from '../formats/m3u8/write-multivariant.ts'
import type {
  RecordedRendition,
  RecordedSegment,
  RecordingIndex,
} from '../formats/recording/recording-index.ts'

/** rfc8216bis §8: 9 for EXT-X-SKIP, which none but a running recording's answers have. */
const VERSION = 7
const DELTA_VERSION = 9
const GROUP = 'audio'

/** Whose media can be played: a rung that never began has none. */
export function playedOf({ renditions }: RecordingIndex): readonly RecordedRendition[] {
  return renditions.filter(({ segments }) => segments.some(({ gap }) => !gap))
}

/** `index.m3u8`: one variant for each picture, sounds beside them; of sounds alone each is a variant. */
export function writeRecordedMaster(index: RecordingIndex): string {
  const played = playedOf(index)
  const pictures = played.filter(({ facts }) => facts.kind === 'video')
  const sounds = played.filter(({ facts }) => facts.kind === 'audio')
  const beside = pictures.length > 0 ? sounds : []
  const leads = pictures.length > 0 ? pictures : sounds
  const measured = new Map(played.map((one) => [one.id, measure(one)]))
  const loudest = (read: (one: Measured) => number) =>
    Math.max(0, ...beside.map(({ id }) => read(measured.get(id) ?? NOTHING)))
  return writeMultivariant({
    version: VERSION,
    independentSegments: [...measured.values()].every(({ independent }) => independent),
    audio: beside.map((one, i) => audioRendition(one, i)),
    variants: leads.map(({ id, facts }) => {
      const own = measured.get(id) ?? NOTHING
      return {
        uri: `${id}.m3u8`,
        bandwidth: own.peak + loudest(({ peak }) => peak),
        averageBandwidth: own.average + loudest(({ average }) => average),
        codecs: [...new Set([facts, ...beside.map((one) => one.facts)].map((f) => f.codecString))],
        resolution: facts.kind === 'video' ? facts : undefined,
        frameRate: facts.kind === 'video' ? own.frameRate : undefined,
        audio: beside.length > 0 ? GROUP : undefined,
      }
    }),
  })
}

/** EVENT while the recording runs, VOD with its end after it. `skip`: without what a player has had for long. */
export function writeRecordedMedia(
  index: RecordingIndex,
  rendition: RecordedRendition,
  skip: boolean,
): string {
  const [first] = rendition.segments
  const lines = linesOf(rendition, index.ended)
  const target = targetOf(index)
  // §4.4.3.8: at least six target durations.
  const canSkipUntilSeconds = index.ended ? undefined : 6 * target
  const skipped =
    skip && canSkipUntilSeconds !== undefined ? lines.countOlderThan(canSkipUntilSeconds) : 0
  const head = writePlaylistHead({
    version: skipped > 0 ? DELTA_VERSION : VERSION,
    targetDurationSeconds: target,
    mediaSequence: first?.sequence ?? 0,
    discontinuitySequence: first?.discontinuitySequence ?? 0,
    type: index.ended ? 'VOD' : 'EVENT',
    canSkipUntilSeconds,
  })
  return (
    head +
    (skipped > 0 ? writeSkip(skipped) : '') +
    lines.from(skipped) +
    (index.ended ? END_LIST : '')
  )
}

/** rfc8216bis §6.2.4: the same in all renditions. */
function targetOf({ renditions }: RecordingIndex): number {
  let longest = 1
  for (const { segments } of renditions)
    for (const { seconds } of segments) longest = Math.max(longest, seconds)
  return Math.round(longest)
}

const running = new WeakMap<readonly RecordedSegment[], SegmentLines>()

/** Of a recording that runs the lines are kept: only what was added is written. */
function linesOf(rendition: RecordedRendition, ended: boolean): SegmentLines {
  const { segments } = rendition
  const lines = running.get(segments) ?? new SegmentLines(rendition.id)
  lines.follow(segments)
  if (!ended) running.set(segments, lines)
  return lines
}

/** The lines of a rendition's segments, one entry for each number: what was never written is a gap. */
class SegmentLines {
  readonly #id: string
  #entries: { readonly text: string; readonly seconds: number; readonly map: string }[] = []
  #read = 0
  #gaps = 0

  constructor(id: string) {
    this.#id = id
  }

  follow(segments: readonly RecordedSegment[]): void {
    let gaps = 0
    for (let i = 0; i < this.#read; i++) if (segments[i]?.gap) gaps++
    if (gaps !== this.#gaps) {
      this.#entries = []
      this.#read = 0
    }
    while (this.#read < segments.length) {
      const segment = segments[this.#read]
      if (segment) this.#add(segment, segments[this.#read - 1])
      this.#read++
    }
    this.#gaps = segments.reduce((sum, { gap }) => sum + (gap ? 1 : 0), 0)
  }

  /** From an entry on; the init section in force stands before the first. */
  from(at: number): string {
    const entries = this.#entries.slice(at)
    const [first] = entries
    const map =
      first && !first.text.includes('#EXT-X-MAP:') ? `#EXT-X-MAP:URI="${first.map}"\n` : ''
    return map + entries.map(({ text }) => text).join('')
  }

  /** Entries that end further than so long before the end. */
  countOlderThan(seconds: number): number {
    let distance = 0
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      if (distance > seconds) return i + 1
      distance += this.#entries[i]?.seconds ?? 0
    }
    return 0
  }

  #add(segment: RecordedSegment, before: RecordedSegment | undefined): void {
    if (before) this.#addMissing(before, segment)
    const { seconds, gap, init: map } = segment
    const follows = before !== undefined && !before.gap && before.sequence + 1 === segment.sequence
    const text = writePlaylistSegment({
      uri: `${segment.epoch}/${this.#id}-${segment.sequence}.m4s`,
      durationSeconds: seconds,
      open: false,
      discontinuity: before !== undefined && segment.discontinuity,
      gap,
      map: before?.init === map ? undefined : map,
      // Where time need not go on as the durations say.
      startedAt: follows && !segment.discontinuity ? undefined : segment.startedAt,
      parts: [],
    })
    this.#entries.push({ text, seconds, map })
  }

  // §4.4.3.2: the numbers of a playlist have no hole.
  #addMissing(before: RecordedSegment, { sequence, startedAt }: RecordedSegment): void {
    const count = Math.min(MISSING_MAX, sequence - before.sequence - 1)
    const hole = (startedAt - before.startedAt) / 1000 - before.seconds
    const seconds = Math.max(0.001, hole / Math.max(1, count))
    for (let i = 1; i <= count; i++) {
      const text = writePlaylistSegment({
        uri: `${before.epoch}/${this.#id}-${before.sequence + i}.m4s`,
        durationSeconds: seconds,
        open: false,
        discontinuity: false,
        gap: true,
        map: undefined,
        startedAt: undefined,
        parts: [],
      })
      this.#entries.push({ text, seconds, map: before.init })
    }
  }
}

/** More than an hour of them: an index that somebody else wrote. */
const MISSING_MAX = 10_000

interface Measured {
  readonly peak: number
  readonly average: number
  readonly frameRate: number | undefined
  readonly independent: boolean
}
const NOTHING: Measured = { peak: 0, average: 0, frameRate: undefined, independent: true }

function measure({ segments }: RecordedRendition): Measured {
  let bytes = 0
  let seconds = 0
  let samples = 0
  let peak = 0
  let independent = true
  for (const segment of segments) {
    if (segment.gap) continue
    bytes += segment.bytes
    seconds += segment.seconds
    samples += segment.samples
    if (!segment.independent) independent = false
    // §4.4.6.2: the peak counts segments of at least half a target duration.
    if (segment.seconds >= 0.5) peak = Math.max(peak, (segment.bytes * 8) / segment.seconds)
  }
  const average = seconds > 0 ? (bytes * 8) / seconds : 0
  return {
    peak: thousands(Math.max(peak, average, 1)),
    average: thousands(Math.max(average, 1)),
    frameRate: seconds > 0 && samples > 1 ? commonFrameRate(samples / seconds) : undefined,
    independent,
  }
}

function audioRendition({ id, facts }: RecordedRendition, place: number): AudioRendition {
  const language = ['', 'und'].includes(facts.language) ? undefined : facts.language
  // §4.4.6.1.1: names in a group differ.
  const name = `${language ?? 'Audio'}${place === 0 ? '' : ` ${place + 1}`}`
  const { channels } = facts
  return { groupId: GROUP, name, uri: `${id}.m3u8`, channels, isDefault: place === 0, language }
}

function thousands(bits: number): number {
  return Math.ceil(bits / 1000) * 1000
}
