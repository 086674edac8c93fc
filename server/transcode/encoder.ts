import type { PlannedRung } from './ladder-plan.ts'

/** An H.264 encoder of this machine's ffmpeg that was seen at work. */
export interface Encoder {
  /** ffmpeg's name for it. */
  readonly name: string
  readonly hardware: boolean
  /** The RFC 6381 string of what it makes up to the level: `avc1.6400`. */
  readonly codecPrefix: string
  /** Seconds of one core for a million pixels, decoding not counted. */
  readonly secondsPerMegapixel: number
}

/** How much an encoder is given to do. */
export type Effort = 'usual' | 'less'

export interface EncoderTask {
  readonly rung: Pick<PlannedRung, 'width' | 'height' | 'bitsPerSecond' | 'level'>
  readonly effort: Effort
  readonly threads: number
  /** A key frame after so many pictures, if the source has none before. */
  readonly groupPictures: number
}

/** Render node of VAAPI and QSV on Linux. */
export const RENDER_NODE = '/dev/dri/renderD128'

/** Options before the inputs. */
export function deviceOptions(name: string): readonly string[] {
  return name === 'h264_vaapi' ? ['-vaapi_device', RENDER_NODE] : []
}

/**
 * Options of one output: the source's times and key frames to the picture (`-force_key_frames source`, with `-g` for
 * sources that have few), no picture held back, no cut of the encoder's own.
 */
export function encoderOptions(
  { name }: Pick<Encoder, 'name'>,
  { rung, effort, threads, groupPictures }: EncoderTask,
): readonly string[] {
  const bits = String(rung.bitsPerSecond)
  return [
    '-c:v',
    name,
    ...forName(name, rung, effort),
    ...(name === 'h264_vaapi' ? [] : ['-pix_fmt', name === 'h264_qsv' ? 'nv12' : 'yuv420p']),
    '-threads',
    String(threads),
    '-maxrate',
    bits,
    '-bufsize',
    bits,
    '-bf',
    '0',
    '-force_key_frames',
    'source',
    '-forced-idr',
    '1',
    '-g',
    String(groupPictures),
  ]
}

/** The filters that bring a decoded picture to the encoder. */
export function scaleFilter(
  { name }: Pick<Encoder, 'name'>,
  { width, height }: Pick<PlannedRung, 'width' | 'height'>,
): string {
  // Pixels stay as square as they were: a picture of 854 columns for 853⅓ must not change its shape.
  const scale = `scale=${width}:${height}:flags=bilinear`
  return name === 'h264_vaapi' ? `${scale},format=nv12,hwupload` : scale
}

function forName(name: string, rung: EncoderTask['rung'], effort: Effort): readonly string[] {
  const bits = ['-b:v', String(Math.round(rung.bitsPerSecond * 0.9))]
  switch (name) {
    case 'libx264':
      return [
        '-preset',
        effort === 'usual' ? 'veryfast' : 'superfast',
        '-tune',
        'zerolatency',
        '-profile:v',
        'high',
        '-level',
        (rung.level / 10).toFixed(1),
        '-crf',
        '23',
        '-keyint_min',
        '1',
        '-sc_threshold',
        '0',
      ]
    case 'h264_nvenc':
      return ['-preset', 'p3', '-tune', 'ull', '-zerolatency', '1', '-rc', 'cbr', ...bits]
    case 'h264_videotoolbox':
      return ['-realtime', '1', '-allow_sw', '0', '-profile:v', 'high', ...bits]
    case 'h264_qsv':
      return ['-preset', 'veryfast', '-async_depth', '1', '-profile:v', 'high', ...bits]
    case 'h264_vaapi':
      return ['-async_depth', '1', '-profile:v', 'high', ...bits]
    default:
      return bits
  }
}
