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

const SYNC_WORD = 0x0b77
const BLOCK_SAMPLES = 256
const AC3_FRAME_SAMPLES = 1536

/** One access unit as it is on the wire: what its box would say, and how long it plays. */
export interface Ac3Frame extends Ac3Config {
  /** The payload of dac3 or dec3. */
  readonly config: Uint8Array
  readonly samples: number
}

/** Reads the first syncframe (ETSI TS 102 366 §4.4.1, §4.4.2); throws `media-broken`. */
export function readAc3Frame(frame: Uint8Array): Ac3Frame {
  const reader = new BitReader(frame, 'AC-3 frame')
  if (reader.bits(16) !== SYNC_WORD) throw new NearcastError('media-broken', 'no AC-3 sync word')
  reader.skip(16) // crc1
  const rate = reader.bits(2)
  const sizeCode = reader.bits(6)
  const bsid = reader.bits(5)
  if (bsid > 10) throw new NearcastError('media-broken', `an AC-3 frame has bsid ${bsid}`)
  const mode = reader.bits(3)
  const channels = reader.bits(3)
  if ((channels & 1) !== 0 && channels !== 1) reader.skip(2) // cmixlev
  if ((channels & 4) !== 0) reader.skip(2) // surmixlev
  if (channels === 2) reader.skip(2) // dsurmod
  const lfe = reader.bits(1)
  // §F.4: fscod, bsid, bsmod, acmod, lfeon, bit_rate_code, reserved.
  const packed =
    (rate << 22) |
    (bsid << 17) |
    (mode << 14) |
    (channels << 11) |
    (lfe << 10) |
    ((sizeCode >> 1) << 5)
  const config = Uint8Array.from([packed >> 16, (packed >> 8) & 255, packed & 255])
  return { ...parseAc3Config(config), config, samples: AC3_FRAME_SAMPLES }
}

const BLOCKS = [1, 2, 3, 6] as const
const INDEPENDENT = 0
const FRAMES_MAX = 32

/**
 * Reads the syncframes of one E-AC-3 access unit (ETSI TS 102 366 §E.1.2); the first independent substream tells what the
 * box says. Dependent substreams (beyond 5.1) are left to decoders that know them. Throws `media-broken`.
 */
export function readEac3Frame(unit: Uint8Array): Ac3Frame {
  const first = readEac3Sync(unit)
  if (first.type !== INDEPENDENT)
    throw new NearcastError('media-broken', 'an E-AC-3 unit begins with a dependent substream')
  let samples = 0
  let at = 0
  for (let count = 0; count < FRAMES_MAX && at < unit.length; count += 1) {
    const frame = count === 0 ? first : readEac3Sync(unit.subarray(at))
    if (frame.type === INDEPENDENT && frame.substream === 0) samples += frame.samples
    at += frame.size
  }
  const kilobits = Math.round((first.size * 8 * (first.sampleRate / first.samples)) / 1000)
  const { rateCode, bsid, mode, lfe } = first
  // §F.6: data_rate, num_ind_sub; fscod, bsid, reserved, asvc, bsmod, acmod, lfeon, reserved, num_dep_sub, reserved.
  const head = Math.min(kilobits, 0x1fff) << 3
  const packed = (rateCode << 22) | (bsid << 17) | (mode << 9) | (lfe << 8)
  const config = Uint8Array.from([
    head >> 8,
    head & 255,
    packed >> 16,
    (packed >> 8) & 255,
    packed & 255,
  ])
  return { ...parseEac3Config(config), config, samples }
}

function readEac3Sync(frame: Uint8Array) {
  const reader = new BitReader(frame, 'E-AC-3 frame')
  if (reader.bits(16) !== SYNC_WORD) throw new NearcastError('media-broken', 'no E-AC-3 sync word')
  const type = reader.bits(2)
  const substream = reader.bits(3)
  const size = 2 * (reader.bits(11) + 1)
  const rateCode = reader.bits(2)
  const sampleRate = SAMPLE_RATES[rateCode]
  // Half rates (fscod 3) have no place in dec3 that players read.
  if (sampleRate === undefined)
    throw new NearcastError('media-broken', 'an E-AC-3 frame has a reduced sample rate')
  const samples = (BLOCKS[reader.bits(2)] ?? 6) * BLOCK_SAMPLES
  const mode = reader.bits(3)
  const lfe = reader.bits(1)
  const bsid = reader.bits(5)
  if (bsid < 11 || bsid > 16)
    throw new NearcastError('media-broken', `an E-AC-3 frame has bsid ${bsid}`)
  return { type, substream, size, rateCode, sampleRate, samples, mode, lfe, bsid }
}
