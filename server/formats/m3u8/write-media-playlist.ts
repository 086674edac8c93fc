import { quoted } from './quoted.ts'

/** A moment of an EXT-X-DATERANGE (rfc8216bis §4.4.5.1). */
export interface PlaylistDateRange {
  readonly id: string
  readonly className: string
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** Names begin with X- and hold upper-case letters, digits and hyphens. */
  readonly attributes: readonly (readonly [name: string, value: string | number])[]
}

/** One EXT-X-PART (rfc8216bis §4.4.4.9). */
export interface PlaylistPart {
  readonly uri: string
  readonly durationSeconds: number
  readonly independent: boolean
  /** It is missing, as all of its segment. */
  readonly gap?: boolean | undefined
}

/** A segment with the tags that apply to it; an open one has no EXTINF yet. */
export interface PlaylistSegment {
  readonly uri: string
  readonly durationSeconds: number
  readonly open: boolean
  readonly discontinuity: boolean
  /** The media is missing (§4.4.4.7). */
  readonly gap: boolean
  /** URI of the init section, where it is another than the segment's before. */
  readonly map: string | undefined
  /** Milliseconds since 1970; undefined for none. */
  readonly startedAt: number | undefined
  readonly parts: readonly PlaylistPart[]
}

/** Low-latency attributes of a live playlist (§4.4.3.7, §4.4.3.8). */
export interface LowLatency {
  readonly partTargetSeconds: number
  readonly partHoldBackSeconds: number
  readonly canSkipUntilSeconds: number | undefined
  readonly canSkipDateRanges: boolean
}

export interface PlaylistHead {
  readonly version: number
  readonly targetDurationSeconds: number
  readonly mediaSequence: number
  readonly discontinuitySequence: number
  readonly type?: 'VOD' | 'EVENT' | undefined
  readonly independentSegments?: boolean | undefined
  readonly lowLatency?: LowLatency | undefined
  /** Delta updates are given (§4.4.3.8); with `lowLatency` that says it. */
  readonly canSkipUntilSeconds?: number | undefined
}

export function writePlaylistHead(head: PlaylistHead): string {
  let text = `#EXTM3U\n#EXT-X-VERSION:${head.version}\n`
  if (head.independentSegments) text += '#EXT-X-INDEPENDENT-SEGMENTS\n'
  text += `#EXT-X-TARGETDURATION:${head.targetDurationSeconds}\n`
  if (head.lowLatency) text += serverControl(head.lowLatency)
  else if (head.canSkipUntilSeconds !== undefined)
    text += `#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=${decimal(head.canSkipUntilSeconds)}\n`
  text += `#EXT-X-MEDIA-SEQUENCE:${head.mediaSequence}\n`
  if (head.discontinuitySequence > 0)
    text += `#EXT-X-DISCONTINUITY-SEQUENCE:${head.discontinuitySequence}\n`
  if (head.type) text += `#EXT-X-PLAYLIST-TYPE:${head.type}\n`
  return text
}

function serverControl(low: LowLatency): string {
  const skip =
    low.canSkipUntilSeconds === undefined
      ? ''
      : `,CAN-SKIP-UNTIL=${decimal(low.canSkipUntilSeconds)}${low.canSkipDateRanges ? ',CAN-SKIP-DATERANGES=YES' : ''}`
  return (
    `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${decimal(low.partHoldBackSeconds)}${skip}\n` +
    `#EXT-X-PART-INF:PART-TARGET=${decimal(low.partTargetSeconds)}\n`
  )
}

/** The lines of one segment: its tags, its parts, and EXTINF and URI once it is closed. */
export function writePlaylistSegment(segment: PlaylistSegment): string {
  let text = ''
  // rfc8216bis B.1: what applies to a segment stands before its first part.
  if (segment.discontinuity) text += '#EXT-X-DISCONTINUITY\n'
  if (segment.map !== undefined) text += writePlaylistMap(segment.map)
  if (segment.startedAt !== undefined)
    text += `#EXT-X-PROGRAM-DATE-TIME:${new Date(segment.startedAt).toISOString()}\n`
  if (segment.gap) text += '#EXT-X-GAP\n'
  for (const part of segment.parts) text += writePlaylistPart(part)
  if (!segment.open) text += `#EXTINF:${decimal(segment.durationSeconds)},\n${segment.uri}\n`
  return text
}

export function writePlaylistPart(part: PlaylistPart): string {
  const independent = part.gap ? ',GAP=YES' : part.independent ? ',INDEPENDENT=YES' : ''
  return `#EXT-X-PART:DURATION=${decimal(part.durationSeconds)},URI="${part.uri}"${independent}\n`
}

export function writePlaylistMap(uri: string): string {
  return `#EXT-X-MAP:URI="${uri}"\n`
}

/** §4.4.5.1: a moment lasts 0 seconds. */
export function writeDateRange(range: PlaylistDateRange): string {
  const own = range.attributes.map(([name, value]) => `,${name}=${attributeValue(value)}`)
  const start = new Date(range.startedAt).toISOString()
  return (
    `#EXT-X-DATERANGE:ID=${quoted(range.id)},CLASS=${quoted(range.className)},` +
    `START-DATE="${start}",DURATION=0${own.join('')}\n`
  )
}

/** §4.2: a decimal-floating-point has neither a sign nor an exponent. */
function attributeValue(value: string | number): string {
  const text = String(value)
  return typeof value === 'number' && /^\d+(?:\.\d+)?$/.test(text) ? text : quoted(text)
}

/** §4.4.5.2; `removed`: IDs of date ranges, in an update that skips those that are known. */
export function writeSkip(segments: number, removed?: readonly string[]): string {
  const names = removed ? `,RECENTLY-REMOVED-DATERANGES=${quoted(removed.join('\t'))}` : ''
  return `#EXT-X-SKIP:SKIPPED-SEGMENTS=${segments}${names}\n`
}

/** §4.4.5.3 */
export function writePreloadHint(type: 'PART' | 'MAP', uri: string): string {
  return `#EXT-X-PRELOAD-HINT:TYPE=${type},URI="${uri}"\n`
}

/** §4.4.5.4; `lastPart` undefined when the rendition's last segment has no parts listed. */
export function writeRenditionReport(
  uri: string,
  lastSequence: number,
  lastPart: number | undefined,
): string {
  const part = lastPart === undefined ? '' : `,LAST-PART=${lastPart}`
  return `#EXT-X-RENDITION-REPORT:URI="${uri}",LAST-MSN=${lastSequence}${part}\n`
}

export const END_LIST = '#EXT-X-ENDLIST\n'

/** Seconds with at most five decimals: exact to a tick of 90 kHz. */
function decimal(seconds: number): string {
  return String(Math.round(seconds * 100_000) / 100_000)
}
