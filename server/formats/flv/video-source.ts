import { AV1_OBU, av1Obus, parseAv1Config } from '../../codecs/av1.ts'
import { parseAv1Sequence } from '../../codecs/av1-sequence.ts'
import { avcNalUnits, parseAvcConfig } from '../../codecs/avc.ts'
import type { Colour, ColourInfo, Picture } from '../../codecs/colour.ts'
import { parseHevcConfig } from '../../codecs/hevc.ts'
import { HEVC_SPS, parseHevcSps } from '../../codecs/hevc-sps.ts'
import type { VideoCodec, VideoTrack } from '../../codecs/track.ts'
import { parseVp9Config, readVp9KeyFrame } from '../../codecs/vp9.ts'
import { assertNever, NearcastError } from '../../lib/errors.ts'

/** A decoder configuration, read. */
interface Described {
  readonly codec: VideoCodec
  readonly config: Uint8Array
  readonly codecString: string
  /** undefined where only a key frame says it (VP9, or parameter sets that come with the pictures). */
  readonly picture: Picture | undefined
  readonly colour: Colour | undefined
  readonly nalLengthSize: 1 | 2 | 4
}

const NOTHING_SAID: ColourInfo = {
  colour: undefined,
  mastering: undefined,
  contentLight: undefined,
}

/** FLV times are milliseconds, so that is all its tracks can promise. */
export const FLV_TIMESCALE = 1000

/** One video track of a publisher: what its sequence header and, where that is silent, its key frames say. */
export class VideoSource {
  readonly #id: number
  #described: Described | undefined
  #picture: Picture | undefined
  #info: ColourInfo = NOTHING_SAID
  #track: VideoTrack | undefined

  constructor(id: number) {
    this.#id = id
  }

  /** undefined until all that a decoder needs is known; another object whenever it changes. */
  get track(): VideoTrack | undefined {
    return this.#track
  }

  /** False for the same header again. Throws `media-broken` or `media-unsupported` for one nobody can decode. */
  configure(codec: VideoCodec, bytes: Uint8Array): boolean {
    const known = this.#described
    if (known?.codec === codec && Buffer.compare(known.config, bytes) === 0) return false
    const described = describe(codec, Uint8Array.from(bytes))
    this.#described = described
    this.#show(described, described.picture)
    return true
  }

  /**
   * What the publisher says of the colours from here on, instead of the bitstream; without anything in it the bitstream counts
   * again. False when nothing changes.
   */
  describeColour(info: ColourInfo): boolean {
    const same = JSON.stringify(info) === JSON.stringify(this.#info)
    this.#info = info
    if (same || !this.#described) return false
    this.#show(this.#described, this.#picture)
    return this.#track !== undefined
  }

  /** What a reader gets of a frame; undefined for one that no decoder could read. May make or change the track. */
  take(codec: VideoCodec, key: boolean, data: Uint8Array): Uint8Array | undefined {
    const described = this.#described
    if (described?.codec !== codec) return undefined
    try {
      const unit = playable(described, data)
      if (key) this.#look(described, unit)
      return this.#track && unit.length > 0 ? unit : undefined
    } catch (error) {
      if (error instanceof NearcastError) return undefined
      throw error
    }
  }

  /** Another size in a key frame is another track: VP9 and in-band parameter sets need no new sequence header. */
  #look(described: Described, unit: Uint8Array): void {
    if (described.picture) return
    const picture = pictureIn(described, unit)
    const track = this.#track
    if (!picture || (track?.width === picture.width && track.height === picture.height)) return
    this.#show(described, picture)
  }

  #show(described: Described, picture: Picture | undefined): void {
    this.#picture = picture
    this.#track = picture && this.#trackOf(described, picture)
  }

  #trackOf({ codec, config, codecString, ...described }: Described, picture: Picture): VideoTrack {
    const colour = picture.colour ?? described.colour
    const told = this.#info.colour
    return {
      id: this.#id,
      kind: 'video',
      codec,
      codecString,
      timescale: FLV_TIMESCALE,
      config: codec === 'vp9' && told ? vpcCWith(config, told) : config,
      language: 'und',
      width: picture.width,
      height: picture.height,
      pixelAspect: picture.pixelAspect,
      rotation: 0,
      colour: told ? { ...told, fullRange: colour?.fullRange ?? false } : colour,
      mastering: this.#info.mastering,
      contentLight: this.#info.contentLight,
    }
  }
}

/** VP Codec ISO Media File Format Binding §vpcC: it says the same as the colour box beside it. */
function vpcCWith(config: Uint8Array, told: Omit<Colour, 'fullRange'>): Uint8Array {
  const { primaries, transfer, matrix } = told
  const out = Uint8Array.from(config)
  out.set([primaries, transfer, matrix], 3)
  return out
}

const NO_NAL_UNITS = { nalLengthSize: 4, colour: undefined } as const

function describe(codec: VideoCodec, bytes: Uint8Array): Described {
  switch (codec) {
    case 'avc': {
      const { codecString, nalLengthSize, picture } = parseAvcConfig(bytes)
      return { ...NO_NAL_UNITS, codec, config: bytes, codecString, picture, nalLengthSize }
    }
    case 'hevc': {
      const { profileString, nalLengthSize, picture, hasParameterSets } = parseHevcConfig(bytes)
      // Only hev1 may have its parameter sets among the pictures (ISO/IEC 14496-15 §8.4.1).
      const codecString = `${hasParameterSets ? 'hvc1' : 'hev1'}.${profileString}`
      return { ...NO_NAL_UNITS, codec, config: bytes, codecString, picture, nalLengthSize }
    }
    case 'av1': {
      const { codecString } = parseAv1Config(bytes)
      const picture = sequenceIn(bytes.subarray(4))
      return { ...NO_NAL_UNITS, codec, config: bytes, codecString, picture }
    }
    case 'vp9': {
      // Some publishers send the whole full box: version 1 and no flags before the record.
      const boxed = bytes.length >= 12 && bytes[0] === 1 && bytes[1] === 0 && bytes[2] === 0
      const config = boxed ? bytes.subarray(4) : bytes
      if (config.length < 8)
        throw new NearcastError('media-broken', `vpcC has ${config.length} bytes, needs 8`)
      const { codecString, colour } = parseVp9Config(config)
      return { ...NO_NAL_UNITS, codec, config, codecString, picture: undefined, colour }
    }
    default:
      return assertNever(codec)
  }
}

/** The frame as its container holds it; throws `media-broken` where its units lie about their lengths. */
function playable({ codec, nalLengthSize }: Described, data: Uint8Array): Uint8Array {
  switch (codec) {
    case 'avc':
    case 'hevc':
      // A unit whose lengths lie would break every player's decoder, and readers that walk it.
      for (const _ of avcNalUnits(data, nalLengthSize));
      return data
    case 'av1': {
      let start = 0
      for (const { type, whole } of av1Obus(data)) {
        // AV1 in ISOBMFF §2.4: temporal delimiters are left out.
        if (type !== AV1_OBU.temporalDelimiter) break
        start += whole.length
      }
      return data.subarray(start)
    }
    case 'vp9':
      return data
    default:
      return assertNever(codec)
  }
}

function pictureIn({ codec, nalLengthSize }: Described, key: Uint8Array): Picture | undefined {
  switch (codec) {
    case 'hevc':
      for (const unit of avcNalUnits(key, nalLengthSize))
        if ((((unit[0] ?? 0) >> 1) & 63) === HEVC_SPS) return parseHevcSps(unit)
      return undefined
    case 'av1':
      return sequenceIn(key)
    case 'vp9': {
      const size = readVp9KeyFrame(key)
      return size && { ...size, pixelAspect: [1, 1], colour: undefined }
    }
    case 'avc':
      return undefined
    default:
      return assertNever(codec)
  }
}

function sequenceIn(data: Uint8Array): Picture | undefined {
  for (const { type, payload } of av1Obus(data))
    if (type === AV1_OBU.sequenceHeader) return parseAv1Sequence(payload)
  return undefined
}
