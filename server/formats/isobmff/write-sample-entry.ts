import type { Chromaticity, Colour, ContentLight, MasteringDisplay } from '../../codecs/colour.ts'
import type { AudioTrack, Track, VideoTrack } from '../../codecs/track.ts'
import { assertNever } from '../../lib/errors.ts'
import { box, fullBox, u16, u32, u8 } from './write-box.ts'

/** The `stsd` entry of a track: what a decoder needs before the first sample. */
export function writeSampleEntry(track: Track): Buffer {
  return track.kind === 'video' ? videoEntry(track) : audioEntry(track)
}

function videoEntry(track: VideoTrack): Buffer {
  const [horizontal, vertical] = track.pixelAspect
  const pasp = horizontal === vertical ? [] : [box('pasp', u32(horizontal, vertical))]
  // ISO/IEC 14496-12 §12.1.3: 72 dpi, one frame a sample, no compressor name, depth 24.
  return box(
    entryType(track),
    u32(0),
    u16(0, 1),
    u32(0, 0, 0, 0),
    u16(track.width, track.height),
    u32(0x480000, 0x480000, 0),
    u16(1),
    Buffer.alloc(32),
    u16(24, 0xffff),
    videoConfig(track),
    ...pasp,
    ...(track.colour ? [colourBox(track.colour)] : []),
    ...(track.mastering ? [masteringBox(track.mastering)] : []),
    ...(track.contentLight ? [contentLightBox(track.contentLight)] : []),
  )
}

/** ISO/IEC 14496-12 §12.1.5, `nclx`. */
function colourBox({ primaries, transfer, matrix, fullRange }: Colour): Buffer {
  const nclx = Buffer.from('nclx', 'latin1')
  return box('colr', nclx, u16(primaries, transfer, matrix), u8(fullRange ? 0x80 : 0))
}

/** §12.1.6: green, blue, red and white in steps of 0.00002; luminances in steps of 0.0001 cd/m². */
function masteringBox(display: MasteringDisplay): Buffer {
  const { green, blue, red, white, maxLuminance, minLuminance } = display
  const point = ([x, y]: Chromaticity) => u16(Math.round(x * 50_000), Math.round(y * 50_000))
  const luminances = u32(Math.round(maxLuminance * 10_000), Math.round(minLuminance * 10_000))
  return box('mdcv', point(green), point(blue), point(red), point(white), luminances)
}

/** §12.1.7: whole cd/m². */
function contentLightBox({ maxCll, maxFall }: ContentLight): Buffer {
  return box('clli', u16(Math.round(maxCll), Math.round(maxFall)))
}

function videoConfig(track: VideoTrack): Buffer {
  switch (track.codec) {
    case 'avc':
      return box('avcC', track.config)
    case 'hevc':
      return box('hvcC', track.config)
    case 'av1':
      return box('av1C', track.config)
    case 'vp9':
      // The configuration of VP9 is the full box's payload behind version and flags (VP codec ISO binding §2.2).
      return fullBox('vpcC', 1, 0, track.config)
    default:
      return assertNever(track.codec)
  }
}

function audioEntry(track: AudioTrack): Buffer {
  // §12.2.3: the rate field holds 16 bits; a higher rate stands in the codec's own configuration.
  const rate = track.sampleRate < 65536 ? track.sampleRate : 0
  return box(
    entryType(track),
    u32(0),
    u16(0, 1),
    u32(0, 0),
    u16(track.channels, 16, 0, 0),
    u16(rate, 0),
    audioConfig(track),
  )
}

function audioConfig(track: AudioTrack): Buffer {
  switch (track.codec) {
    case 'aac':
      return esds(0x40, track.config)
    case 'mp3':
      return esds(0x6b, undefined)
    case 'opus':
      return box('dOps', track.config)
    case 'flac':
      return fullBox('dfLa', 0, 0, track.config)
    case 'ac3':
      return box('dac3', track.config)
    case 'eac3':
      return box('dec3', track.config)
    default:
      return assertNever(track.codec)
  }
}

/** The four characters before the first dot of the codec string where they name the entry, so that CODECS and file agree. */
function entryType(track: Track): string {
  switch (track.codec) {
    case 'avc':
      return track.codecString.startsWith('avc3') ? 'avc3' : 'avc1'
    case 'hevc':
      return track.codecString.startsWith('hev1') ? 'hev1' : 'hvc1'
    case 'av1':
      return 'av01'
    case 'vp9':
      return 'vp09'
    case 'aac':
    case 'mp3':
      return 'mp4a'
    case 'opus':
      return 'Opus'
    case 'flac':
      return 'fLaC'
    case 'ac3':
      return 'ac-3'
    case 'eac3':
      return 'ec-3'
    default:
      return assertNever(track)
  }
}

/** ISO/IEC 14496-1 §7.2.6: ES descriptor ⊃ decoder configuration (⊃ specific info), SL configuration 2 (MP4). */
function esds(objectType: number, specific: Uint8Array | undefined): Buffer {
  const info = specific ? [descriptor(0x05, specific)] : []
  const decoder = descriptor(0x04, u8(objectType, 0x15, 0, 0, 0), u32(0, 0), ...info)
  return fullBox('esds', 0, 0, descriptor(0x03, u16(0), u8(0), decoder, descriptor(0x06, u8(2))))
}

function descriptor(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const n = body.length
  // Four length bytes always: what other muxers write, and long configurations fit.
  const head = u8(
    tag,
    0x80 | ((n >> 21) & 0x7f),
    0x80 | ((n >> 14) & 0x7f),
    0x80 | ((n >> 7) & 0x7f),
    n & 0x7f,
  )
  return Buffer.concat([head, body])
}
