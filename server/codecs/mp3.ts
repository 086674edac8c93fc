/** One frame header of MPEG-1 or MPEG-2 audio layer III (ISO/IEC 11172-3 §2.4.1.3, 13818-3 §2.4.1.3). */
export interface Mp3Header {
  readonly sampleRate: number
  readonly channels: 1 | 2
  readonly samples: number
  /** Of the frame, its header included. */
  readonly bytes: number
}

const RATES = [44_100, 48_000, 32_000] as const
const KILOBITS_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320] as const
const KILOBITS_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160] as const
const LAYER_3 = 1
const MONO = 3

/** undefined for what is no layer III header, or has a free or forbidden bitrate. */
export function readMp3Header(data: Uint8Array, at = 0): Mp3Header | undefined {
  const [first, second, third, fourth] = data.subarray(at, at + 4)
  if (first !== 0xff || second === undefined || third === undefined || fourth === undefined) {
    return undefined
  }
  const version = (second >> 3) & 3
  if (second >> 5 !== 7 || version === 1 || ((second >> 1) & 3) !== LAYER_3) return undefined
  const isMpeg1 = version === 3
  const full = RATES[(third >> 2) & 3]
  const kilobits = (isMpeg1 ? KILOBITS_1 : KILOBITS_2)[third >> 4]
  if (full === undefined || !kilobits) return undefined
  const sampleRate = isMpeg1 ? full : version === 2 ? full / 2 : full / 4
  const samples = isMpeg1 ? 1152 : 576
  const padding = (third >> 1) & 1
  return {
    sampleRate,
    channels: fourth >> 6 === MONO ? 1 : 2,
    samples,
    bytes: Math.floor((samples / 8) * ((kilobits * 1000) / sampleRate)) + padding,
  }
}

const FRAMES_MAX = 64

/** Samples of all the frames in one message; undefined when it begins with none. */
export function mp3Samples(data: Uint8Array): number | undefined {
  let samples: number | undefined
  for (let at = 0, count = 0; count < FRAMES_MAX; count += 1) {
    const header = readMp3Header(data, at)
    if (!header) break
    samples = (samples ?? 0) + header.samples
    at += header.bytes
  }
  return samples
}
