/** What a page shows: a stream by name, or a stored object by key. */
export interface MediaTarget {
  readonly kind: 'live' | 'vod'
  /** Stream name or object key, decoded. */
  readonly key: string
  /** Address of its playlist on the same host, each segment percent-encoded anew. */
  readonly src: string
  /** Address of its picture on the same host; undefined where there is none. */
  readonly poster?: string | undefined
}

/** Where a request for a page leads. */
export interface PageAddress {
  readonly view: 'watch' | 'embed'
  readonly target: MediaTarget
}

/** S3's limit for a key; a stream's name is shorter. */
const KEY_LIMIT = 1024

/** `recordings/NAME/20260102T030405Z` and `recordings/NAME/clips/ID`. */
const RECORDING = /^recordings\/([^/]+)\/(?:(\d{8})T(\d{4})\d\dZ|clips\/([^/]+))$/

/** Reads `/watch|embed/live|vod/NAME`, slashes of a key kept; undefined for everything else. */
export function readPageAddress(path: string): PageAddress | undefined {
  const [empty, view, kind, ...rest] = path.split('/')
  if (empty !== '' || (view !== 'watch' && view !== 'embed')) return undefined
  if (kind !== 'live' && kind !== 'vod') return undefined
  const segments = rest.map(decodeSegment)
  if (segments.length === 0 || (kind === 'live' && segments.length > 1)) return undefined
  const key = segments.join('/')
  if (key.length > KEY_LIMIT || !segments.every(isPlain)) return undefined
  const folder = `/${kind}/${encodeKey(key)}`
  const poster = kind === 'live' ? `${folder}/poster.jpg` : undefined
  return { view, target: { kind, key, src: `${folder}/index.m3u8`, poster } }
}

/** `/embed/vod/…` and `/watch/vod/…` of a target. */
export function pagePath(view: PageAddress['view'], target: MediaTarget): string {
  return `/${view}/${target.kind}/${encodeKey(target.key)}`
}

/** The stream's name; of a recording with its beginning, of a clip with its id; of a file the last part of its key without extension. */
export function titleOf(target: MediaTarget): string {
  if (target.kind === 'live') return target.key
  const [, stream, day, time, clip] = RECORDING.exec(target.key) ?? []
  if (stream !== undefined && clip !== undefined) return `${stream}, clip ${clip}`
  if (stream !== undefined && day !== undefined && time !== undefined)
    return `${stream}, ${day.replace(/(....)(..)/, '$1-$2-')} ${time.replace(/(..)/, '$1:')} UTC`
  const name = target.key.slice(target.key.lastIndexOf('/') + 1)
  return name.replace(/(?<=.)\.[A-Za-z0-9]{1,5}$/, '')
}

function encodeKey(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/')
}

/** '' for bytes that are not UTF-8, which no segment may be. */
function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return ''
  }
}

function isPlain(segment: string): boolean {
  if (segment === '' || segment === '.' || segment === '..') return false
  return !Array.from(segment).some(isForbidden)
}

/** Half of a surrogate pair, which has no bytes; control characters; and both slashes: decoded ones would begin a new segment somewhere behind us. */
function isForbidden(char: string): boolean {
  if (char.length === 1 && char >= '\ud800' && char <= '\udfff') return true
  return char < ' ' || char === '\u007f' || char === '/' || char === '\\'
}
