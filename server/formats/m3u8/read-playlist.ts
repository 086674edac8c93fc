import { NearcastError } from '../../lib/errors.ts'

export interface ReadPart {
  readonly uri: string
  readonly durationSeconds: number
  readonly independent: boolean
  readonly gap: boolean
}

export interface ReadSegment {
  readonly sequence: number
  /** undefined while the segment is open: only parts of it are listed. */
  readonly uri: string | undefined
  readonly durationSeconds: number
  readonly discontinuity: boolean
  readonly gap: boolean
  readonly map: string | undefined
  readonly startedAt: number | undefined
  readonly parts: readonly ReadPart[]
}

export type Attributes = Readonly<Record<string, string>>

export interface ReadMedia {
  readonly kind: 'media'
  readonly version: number
  readonly targetDurationSeconds: number
  readonly mediaSequence: number
  readonly discontinuitySequence: number
  readonly endList: boolean
  readonly skippedSegments: number
  /** IDs that a delta update names; undefined where it names none, not even an empty list. */
  readonly removedDateRanges: readonly string[] | undefined
  readonly dateRanges: readonly Attributes[]
  readonly partTargetSeconds: number | undefined
  readonly serverControl: Attributes
  readonly preloadHints: readonly Attributes[]
  readonly renditionReports: readonly Attributes[]
  readonly segments: readonly ReadSegment[]
}

export interface ReadMultivariant {
  readonly kind: 'multivariant'
  readonly version: number
  readonly independentSegments: boolean
  readonly variants: readonly { readonly uri: string; readonly attributes: Attributes }[]
  readonly media: readonly Attributes[]
}

export interface PlaylistLimits {
  readonly characters: number
  readonly lines: number
}

/** A playlist of two hours of one-second segments is about 1 MB and 30,000 lines. */
const LIMITS: PlaylistLimits = { characters: 8 * 1024 * 1024, lines: 200_000 }

/** Reads what a prefetch or a check needs of a playlist; unknown tags are skipped. Throws `media-broken`. */
export function readPlaylist(text: string, limits = LIMITS): ReadMedia | ReadMultivariant {
  if (text.length > limits.characters)
    throw new NearcastError('media-broken', `playlist has ${text.length} characters`)
  const lines = text.split(/\r?\n/, limits.lines + 1)
  if (lines.length > limits.lines)
    throw new NearcastError('media-broken', `playlist has more than ${limits.lines} lines`)
  if (lines[0] !== '#EXTM3U')
    throw new NearcastError('media-broken', 'playlist does not begin with #EXTM3U')
  const multivariant = lines.some((line) => line.startsWith('#EXT-X-STREAM-INF:'))
  return multivariant ? readMultivariant(lines) : readMedia(lines)
}

function readMultivariant(lines: readonly string[]): ReadMultivariant {
  let version = 1
  let independentSegments = false
  const variants: { uri: string; attributes: Attributes }[] = []
  const media: Attributes[] = []
  let pending: Attributes | undefined
  for (const line of lines) {
    const [tag, value] = splitTag(line)
    if (tag === 'EXT-X-VERSION') version = integer(tag, value)
    else if (tag === 'EXT-X-INDEPENDENT-SEGMENTS') independentSegments = true
    else if (tag === 'EXT-X-MEDIA') media.push(readAttributes(value))
    else if (tag === 'EXT-X-STREAM-INF') pending = readAttributes(value)
    else if (isUri(line) && pending) {
      variants.push({ uri: line, attributes: pending })
      pending = undefined
    }
  }
  return { kind: 'multivariant', version, independentSegments, variants, media }
}

interface OpenSegment {
  durationSeconds: number | undefined
  discontinuity: boolean
  gap: boolean
  startedAt: number | undefined
  parts: ReadPart[]
}

class MediaReader {
  version = 1
  target = 0
  mediaSequence = 0
  discontinuitySequence = 0
  endList = false
  skipped = 0
  removedDateRanges: readonly string[] | undefined
  readonly dateRanges: Attributes[] = []
  partTarget: number | undefined
  serverControl: Attributes = {}
  map: string | undefined
  readonly hints: Attributes[] = []
  readonly reports: Attributes[] = []
  readonly segments: ReadSegment[] = []
  pending: OpenSegment = emptySegment()

  tag(tag: string, value: string): void {
    switch (tag) {
      case 'EXT-X-VERSION':
        this.version = integer(tag, value)
        break
      case 'EXT-X-TARGETDURATION':
        this.target = integer(tag, value)
        break
      case 'EXT-X-MEDIA-SEQUENCE':
        this.mediaSequence = integer(tag, value)
        break
      case 'EXT-X-DISCONTINUITY-SEQUENCE':
        this.discontinuitySequence = integer(tag, value)
        break
      case 'EXT-X-ENDLIST':
        this.endList = true
        break
      case 'EXT-X-SKIP':
        this.skip(readAttributes(value))
        break
      case 'EXT-X-DATERANGE':
        this.dateRanges.push(readAttributes(value))
        break
      case 'EXT-X-PART-INF':
        this.partTarget = seconds(tag, readAttributes(value)['PART-TARGET'] ?? '')
        break
      case 'EXT-X-SERVER-CONTROL':
        this.serverControl = readAttributes(value)
        break
      case 'EXT-X-PRELOAD-HINT':
        this.hints.push(readAttributes(value))
        break
      case 'EXT-X-RENDITION-REPORT':
        this.reports.push(readAttributes(value))
        break
      default:
        this.segmentTag(tag, value)
    }
  }

  skip(attributes: Attributes): void {
    this.skipped = integer('EXT-X-SKIP', attributes['SKIPPED-SEGMENTS'] ?? '')
    const removed = attributes['RECENTLY-REMOVED-DATERANGES']
    this.removedDateRanges = removed?.split('\t').filter((id) => id !== '')
  }

  segmentTag(tag: string, value: string): void {
    switch (tag) {
      case 'EXT-X-MAP':
        this.map = readAttributes(value)['URI']
        break
      case 'EXT-X-DISCONTINUITY':
        this.pending.discontinuity = true
        break
      case 'EXT-X-GAP':
        this.pending.gap = true
        break
      case 'EXT-X-PROGRAM-DATE-TIME':
        this.pending.startedAt = date(tag, value)
        break
      case 'EXT-X-PART':
        this.pending.parts.push(readPart(value))
        break
      case 'EXTINF':
        this.pending.durationSeconds = seconds(tag, value.split(',', 1)[0] ?? '')
        break
      default:
    }
  }

  uri(uri: string | undefined): void {
    const { durationSeconds, parts, ...tags } = this.pending
    const listed = parts.reduce((sum, part) => sum + part.durationSeconds, 0)
    if (uri !== undefined && durationSeconds === undefined)
      throw new NearcastError('media-broken', `segment ${uri} has no EXTINF`)
    this.segments.push({
      ...tags,
      sequence: this.mediaSequence + this.skipped + this.segments.length,
      uri,
      durationSeconds: durationSeconds ?? listed,
      map: this.map,
      parts,
    })
    this.pending = emptySegment()
  }
}

function readMedia(lines: readonly string[]): ReadMedia {
  const reader = new MediaReader()
  for (const line of lines) {
    const [tag, value] = splitTag(line)
    if (tag !== undefined) reader.tag(tag, value)
    else if (isUri(line)) reader.uri(line)
  }
  if (reader.pending.parts.length > 0) reader.uri(undefined)
  return {
    kind: 'media',
    version: reader.version,
    targetDurationSeconds: reader.target,
    mediaSequence: reader.mediaSequence,
    discontinuitySequence: reader.discontinuitySequence,
    endList: reader.endList,
    skippedSegments: reader.skipped,
    removedDateRanges: reader.removedDateRanges,
    dateRanges: reader.dateRanges,
    partTargetSeconds: reader.partTarget,
    serverControl: reader.serverControl,
    preloadHints: reader.hints,
    renditionReports: reader.reports,
    segments: reader.segments,
  }
}

function emptySegment(): OpenSegment {
  return {
    durationSeconds: undefined,
    discontinuity: false,
    gap: false,
    startedAt: undefined,
    parts: [],
  }
}

function readPart(value: string): ReadPart {
  const attributes = readAttributes(value)
  const uri = attributes['URI']
  if (uri === undefined) throw new NearcastError('media-broken', 'EXT-X-PART has no URI')
  return {
    uri,
    durationSeconds: seconds('EXT-X-PART', attributes['DURATION'] ?? ''),
    independent: attributes['INDEPENDENT'] === 'YES',
    gap: attributes['GAP'] === 'YES',
  }
}

function splitTag(line: string): readonly [tag: string | undefined, value: string] {
  if (!line.startsWith('#EXT')) return [undefined, '']
  const colon = line.indexOf(':')
  return colon < 0 ? [line.slice(1), ''] : [line.slice(1, colon), line.slice(colon + 1)]
}

/** §4.1: neither blank nor a comment. */
function isUri(line: string): boolean {
  return line !== '' && !line.startsWith('#')
}

/** An attribute list (§4.2), up to where it stops being one; quotation marks are taken off. */
function readAttributes(text: string): Attributes {
  const attributes: Record<string, string> = Object.create(null)
  // Sticky: a search for the next name would be quadratic in a line of 8 MB.
  for (const match of text.matchAll(/ *([A-Z0-9-]+)=("[^"]*"|[^",]*)(?:,|$)/gy)) {
    const [, name, value] = match
    if (name !== undefined && value !== undefined) attributes[name] = value.replaceAll('"', '')
  }
  return attributes
}

function integer(tag: string, text: string): number {
  const value = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value))
    throw new NearcastError('media-broken', `${tag} is not a number: ${text.slice(0, 40)}`)
  return value
}

function date(tag: string, text: string): number {
  const value = Date.parse(text)
  if (Number.isNaN(value))
    throw new NearcastError('media-broken', `${tag} is not a date: ${text.slice(0, 40)}`)
  return value
}

function seconds(tag: string, text: string): number {
  if (!/^\d{1,12}(\.\d{1,20})?$/.test(text))
    throw new NearcastError('media-broken', `${tag} has no duration: ${text.slice(0, 40)}`)
  return Number(text)
}
