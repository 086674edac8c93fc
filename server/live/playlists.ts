import {
  END_LIST,
  type PlaylistPart,
  writeDateRange,
  writePlaylistHead,
  writePlaylistSegment,
  writePreloadHint,
  writeRenditionReport,
  writeSkip,
} from '../formats/m3u8/write-media-playlist.ts'
import { writeLivePlaylists } from './multivariant.ts'
import {
  type MediaPlaylistName,
  mediaPlaylistUri,
  type PlaylistSpan,
  partUri,
  segmentUri,
} from './address.ts'
import type { Skip } from './directives.ts'
import { ListedRanges } from './listed-ranges.ts'
import { OldLines, Rendered, TextBlock } from './rendered.ts'
import {
  firstListed,
  gapPartCount,
  hintedEpoch,
  nextPart,
  type Rendition,
  type Segment,
} from './segment.ts'
import type { LiveWindow } from './window.ts'
import type { DateRange } from './window-event.ts'

/** §8, §6.2.1: no higher than what is in it needs: EXT-X-MAP, EXT-X-SKIP, and EXT-X-SKIP of date ranges. */
const VERSION = 6
const DELTA_VERSION = 9
const RANGES_DELTA_VERSION = 10
/** Of a smaller text its compression is no matter. */
const BLOCK_CHARS = 4096

/** The playlists of one window, kept for as long as they are true. */
export class WindowPlaylists {
  readonly #window: LiveWindow
  readonly #views = new Map<string, MediaView>()
  readonly #main = new Map<PlaylistSpan, { version: number; rendered: Rendered }>()

  constructor(window: LiveWindow) {
    this.#window = window
  }

  multivariant(span: PlaylistSpan): Rendered {
    const kept = this.#main.get(span)
    if (kept?.version === this.#window.version) return kept.rendered
    const rendered = new Rendered(writeLivePlaylists(this.#window, span))
    this.#main.set(span, { version: this.#window.version, rendered })
    return rendered
  }

  /**
   * The rendition must exist and the target be promised. With `skip` a delta update, where there is something to skip. `now`:
   * monotonic milliseconds.
   */
  media(name: MediaPlaylistName, rendition: Rendition, skip: Skip, now: number): Rendered {
    const uri = mediaPlaylistUri(name)
    let view = this.#views.get(uri)
    if (!view) {
      view = new MediaView(this.#window, name)
      this.#views.set(uri, view)
    }
    return view.render(rendition, skip, now)
  }
}

/** One media playlist: the text of old segments grows with each that closes, only the end is written each time. */
class MediaView {
  readonly #window: LiveWindow
  readonly #name: MediaPlaylistName
  #version = -1
  #full: Rendered | undefined
  #delta: Rendered | undefined
  #rangesDelta: { readonly rendered: Rendered; readonly until: number } | undefined
  readonly #ranges = new ListedRanges()
  #rangesText: string | TextBlock = ''
  #rangesListed: readonly DateRange[] = []
  readonly #old = new OldLines()
  #texts = new WeakMap<Segment, string>()
  #losses = 0

  constructor(window: LiveWindow, name: MediaPlaylistName) {
    this.#window = window
    this.#name = name
  }

  render(rendition: Rendition, skip: Skip, now: number): Rendered {
    if (this.#losses !== this.#window.losses) {
      this.#losses = this.#window.losses
      this.#old.clear()
      this.#texts = new WeakMap()
    }
    if (this.#version !== this.#window.version) {
      this.#version = this.#window.version
      this.#full = undefined
      this.#delta = undefined
      this.#rangesDelta = undefined
      this.#listRanges(rendition, now)
    }
    const until = this.#skipsUntil()
    if (skip === 'nothing' || until === undefined) {
      this.#full ??= this.#writeFull(rendition, now)
      return this.#full
    }
    if (skip === 'date-ranges' && this.#ranges.isInUse(now, until * 1000))
      return this.#deltaOfRanges(rendition, now, until)
    this.#delta ??= this.#writeDelta(rendition, now)
    return this.#delta
  }

  #deltaOfRanges(rendition: Rendition, now: number, skipsUntil: number): Rendered {
    const kept = this.#rangesDelta
    if (kept && now <= kept.until) return kept.rendered
    const { added, removed, until } = this.#ranges.delta(now, skipsUntil * 1000)
    const rendered = this.#writeDelta(rendition, now, { added, removed })
    this.#rangesDelta = { rendered, until }
    return rendered
  }

  /** What lies before the first segment is listed no longer. */
  #listRanges(rendition: Rendition, now: number): void {
    if (this.#window.dateRanges.list.length + this.#rangesListed.length === 0) return
    const begins = this.#listed(rendition)[0]?.startedAt ?? Number.NEGATIVE_INFINITY
    const ranges = this.#window.dateRanges.list.filter(({ startedAt }) => startedAt >= begins)
    const before = this.#rangesListed
    if (ranges.length === before.length && ranges.every((range, i) => range === before[i])) return
    this.#rangesListed = ranges
    this.#ranges.list(ranges, now, 1000 * (this.#skipsUntil() ?? 0))
    const text = ranges.map(writeDateRange).join('')
    this.#rangesText = text.length > BLOCK_CHARS ? new TextBlock(text) : text
  }

  get #target(): number {
    return Math.max(this.#name.target, this.#window.targetFloor)
  }

  #writeFull(rendition: Rendition, now: number): Rendered {
    const listed = this.#listed(rendition)
    const [first] = listed
    const recent = this.#recentFrom(listed)
    // The first segment listed names its init section, whatever stood before it once.
    const begin = first && recent > 0 ? this.#segmentText(rendition, first, false, true) : ''
    return new Rendered(
      this.#head(rendition, listed, VERSION, now),
      this.#rangesText,
      begin,
      ...this.#oldLines(rendition, listed, recent),
      this.#tail(rendition, listed, recent, recent === 0),
    )
  }

  /** `ranges`: date ranges that are not known yet, and IDs of those that have gone; without, all are listed. */
  #writeDelta(
    rendition: Rendition,
    now: number,
    ranges?: { readonly added: readonly DateRange[]; readonly removed: readonly string[] },
  ): Rendered {
    const listed = this.#listed(rendition)
    const until = this.#skipsUntil() ?? 0
    const skipped = listed.length - countWithin(listed, until, 'end')
    if (skipped === 0) {
      this.#full ??= this.#writeFull(rendition, now)
      return this.#full
    }
    const recent = Math.max(this.#recentFrom(listed), skipped)
    const version = ranges ? RANGES_DELTA_VERSION : DELTA_VERSION
    const dated = ranges ? ranges.added.map(writeDateRange).join('') : this.#rangesText
    let text = writeSkip(skipped, ranges?.removed)
    for (let i = skipped; i < recent; i++) {
      const segment = listed[i]
      // §6.2.5.1: what is not skipped stays, and a MAP in force is in force still; said again it can't be missed.
      if (segment) text += this.#segmentText(rendition, segment, false, i === skipped)
    }
    const head = this.#head(rendition, listed, version, now)
    return new Rendered(
      head,
      dated,
      text + this.#tail(rendition, listed, recent, recent === skipped),
    )
  }

  #listed(rendition: Rendition): readonly Segment[] {
    return rendition.segments.slice(firstListed(rendition.segments, this.#listedSeconds))
  }

  get #listedSeconds(): number {
    const { windowSeconds, dvrSeconds } = this.#window
    const seconds = this.#name.span === 'dvr' ? Math.max(dvrSeconds, windowSeconds) : windowSeconds
    // §6.2.2: no segment goes that would leave less than three target durations.
    return Math.max(seconds, 3 * this.#target)
  }

  /** §6.2.2: parts further than three target durations from the end are listed no longer. */
  #recentFrom(listed: readonly Segment[]): number {
    if (this.#window.ended) return listed.length
    return listed.length - Math.max(1, countWithin(listed, 3 * this.#target, 'start'))
  }

  #head(rendition: Rendition, listed: readonly Segment[], version: number, now: number): string {
    const first = listed[0]
    const partTargetSeconds = this.#window.partTargetSeconds ?? 1
    const until = this.#skipsUntil()
    return writePlaylistHead({
      version,
      targetDurationSeconds: this.#target,
      mediaSequence: first?.sequence ?? nextPart(rendition).sequence,
      discontinuitySequence: first
        ? first.discontinuitySequence - (first.discontinuity ? 1 : 0)
        : 0,
      lowLatency: {
        partTargetSeconds,
        // §4.4.3.8: at least twice, should be three times; Apple's authoring rules (14.3) make it a must.
        partHoldBackSeconds: 3 * partTargetSeconds,
        canSkipUntilSeconds: until,
        canSkipDateRanges: until !== undefined && this.#ranges.isInUse(now, until * 1000),
      },
    })
  }

  /** §4.4.3.8: at least six target durations; not offered where nothing lies beyond, nor after the end (§6.2.5.1). */
  #skipsUntil(): number | undefined {
    const until = 6 * this.#target
    return this.#window.ended || until >= this.#listedSeconds ? undefined : until
  }

  /** The segments between the first one and those with parts. */
  #oldLines(rendition: Rendition, listed: readonly Segment[], recent: number) {
    const from = listed[1]?.sequence ?? 0
    const to = from + Math.max(0, recent - 1)
    return this.#old.pieces(from, to, (sequence) => {
      const segment = listed[1 + sequence - from]
      return segment ? this.#segmentText(rendition, segment, false, false) : ''
    })
  }

  #segmentText(
    rendition: Rendition,
    segment: Segment,
    withParts: boolean,
    withMap: boolean,
  ): string {
    const plain = !segment.open && !withParts && !withMap
    const kept = plain ? this.#texts.get(segment) : undefined
    if (kept !== undefined) return kept
    const text = writePlaylistSegment({
      uri: segmentUri(rendition.id, segment),
      durationSeconds: segment.durationSeconds,
      open: segment.open,
      discontinuity: segment.discontinuity,
      gap: segment.gap,
      map: withMap || segment.initChanged ? segment.init : undefined,
      startedAt: segment.startedAt,
      parts: withParts ? this.#parts(rendition, segment) : [],
    })
    if (plain) this.#texts.set(segment, text)
    return text
  }

  #parts(rendition: Rendition, segment: Segment): readonly PlaylistPart[] {
    const uriOf = (index: number) => partUri(rendition.id, segment.epoch, segment.sequence, index)
    const missing = gapPartCount(segment, this.#window.partTargetSeconds ?? 1)
    if (missing > 0) {
      const durationSeconds = segment.durationSeconds / missing
      return Array.from({ length: missing }, (_, index) => ({
        uri: uriOf(index),
        durationSeconds,
        independent: false,
        gap: true,
      }))
    }
    return segment.parts.map(({ index, durationSeconds, independent }) => ({
      uri: uriOf(index),
      durationSeconds,
      independent,
    }))
  }

  #tail(
    rendition: Rendition,
    listed: readonly Segment[],
    recent: number,
    firstWithMap: boolean,
  ): string {
    let text = ''
    for (let i = recent; i < listed.length; i++) {
      const segment = listed[i]
      if (segment) text += this.#segmentText(rendition, segment, true, firstWithMap && i === recent)
    }
    if (this.#window.ended || rendition.retired) return text + END_LIST
    const next = nextPart(rendition)
    const last = listed.at(-1)
    // B.1: always a hint while live; one for the init section too when the next part needs another.
    if (last && !last.open && last.init !== rendition.init)
      text += writePreloadHint('MAP', rendition.init)
    const epoch = hintedEpoch(this.#window, rendition)
    text += writePreloadHint('PART', partUri(rendition.id, epoch, next.sequence, next.index))
    return text + this.#reports(rendition)
  }

  #reports(rendition: Rendition): string {
    let text = ''
    for (const other of this.#window.renditions) {
      const last = other.segments.at(-1)
      if (other.id === rendition.id || other.retired || !last) continue
      const uri = mediaPlaylistUri({ ...this.#name, rendition: other.id })
      const missing = gapPartCount(last, this.#window.partTargetSeconds ?? 1)
      text += writeRenditionReport(uri, last.sequence, Math.max(last.parts.length, missing) - 1)
    }
    return text
  }
}

/** How many of the last segments begin (or end) at most `seconds` before the end of the playlist. */
function countWithin(listed: readonly Segment[], seconds: number, edge: 'start' | 'end'): number {
  let distance = 0
  let count = 0
  for (let i = listed.length - 1; i >= 0; i--) {
    const duration = listed[i]?.durationSeconds ?? 0
    if (edge === 'end' && distance > seconds) break
    distance += duration
    if (edge === 'start' && distance > seconds) break
    count++
  }
  return count
}
