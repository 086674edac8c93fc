import type { Track, VideoTrack } from '../../codecs/track.ts'
import { box, fullBox, i32, u16, u32, u64, u8 } from './write-box.ts'
import { writeSampleEntry } from './write-sample-entry.ts'

export interface InitOptions {
  /** By track id: the media time (ticks of the track) that is presented at 0; makes an edit list. */
  readonly mediaTimes?: ReadonlyMap<number, number>
  /** By track id: a whole sample entry to use as it is, where a source's says more than a Track (colours, HDR). */
  readonly sampleEntries?: ReadonlyMap<number, Uint8Array>
  /** Ticks a second of the movie header. */
  readonly movieTimescale?: number
}

/**
 * The init section of a fragmented MP4 with these tracks (CMAF header, ISO/IEC 23000-19 §7.3.1). The same tracks give the
 * same bytes on every machine and at every time.
 */
export function writeInit(tracks: readonly Track[], options: InitOptions = {}): Buffer {
  const movieTimescale = options.movieTimescale ?? 1000
  const nextTrackId = Math.max(0, ...tracks.map((track) => track.id)) + 1
  return Buffer.concat([
    box('ftyp', latin1('iso6'), u32(0), latin1('iso6cmf2mp41')),
    box(
      'moov',
      movieHeader(movieTimescale, nextTrackId),
      ...tracks.map((track) => trackBox(track, options)),
      box('mvex', ...tracks.map((track) => fullBox('trex', 0, 0, u32(track.id, 1, 0, 0, 0)))),
    ),
  ])
}

function movieHeader(timescale: number, nextTrackId: number): Buffer {
  return fullBox(
    'mvhd',
    0,
    0,
    u32(0, 0, timescale, 0),
    u32(0x10000),
    u16(0x100, 0),
    u32(0, 0),
    matrix(0),
    u32(0, 0, 0, 0, 0, 0),
    u32(nextTrackId),
  )
}

function trackBox(track: Track, options: InitOptions): Buffer {
  const mediaTime = options.mediaTimes?.get(track.id)
  const entry = options.sampleEntries?.get(track.id) ?? writeSampleEntry(track)
  const edit = mediaTime === undefined ? [] : [editList(mediaTime)]
  return box('trak', trackHeader(track), ...edit, mediaBox(track, entry))
}

function trackHeader(track: Track): Buffer {
  const video = track.kind === 'video' ? track : undefined
  const [width, height] = video ? displaySize(video) : [0, 0]
  // flags: enabled, in movie, in preview
  return fullBox(
    'tkhd',
    0,
    7,
    u32(0, 0, track.id, 0, 0),
    u32(0, 0),
    u16(0, video ? 0 : 1, video ? 0 : 0x100, 0),
    matrix(video?.rotation ?? 0),
    u32(width, height),
  )
}

/** 16.16 presentation size before rotation: the coded size with its pixels made square. */
function displaySize(track: VideoTrack): readonly [number, number] {
  const [horizontal, vertical] = track.pixelAspect
  const width = Math.round((track.width * 65536 * horizontal) / vertical)
  return [Math.min(width, 0xffffffff), track.height * 65536]
}

function matrix(rotation: VideoTrack['rotation']): Buffer {
  const cos = { 0: 1, 90: 0, 180: -1, 270: 0 }[rotation] * 0x10000
  const sin = { 0: 0, 90: 1, 180: 0, 270: -1 }[rotation] * 0x10000
  return i32(cos, sin, 0, -sin, cos, 0, 0, 0, 0x40000000)
}

/** §8.6.6: one edit of unknown (0) duration, which in a fragmented file lasts to the end. */
function editList(mediaTime: number): Buffer {
  return box('edts', fullBox('elst', 1, 0, u32(1), u64(0), u64(mediaTime), u16(1, 0)))
}

function mediaBox(track: Track, sampleEntry: Uint8Array): Buffer {
  const video = track.kind === 'video'
  const header = video ? fullBox('vmhd', 0, 1, u16(0, 0, 0, 0)) : fullBox('smhd', 0, 0, u16(0, 0))
  return box(
    'mdia',
    fullBox('mdhd', 0, 0, u32(0, 0, track.timescale, 0), u16(packLanguage(track.language), 0)),
    fullBox(
      'hdlr',
      0,
      0,
      u32(0),
      latin1(video ? 'vide' : 'soun'),
      u32(0, 0, 0),
      latin1(video ? 'VideoHandler\0' : 'SoundHandler\0'),
    ),
    box(
      'minf',
      header,
      box('dinf', fullBox('dref', 0, 0, u32(1), fullBox('url ', 0, 1))),
      box(
        'stbl',
        fullBox('stsd', 0, 0, u32(1), sampleEntry),
        fullBox('stts', 0, 0, u32(0)),
        fullBox('stsc', 0, 0, u32(0)),
        fullBox('stsz', 0, 0, u32(0, 0)),
        fullBox('stco', 0, 0, u32(0)),
      ),
    ),
  )
}

/** §8.4.2: three letters of ISO 639-2 in five bits each; anything else is `und`. */
function packLanguage(language: string): number {
  const code = /^[a-z]{3}$/.test(language) ? language : 'und'
  return [...u8(...Buffer.from(code, 'latin1'))].reduce(
    (packed, letter) => (packed << 5) | (letter - 0x60),
    0,
  )
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}
