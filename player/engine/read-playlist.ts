/** What is fetched and appended at once: a part, or a whole segment. Seconds on the playlist's own clock, which begins at 0. */
export interface Piece {
  readonly url: string
  readonly start: number
  readonly end: number
  /** Media sequence number, and the part's place in the segment; -1 for a whole segment. */
  readonly msn: number
  readonly part: number
  /** Begins with a picture that needs no other. */
  readonly independent: boolean
}

/** What a media playlist says, as far as a start needs it. */
export interface MediaList {
  readonly url: string
  readonly live: boolean
  readonly mapUrl: string
  readonly pieces: readonly Piece[]
  /** Of the first segment, milliseconds since 1970; undefined without EXT-X-PROGRAM-DATE-TIME. */
  readonly startsAt: number | undefined
  readonly end: number
  /** How far before `end` a player begins. */
  readonly holdBack: number
  /** The next part can be waited for (RFC 8216bis §6.2.5.2). */
  readonly next: { readonly msn: number; readonly part: number } | undefined
}

export interface Variant {
  readonly url: string
  readonly codecs: readonly string[]
  /** The playlist of the sound; undefined when it is in the variant's own. */
  readonly audioUrl: string | undefined
}

/** Whatever changes how bytes are found, read or placed is left to hls.js. */
const MASTER_BEYOND = /^#EXT-X-(?:DEFINE|SESSION-KEY|CONTENT-STEERING|START)\b/m
const MEDIA_BEYOND =
  /^#EXT-X-(?:KEY|DEFINE|SKIP|DISCONTINUITY(?!-)|I-FRAMES-ONLY|START)\b|BYTERANGE/m
const SEGMENTS_MOST = 20_000
const MASTER_MOST = 256_000

/** The first variant of a multivariant playlist and its sound; undefined when there is more to know than is read here. */
export function readMaster(text: string, url: string): Variant | undefined {
  if (text.length > MASTER_MOST || !text.startsWith('#EXTM3U') || MASTER_BEYOND.test(text)) return
  const lines = text.split(/\r?\n/)
  const at = lines.findIndex((line) => line.startsWith('#EXT-X-STREAM-INF:'))
  const uri = lines[at + 1]
  const attributes = readAttributes(lines[at] ?? '')
  const codecs = attributes.get('CODECS')?.split(',') ?? []
  if (at < 0 || !uri || uri.startsWith('#') || codecs.length === 0) return
  const group = attributes.get('AUDIO')
  const sounds = lines
    .filter((line) => group !== undefined && line.startsWith('#EXT-X-MEDIA:'))
    .map(readAttributes)
    .filter((sound) => sound.get('TYPE') === 'AUDIO' && sound.get('GROUP-ID') === group)
  const sound = sounds.find((one) => one.get('DEFAULT') === 'YES') ?? sounds[0]
  const audioUri = sound?.get('URI')
  const audioUrl = audioUri === undefined ? undefined : resolve(audioUri, url)
  const variantUrl = resolve(uri, url)
  if (variantUrl === undefined || (audioUri !== undefined && audioUrl === undefined)) return
  return { url: variantUrl, codecs, audioUrl }
}

/** A media playlist of CMAF segments; undefined for any other, and for what is left to hls.js. */
export function readMedia(text: string, url: string): MediaList | undefined {
  if (!text.startsWith('#EXTM3U') || MEDIA_BEYOND.test(text)) return
  const control = readAttributes(/^#EXT-X-SERVER-CONTROL:.*$/m.exec(text)?.[0] ?? '')
  const target = Number(/^#EXT-X-TARGETDURATION:(\d+)/m.exec(text)?.[1])
  const read = readPieces(text, url)
  if (!read || !(target > 0)) return
  const { pieces, mapUrl, end, startsAt, next } = read
  const live = !/^#EXT-X-ENDLIST/m.test(text)
  const parts = next.part > 0 || pieces.some((piece) => piece.part >= 0)
  const wanted = (parts ? control.get('PART-HOLD-BACK') : undefined) ?? control.get('HOLD-BACK')
  const holdBack = Number(wanted ?? 3 * target)
  if (!(holdBack >= 0)) return
  const blocks = live && parts && control.get('CAN-BLOCK-RELOAD') === 'YES'
  return { url, live, mapUrl, pieces, startsAt, end, holdBack, next: blocks ? next : undefined }
}

function readPieces(text: string, url: string) {
  const pieces: Piece[] = []
  let mapUrl: string | undefined
  let startsAt: number | undefined
  let msn = 0
  let part = 0
  let at = 0
  let segmentAt = 0
  let duration = Number.NaN
  let gap = false
  for (const line of text.split(/\r?\n/)) {
    if (pieces.length > SEGMENTS_MOST) return
    if (line.startsWith('#EXT-X-MEDIA-SEQUENCE:')) {
      msn = Number(line.slice(22))
      if (pieces.length > 0 || !Number.isSafeInteger(msn)) return
    } else if (line.startsWith('#EXT-X-MAP:')) {
      const next = resolve(readAttributes(line).get('URI') ?? '', url)
      if (next === undefined || (mapUrl !== undefined && mapUrl !== next)) return
      mapUrl = next
    } else if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) {
      if (startsAt !== undefined) continue
      startsAt = Date.parse(line.slice(25)) - segmentAt * 1000
      if (!Number.isFinite(startsAt)) return
    } else if (line.startsWith('#EXT-X-GAP')) gap = true
    else if (line.startsWith('#EXTINF:')) duration = Number.parseFloat(line.slice(8))
    else if (line.startsWith('#EXT-X-PART:')) {
      const attributes = readAttributes(line)
      const seconds = Number(attributes.get('DURATION'))
      const uri = resolve(attributes.get('URI') ?? '', url)
      if (!(seconds >= 0) || uri === undefined) return
      const independent = attributes.get('INDEPENDENT') === 'YES'
      const end = at + seconds
      if (attributes.get('GAP') !== 'YES')
        pieces.push({ url: uri, start: at, end, msn, part, independent })
      at = end
      part += 1
    } else if (line !== '' && !line.startsWith('#')) {
      const uri = resolve(line, url)
      if (!(duration >= 0) || uri === undefined) return
      const end = segmentAt + duration
      if (!gap) pieces.push({ url: uri, start: segmentAt, end, msn, part: -1, independent: true })
      segmentAt = end
      at = end
      msn += 1
      part = 0
      duration = Number.NaN
      gap = false
    }
  }
  if (mapUrl === undefined || pieces.length === 0) return
  return { pieces, mapUrl, startsAt, end: at, next: { msn, part } }
}

/**
 * What is appended from `position` on, in order: begins where a picture needs no other, and has whole segments where
 * nothing is saved by parts. Empty when `position` lies before it all.
 */
export function piecesFrom(list: MediaList, position: number): readonly Piece[] {
  const { pieces } = list
  const starts = pieces.filter((piece) => piece.independent && piece.start <= position + 0.001)
  const latest = starts.reduce((most, piece) => Math.max(most, piece.start), 0)
  // Of a segment and its first part the segment: one request for the whole.
  const [first] = starts
    .filter((piece) => piece.start === latest)
    .sort((one, other) => one.part - other.part)
  if (!first) return []
  return piecesAfter(list, first.msn, first.part < 0 ? 0 : first.part)
}

/** From part `part` of segment `msn` on. A segment begun in its middle, or not complete, comes in parts. */
export function piecesAfter(list: MediaList, msn: number, part: number): readonly Piece[] {
  const whole = new Set(
    list.pieces
      .filter((piece) => piece.part < 0 && (piece.msn > msn || (piece.msn === msn && part === 0)))
      .map((piece) => piece.msn),
  )
  return list.pieces.filter((piece) => {
    if (piece.part < 0) return whole.has(piece.msn)
    if (whole.has(piece.msn)) return false
    return piece.msn > msn || (piece.msn === msn && piece.part >= part)
  })
}

function readAttributes(line: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const [, name, quoted, plain] of line.matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,"]*))/g))
    if (name !== undefined) found.set(name, quoted ?? plain ?? '')
  return found
}

function resolve(uri: string, base: string): string | undefined {
  if (uri === '' || !URL.canParse(uri, base)) return undefined
  const { href, protocol } = new URL(uri, base)
  return protocol === 'http:' || protocol === 'https:' ? href : undefined
}
