import { NearcastError } from '../lib/errors.ts'
import { BitReader } from './bit-reader.ts'

/** What a dac3 or dec3 box says (ETSI TS 102 366 §F.4, §F.6). */
export interface Ac3Config {
  readonly sampleRate: number
  /** With the low-frequency channel. */
  readonly channels: number
}

const SAMPLE_RATES = [48_000, 44_100, 32_000] as const
/** Table 4.3, by audio coding mode. */
const CHANNELS = [2, 1, 2, 3, 3, 4, 4, 5] as const

/** Reads the payload of a dac3 box; throws `media-broken`. */
export function parseAc3Config(bytes: Uint8Array): Ac3Config {
  const reader = new BitReader(bytes, 'dac3')
  const sampleRate = readRate(reader, 'dac3')
  reader.skip(5 + 3) // bsid, bsmod
  return { sampleRate, channels: readChannels(reader) }
}

/** Reads the payload of a dec3 box, of which the first substream counts; throws `media-broken`. */
export function parseEac3Config(bytes: Uint8Array): Ac3Config {
  const reader = new BitReader(bytes, 'dec3')
  reader.skip(13 + 3) // data_rate, num_ind_sub
  const sampleRate = readRate(reader, 'dec3')
  reader.skip(5 + 1 + 1 + 3) // bsid, reserved, asvc, bsmod
  return { sampleRate, channels: readChannels(reader) }
}

function readRate(reader: BitReader, what: string): number {
  const code = reader.bits(2)
  const rate = SAMPLE_RATES[code]
  if (rate === undefined) throw new NearcastError('media-broken', `${what} has rate code ${code}`)
  return rate
}

function readChannels(reader: BitReader): number {
  const mode = reader.bits(3)
  return (CHANNELS[mode] ?? 2) + (reader.flag() ? 1 : 0)
}
