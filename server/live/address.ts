import type { RenditionId } from './window-event.ts'

/** `main` covers a minute, `dvr` all that can be rewound. */
export type PlaylistSpan = 'main' | 'dvr'

export interface MediaPlaylistName {
  readonly span: PlaylistSpan
  readonly rendition: RenditionId
  /** The target duration that this URL promises, in seconds. */
  readonly target: number
}

/** What a path below a stream's folder names. */
export type LiveResource =
  | { readonly kind: 'multivariant'; readonly span: PlaylistSpan }
  | ({ readonly kind: 'media-playlist' } & MediaPlaylistName)
  | { readonly kind: 'poster' }
  | { readonly kind: 'init'; readonly rendition: RenditionId; readonly uri: string }
  | {
      readonly kind: 'media'
      readonly epoch: string
      readonly rendition: RenditionId
      readonly sequence: number
      /** undefined: the whole segment. */
      readonly part: number | undefined
    }

export interface LiveAddress {
  readonly name: string
  readonly resource: LiveResource
}

/** Reads `/live/NAME/…` (percent-encoded, with or without `/live`); undefined when nothing has such an address. */
export function readLiveAddress(path: string): LiveAddress | undefined {
  const [encoded, ...rest] = path
    .replace(/^\/live(?=\/)/, '')
    .slice(1)
    .split('/')
  const name = encoded === undefined ? undefined : decodeName(encoded)
  const resource = name === undefined ? undefined : readResource(rest)
  return name === undefined || resource === undefined ? undefined : { name, resource }
}

function decodeName(encoded: string): string | undefined {
  try {
    const name = decodeURIComponent(encoded)
    return name === '' || name.length > 200 ? undefined : name
  } catch {
    return undefined
  }
}

function readResource(parts: readonly string[]): LiveResource | undefined {
  const [first, second] = parts
  if (first === undefined || parts.length > 2) return undefined
  if (second !== undefined) return readMedia(first, second)
  if (first === 'index.m3u8') return { kind: 'multivariant', span: 'main' }
  if (first === 'dvr.m3u8') return { kind: 'multivariant', span: 'dvr' }
  if (first === 'poster.jpg') return { kind: 'poster' }
  const [, dvr, rendition, target] =
    /^(dvr-)?([a-z][a-z0-9]{0,31})-t(\d{1,3})\.m3u8$/.exec(first) ?? []
  if (rendition === undefined || target === undefined) return undefined
  return { kind: 'media-playlist', span: dvr ? 'dvr' : 'main', rendition, target: Number(target) }
}

function readMedia(epoch: string, file: string): LiveResource | undefined {
  if (!/^[a-z0-9]{1,32}$/.test(epoch)) return undefined
  const [, initOf] = /^([a-z][a-z0-9]{0,31})-init-\d{1,9}\.mp4$/.exec(file) ?? []
  if (initOf !== undefined) return { kind: 'init', rendition: initOf, uri: `${epoch}/${file}` }
  const [, rendition, sequence, part] =
    /^([a-z][a-z0-9]{0,31})-(\d{1,15})(?:\.(\d{1,9}))?\.m4s$/.exec(file) ?? []
  if (rendition === undefined || sequence === undefined) return undefined
  return {
    kind: 'media',
    epoch,
    rendition,
    sequence: Number(sequence),
    part: part === undefined ? undefined : Number(part),
  }
}

/** `video-t2.m3u8`, `dvr-audio-t2.m3u8`: a target duration may never change (rfc8216bis §4.4.3.1), so the URL holds it. */
export function mediaPlaylistUri(name: MediaPlaylistName): string {
  return `${name.span === 'dvr' ? 'dvr-' : ''}${name.rendition}-t${name.target}.m3u8`
}

/** Relative to the stream's folder: `EPOCH/video-12.m4s`. */
export function segmentUri(
  rendition: RenditionId,
  segment: { readonly epoch: string; readonly sequence: number },
): string {
  return `${segment.epoch}/${rendition}-${segment.sequence}.m4s`
}

/** `EPOCH/video-12.3.m4s` */
export function partUri(
  rendition: RenditionId,
  epoch: string,
  sequence: number,
  index: number,
): string {
  return `${epoch}/${rendition}-${sequence}.${index}.m4s`
}

/** `EPOCH/video-init-1.mp4` */
export function initUri(rendition: RenditionId, epoch: string, number: number): string {
  return `${epoch}/${rendition}-init-${number}.mp4`
}
