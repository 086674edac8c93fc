import { NearcastError } from '../lib/errors.ts'

/** What a path under `/vod` asks for. */
export type VodAddress =
  | { readonly kind: 'master'; readonly key: string }
  | {
      readonly kind: 'playlist'
      readonly key: string
      readonly hash: string
      readonly rendition: string
    }
  | {
      readonly kind: 'init'
      readonly key: string
      readonly hash: string
      readonly rendition: string
      /** 0-based sample description. */
      readonly description: number
    }
  | {
      readonly kind: 'segment'
      readonly key: string
      readonly hash: string
      readonly rendition: string
      readonly segment: number
    }

const PREFIX = '/vod/'
const MASTER = /^(.+)\/index\.m3u8$/
const VERSIONED =
  /^(.+)\/([0-9a-f]{16})\/([a-z]+\d{0,2})(\.m3u8|\.mp4|\.d(\d{1,3})\.mp4|-(\d{1,6})\.m4s)$/
/** S3 keys have at most 1024 bytes of UTF-8, each up to three characters here. */
const PATH_MAX = 4096

/** undefined when no film has such an address; throws `bad-request` when the path can't be decoded. */
export function parseVodAddress(path: string): VodAddress | undefined {
  if (path.length > PATH_MAX) throw new NearcastError('bad-request', `a path of ${path.length}`)
  const rest = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : path.replace(/^\//, '')
  const master = MASTER.exec(rest)
  if (master?.[1]) return { kind: 'master', key: decodeKey(master[1]) }
  const versioned = VERSIONED.exec(rest)
  if (versioned === null) return undefined
  const [, encoded = '', hash = '', rendition = '', ending = '', description, segment] = versioned
  const base = { key: decodeKey(encoded), hash, rendition }
  if (segment !== undefined) return { kind: 'segment', ...base, segment: Number(segment) }
  if (ending === '.m3u8') return { kind: 'playlist', ...base }
  return { kind: 'init', ...base, description: Number(description ?? 0) }
}

function decodeKey(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    throw new NearcastError('bad-request', `the path ${encoded} is not percent-encoded UTF-8`)
  }
}
