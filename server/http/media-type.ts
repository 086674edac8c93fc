import { Mime } from 'mime'
import otherTypes from 'mime/types/other.js'
import standardTypes from 'mime/types/standard.js'

const mime = new Mime(standardTypes, otherTypes).define(
  {
    // RFC 8216 §4, and what hls.js and AVPlayer are tested with.
    'application/vnd.apple.mpegurl': ['m3u8', 'm3u'],
    'video/mp2t': ['ts', 'm2ts', 'mts'],
    // ISO/IEC 23000-19: a CMAF segment is an ISO base media file.
    'video/mp4': ['mp4', 'm4v', 'm4s', 'cmfv', 'mp4v'],
    'audio/mp4': ['m4a', 'cmfa', 'mp4a'],
    'audio/aac': ['aac', 'adts'],
    'video/x-flv': ['flv'],
    'video/x-matroska': ['mkv'],
    'application/dash+xml': ['mpd'],
    'text/vtt': ['vtt'],
    'text/javascript': ['js', 'mjs'],
    'application/json': ['json', 'map'],
    'image/x-icon': ['ico'],
  },
  true,
)

// RFC 9239 §3 and RFC 8259 §8.1 fix UTF-8 for some of these; naming it keeps old players from guessing.
const TEXT = /^(?:text\/|application\/(?:json|xml|xhtml\+xml|manifest\+json)$|image\/svg\+xml$)/
const UNKNOWN = 'application/octet-stream'

/** The Content-Type for a path by its extension, with charset for text; `application/octet-stream` when unknown. */
export function mediaTypeOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (!name.includes('.')) return UNKNOWN
  const type = mime.getType(name) ?? UNKNOWN
  return TEXT.test(type) ? `${type}; charset=utf-8` : type
}
