import { NearcastError } from '../lib/errors.ts'
import { avcNalUnits } from './avc.ts'
import { withoutEmulation } from './avc-sps.ts'
import type { VideoTrack } from './track.ts'

/** Of one picture track more are not told of. */
const CHANNELS_MAX = 16

/** Looks for closed captions among the pictures of H.264 and HEVC (ATSC A/53 part 4 §6.2.3); other codecs have none here. */
export class CaptionScan {
  readonly #found = new Set<string>()
  #format: Format | undefined

  /** What comes next belongs to this track. */
  follow(track: VideoTrack): void {
    this.#format = formatOf(track)
  }

  /** `CC1` to `CC4` of CEA-608, then `SERVICE1` to `SERVICE63` of CEA-708, in order. */
  get channels(): readonly string[] {
    return inOrder(this.#found).slice(0, CHANNELS_MAX)
  }

  /** True when there are channels in it that were not seen before. */
  see(frame: Uint8Array): boolean {
    const format = this.#format
    if (!format) return false
    const before = this.#found.size
    try {
      for (const nal of avcNalUnits(frame, format.nalLengthSize))
        if (isSei(format.codec, nal)) this.#read(nal, format.headerBytes)
    } catch (error) {
      // Its lengths lie: what was found is there all the same.
      if (!(error instanceof NearcastError)) throw error
    }
    return this.#found.size > before
  }

  #read(nal: Uint8Array, headerBytes: number): void {
    if (nal.length > SEI_BYTES_MAX) return
    for (const payload of userData(withoutEmulation(nal).subarray(headerBytes)))
      for (const channel of channelsIn(payload)) this.#found.add(channel)
  }
}

/** Lists of several scans as one. */
export function inOrder(channels: Iterable<string>): readonly string[] {
  const rank = (channel: string) =>
    Number(channel.replace(/^\D+/, '')) + (channel.startsWith('CC') ? 0 : 100)
  return [...new Set(channels)].sort((a, b) => rank(a) - rank(b))
}

interface Format {
  readonly codec: 'avc' | 'hevc'
  readonly headerBytes: 1 | 2
  readonly nalLengthSize: 1 | 2 | 4
}

/** Captions of one picture are 128 bytes at most; what is larger is something else. */
const SEI_BYTES_MAX = 4096

function formatOf({ codec, config }: VideoTrack): Format | undefined {
  if (codec !== 'avc' && codec !== 'hevc') return undefined
  // ISO/IEC 14496-15 §5.3.3.1, §8.3.3.1
  const size = ((config[codec === 'avc' ? 4 : 21] ?? 3) & 3) + 1
  const nalLengthSize = size === 1 ? 1 : size === 2 ? 2 : 4
  return { codec, headerBytes: codec === 'avc' ? 1 : 2, nalLengthSize }
}

/** ITU-T H.264 table 7-1; H.265 table 7-1: a prefix. */
function isSei(codec: 'avc' | 'hevc', nal: Uint8Array): boolean {
  const first = nal[0] ?? 0
  return codec === 'avc' ? (first & 31) === 6 : ((first >> 1) & 63) === 39
}

/** Payloads of user_data_registered_itu_t_t35 in SEI messages (H.264 §7.3.2.3, H.265 §7.3.5). */
function* userData(messages: Uint8Array): Generator<Uint8Array> {
  let at = 0
  const number = () => {
    let value = 0
    while (messages[at] === 255) {
      value += 255
      at += 1
    }
    value += messages[at] ?? 0
    at += 1
    return value
  }
  // The last byte is the stop bit.
  while (at + 2 < messages.length) {
    const type = number()
    const size = number()
    if (at + size > messages.length) return
    if (type === REGISTERED_ITU_T_T35) yield messages.subarray(at, at + size)
    at += size
  }
}

const REGISTERED_ITU_T_T35 = 4
/** United States, ATSC, `GA94`, cc_data (A/53 part 4 table 6.7). */
const CC_DATA = [0xb5, 0x00, 0x31, 0x47, 0x41, 0x39, 0x34, 0x03]
const PROCESS_CC_DATA = 0x40

function* channelsIn(payload: Uint8Array): Generator<string> {
  if (CC_DATA.some((byte, at) => payload[at] !== byte)) return
  const flags = payload[8] ?? 0
  if ((flags & PROCESS_CC_DATA) === 0) return
  const packet: number[] = []
  for (let i = 0; i < (flags & 31); i += 1) {
    const [head, first, second] = payload.subarray(10 + 3 * i, 13 + 3 * i)
    if (head === undefined || first === undefined || second === undefined) break
    // cc_valid
    if ((head & 4) === 0) continue
    const type = head & 3
    if (type < 2) {
      const channel = captionChannel(type === 0 ? 1 : 3, first, second)
      if (channel) yield channel
      continue
    }
    // A packet that began in the picture before in decoding order may go on in another one: only whole beginnings are read.
    if (type === 3) {
      yield* servicesIn(packet)
      packet.length = 0
      packet.push(first, second)
    } else if (packet.length > 0) packet.push(first, second)
  }
  yield* servicesIn(packet)
}

/** CEA-608-E §8.4, table 52: resume loading, roll-up, direct captioning, end of caption. Text and XDS have others. */
const CAPTION_CODES = new Set([0x20, 0x25, 0x26, 0x27, 0x29, 0x2f])

function captionChannel(lower: 1 | 3, first: number, second: number): string | undefined {
  if (!isOdd(first) || !isOdd(second)) return undefined
  const code = first & 0x7f
  // 0x14 and 0x1c in field 1, 0x15 and 0x1d in field 2; some encoders write those of field 1 in both.
  if ((code & 0x76) !== 0x14 || !CAPTION_CODES.has(second & 0x7f)) return undefined
  return `CC${lower + ((code & 8) === 0 ? 0 : 1)}`
}

/** §8.1: odd parity. */
function isOdd(byte: number): boolean {
  let bits = byte
  bits ^= bits >> 4
  bits ^= bits >> 2
  bits ^= bits >> 1
  return (bits & 1) === 1
}

/** CEA-708-E §5, §6: a packet header, then service blocks. */
function* servicesIn(packet: readonly number[]): Generator<string> {
  const [header] = packet
  if (header === undefined) return
  const code = header & 63
  const end = code === 0 ? 128 : code * 2
  for (let at = 1; at < Math.min(end, packet.length); ) {
    const head = packet[at] ?? 0
    const size = head & 31
    let service = head >> 5
    at += 1
    // A null block: nothing comes any more.
    if (service === 0 || size === 0) return
    if (service === 7) {
      service = (packet[at] ?? 0) & 63
      at += 1
      if (service < 7) return
    }
    if (at + size > end) return
    yield `SERVICE${service}`
    at += size
  }
}
