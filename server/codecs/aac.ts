import { NearcastError } from '../lib/errors.ts'
import { BitReader } from './bit-reader.ts'

/** An AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1). */
export interface AacConfig {
  /** As signalled: 2 AAC-LC, 5 HE-AAC, 29 HE-AAC v2; 5 and 29 have an AAC-LC core. */
  readonly objectType: number
  /** Of the core: one access unit is `samplesPerFrame` at this rate, whatever SBR makes of it. */
  readonly sampleRate: number
  /** What a decoder gives out: twice the core's rate with SBR. */
  readonly outputSampleRate: number
  /** What a decoder gives out: 2 with parametric stereo over one coded channel. */
  readonly channels: number
  readonly samplesPerFrame: 1024 | 960
  /** RFC 6381, for example `mp4a.40.2`. */
  readonly codecString: string
}

/** Table 1.18, by samplingFrequencyIndex. */
const SAMPLE_RATES = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000,
  7350,
] as const
const EXPLICIT_RATE = 15

/** Table 1.19, by channelConfiguration; 0 is told by a program config element. */
const CHANNELS: readonly (number | undefined)[] = [
  undefined,
  1,
  2,
  3,
  4,
  5,
  6,
  8,
  undefined,
  undefined,
  undefined,
  7,
  8,
  24,
  8,
]

const OBJECT = { main: 1, lc: 2, ssr: 3, ltp: 4, sbr: 5, ps: 29 } as const
const CORE_TYPES: ReadonlySet<number> = new Set([OBJECT.main, OBJECT.lc, OBJECT.ssr, OBJECT.ltp])
const SYNC_EXTENSION = 0x2b7
const PS_EXTENSION = 0x548

/** Throws `media-broken`, or `media-unsupported` for other than the AAC that has frames of 1024 or 960 samples. */
export function parseAudioSpecificConfig(bytes: Uint8Array): AacConfig {
  const reader = new BitReader(bytes, 'AudioSpecificConfig')
  const signalled = readObjectType(reader)
  const sampleRate = readSampleRate(reader)
  const channelConfig = reader.bits(4)
  let outputSampleRate = sampleRate
  let core = signalled
  if (signalled === OBJECT.sbr || signalled === OBJECT.ps) {
    outputSampleRate = readSampleRate(reader)
    core = readObjectType(reader)
  }
  if (!CORE_TYPES.has(core)) {
    throw new NearcastError(
      'media-unsupported',
      `MPEG-4 audio object type ${core} is not AAC-LC or HE-AAC`,
    )
  }
  const samplesPerFrame = reader.flag() ? 960 : 1024
  if (reader.flag()) reader.skip(14) // coreCoderDelay
  const hasExtension = reader.flag()
  const coded = channelConfig === 0 ? readProgramConfig(reader) : CHANNELS[channelConfig]
  if (coded === undefined) {
    throw new NearcastError(
      'media-broken',
      `AudioSpecificConfig has channel configuration ${channelConfig}`,
    )
  }
  const extension =
    signalled === core && !hasExtension ? readSyncExtension(reader, sampleRate) : undefined
  const objectType = extension?.objectType ?? signalled
  return {
    objectType,
    sampleRate,
    outputSampleRate: extension?.sampleRate ?? outputSampleRate,
    channels: objectType === OBJECT.ps && coded === 1 ? 2 : coded,
    samplesPerFrame,
    codecString: `mp4a.40.${objectType}`,
  }
}

function readObjectType(reader: BitReader): number {
  const type = reader.bits(5)
  return type === 31 ? 32 + reader.bits(6) : type
}

function readSampleRate(reader: BitReader): number {
  const index = reader.bits(4)
  const rate = index === EXPLICIT_RATE ? reader.bits(24) : SAMPLE_RATES[index]
  if (rate === undefined || rate < 1000 || rate > 192_000) {
    throw new NearcastError(
      'media-broken',
      `AudioSpecificConfig has sample rate ${rate ?? `index ${index}`}`,
    )
  }
  return rate
}

/** program_config_element (§4.4.1.1): only its channels are wanted. */
function readProgramConfig(reader: BitReader): number {
  reader.skip(10) // element_instance_tag, object_type, sampling_frequency_index
  const front = reader.bits(4)
  const side = reader.bits(4)
  const back = reader.bits(4)
  const lfe = reader.bits(2)
  reader.skip(7) // num_assoc_data_elements, num_valid_cc_elements
  if (reader.flag()) reader.skip(4) // mono_mixdown
  if (reader.flag()) reader.skip(4) // stereo_mixdown
  if (reader.flag()) reader.skip(3) // matrix_mixdown
  let channels = lfe
  for (let i = 0; i < front + side + back; i += 1) {
    channels += reader.flag() ? 2 : 1
    reader.skip(4)
  }
  reader.skip(lfe * 4)
  if (channels === 0) throw new NearcastError('media-broken', 'AudioSpecificConfig has no channels')
  return channels
}

/** SBR and PS told behind a plain AAC config, so that old decoders still play the core (§1.6.5). */
function readSyncExtension(
  reader: BitReader,
  coreRate: number,
): { readonly objectType: number; readonly sampleRate: number } | undefined {
  if (reader.bitsLeft < 16 || reader.bits(11) !== SYNC_EXTENSION) return undefined
  if (readObjectType(reader) !== OBJECT.sbr || reader.bitsLeft < 1 || !reader.flag())
    return undefined
  const sampleRate = reader.bitsLeft >= 4 ? readSampleRate(reader) : coreRate * 2
  const stereo = reader.bitsLeft >= 12 && reader.bits(11) === PS_EXTENSION && reader.flag()
  return { objectType: stereo ? OBJECT.ps : OBJECT.sbr, sampleRate }
}
