/** What a path under `/vod/recordings/` asks for. */
export type RecordingAddress = {
  /** `recordings/NAME/START` or `recordings/NAME/clips/ID`. */
  readonly key: string
} & (
  | { readonly kind: 'master' }
  | { readonly kind: 'playlist'; readonly rendition: string }
  /** `EPOCH/video-init-1.mp4` */
  | { readonly kind: 'init'; readonly uri: string }
  | {
      readonly kind: 'segment'
      readonly rendition: string
      readonly epoch: string
      readonly sequence: number
    }
)

const BELOW =
  /^(?:\/vod)?\/(recordings\/[A-Za-z0-9_-]{1,64}\/(?:\d{8}T\d{6}Z|clips\/[a-z0-9]{1,32}))\/(.+)$/
const PLAYLIST = /^([a-z][a-z0-9]{0,31})\.m3u8$/
const INIT = /^[a-z0-9]{1,32}\/[a-z][a-z0-9]{0,31}-init-\d{1,9}\.mp4$/
const SEGMENT = /^([a-z0-9]{1,32})\/([a-z][a-z0-9]{0,31})-(\d{1,15})\.m4s$/
const PATH_MAX = 400

/** undefined when it is no part of a recording or clip; such names need no percent-encoding. */
export function parseRecordingAddress(path: string): RecordingAddress | undefined {
  if (path.length > PATH_MAX) return undefined
  const [, key, file] = BELOW.exec(path) ?? []
  if (key === undefined || file === undefined) return undefined
  if (file === 'index.m3u8') return { kind: 'master', key }
  const [, playlist] = PLAYLIST.exec(file) ?? []
  if (playlist !== undefined) return { kind: 'playlist', key, rendition: playlist }
  if (INIT.test(file)) return { kind: 'init', key, uri: file }
  const [, epoch, rendition, sequence] = SEGMENT.exec(file) ?? []
  if (epoch === undefined || rendition === undefined) return undefined
  return { kind: 'segment', key, epoch, rendition, sequence: Number(sequence) }
}
