import { commonFrameRate } from '../formats/m3u8/frame-rate.ts'
import {
  END_LIST,
  writePlaylistHead,
  writePlaylistMap,
  writePlaylistSegment,
  writeSkip,
} from '../formats/m3u8/write-media-playlist.ts'
import { type AudioRendition, writeMultivariant } from '../formats/m3u8/write-multivariant.ts'
import { isPlayed } from '../formats/recording/recording-totals.ts'
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
  return renditions.filter(({ segments }) => segments.some(isPlayed))
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
        videoRange: facts.videoRange,
        audio: beside.length > 0 ? GROUP : undefined,
      }
    }),
  })
}

/** EVENT while the recording runs, VOD with its end after it. `skip`: without what a player has had for long. */
export async function writeRecordedMedia(
  index: RecordingIndex,
  rendition: RecordedRendition,
  skip: boolean,
): Promise<string> {
  const first = rendition.segments.find(({ slate }) => !slate)
  const lines = await linesOf(rendition, index.ended)
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
    for (const { seconds, slate } of segments) if (!slate) longest = Math.max(longest, seconds)
  return Math.round(longest)
}

const running = new WeakMap<readonly RecordedSegment[], SegmentLines>()

/** Of a recording that runs the lines are kept: only what was added is written. */
async function linesOf(rendition: RecordedRendition, ended: boolean): Promise<SegmentLines> {
  const { segments } = rendition
  const lines = running.get(segments) ?? new SegmentLines(rendition.id)
  if (!ended) running.set(segments, lines)
  // Half a day's lines take as long as some parts of a live stream: others run in between.
  while (lines.follow(segments, LINES_AT_ONCE))
    await new Promise<void>((resolve) => setImmediate(resolve))
  return lines
}

const LINES_AT_ONCE = 2000
const BLOCK_ENTRIES = 500

/** The lines of a rendition's segments, one entry for each number: what was never written is a gap. */
class SegmentLines {
  readonly #id: string
  #entries: { readonly text: string; readonly seconds: number; readonly map: string }[] = []
  /** The texts of so many entries in one, as far as they go. */
  #blocks: string[] = []
  #read = 0
  #gaps = 0
  #missing = 0

  constructor(id: string) {
    this.#id = id
  }

  /** Takes up to `count` more; true when there is more to take. All is written anew when one has become a gap since. */
  follow(segments: readonly RecordedSegment[], count: number): boolean {
    let gaps = 0
    for (let i = 0; i < this.#read; i++) if (segments[i]?.gap) gaps++
    if (gaps !== this.#gaps) {
      this.#entries = []
      this.#blocks = []
      this.#read = 0
      this.#gaps = 0
      this.#missing = 0
    }
    const end = Math.min(segments.length, this.#read + count)
    for (; this.#read < end; this.#read++) {
      const segment = segments[this.#read]
      if (!segment) continue
      this.#add(segment, segments[this.#read - 1])
      if (segment.gap) this.#gaps++
    }
    return this.#read < segments.length
  }

  /** From an entry on; the init section in force stands before the first. */
  from(at: number): string {
    const block = at === 0 ? this.#blocks.length : 0
    const entries = this.#entries.slice(at + block * BLOCK_ENTRIES)
    const first = this.#entries[at]
    const map = first && !first.text.includes('#EXT-X-MAP:') ? writePlaylistMap(first.map) : ''
    const blocks = at === 0 ? this.#blocks.join('') : ''
    return map + blocks + entries.map(({ text }) => text).join('')
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

  /** `before`: the segment of the number before, shown or not. */
  #add(segment: RecordedSegment, before: RecordedSegment | undefined): void {
    // What a slate stood in for is left out, as if nothing had been sent: its numbers are no gap.
    if (segment.slate) return
    if (before && !before.slate) this.#addMissing(before, segment)
    const { seconds, gap, init: map } = segment
    const shown = this.#entries.at(-1)
    const follows = before && !before.gap && before.sequence + 1 === segment.sequence
    const cut = shown !== undefined && (segment.discontinuity || before?.slate === true)
    const text = writePlaylistSegment({
      uri: `${segment.epoch}/${this.#id}-${segment.sequence}.m4s`,
      durationSeconds: seconds,
      open: false,
      discontinuity: cut,
      gap,
      map: shown?.map === map ? undefined : map,
      // Where time need not go on as the durations say.
      startedAt: shown && follows && !cut ? undefined : segment.startedAt,
      parts: [],
    })
    this.#push({ text, seconds, map })
  }

  #push(entry: { readonly text: string; readonly seconds: number; readonly map: string }): void {
    this.#entries.push(entry)
    if (this.#entries.length % BLOCK_ENTRIES > 0) return
    const last = this.#entries.slice(-BLOCK_ENTRIES)
    this.#blocks.push(last.map(({ text }) => text).join(''))
  }

  // §4.4.3.2: the numbers of a playlist have no hole.
  #addMissing(before: RecordedSegment, { sequence, startedAt }: RecordedSegment): void {
    const count = Math.min(MISSING_MAX - this.#missing, sequence - before.sequence - 1)
    const hole = (startedAt - before.startedAt) / 1000 - before.seconds
    const seconds = Math.max(0.001, hole / Math.max(1, count))
    this.#missing += Math.max(0, count)
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
      this.#push({ text, seconds, map: before.init })
    }
  }
}

/** Hours of them in one rendition: an index that somebody else wrote. */
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
  let peak = 0
  let independent = true
  const rates = new Map<string, { samples: number; seconds: number }>()
  for (const segment of segments) {
    if (!isPlayed(segment)) continue
    bytes += segment.bytes
    seconds += segment.seconds
    const rate = rates.get(segment.init) ?? { samples: 0, seconds: 0 }
    rates.set(segment.init, rate)
    rate.samples += segment.samples
    rate.seconds += segment.seconds
    if (!segment.independent) independent = false
    // §4.4.6.2: the peak counts segments of at least half a target duration.
    if (segment.seconds >= 0.5) peak = Math.max(peak, (segment.bytes * 8) / segment.seconds)
  }
  const average = seconds > 0 ? (bytes * 8) / seconds : 0
  return {
    peak: thousands(Math.max(peak, average, 1)),
    average: thousands(Math.max(average, 1)),
    frameRate: frameRate([...rates.values()]),
    independent,
  }
}

/** §4.4.6.2: the most there are; a publisher may have changed its settings. */
function frameRate(
  rates: readonly { readonly samples: number; readonly seconds: number }[],
): number | undefined {
  const found = rates.flatMap(({ samples, seconds }) =>
    seconds > 0 && samples > 1 ? [commonFrameRate(samples / seconds)] : [],
  )
  return found.length > 0 ? Math.max(...found) : undefined
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
