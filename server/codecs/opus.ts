import { NearcastError } from '../lib/errors.ts'

/** An OpusSpecificBox (Opus in ISOBMFF §4.3.2). Opus always decodes at 48 kHz. */
export interface OpusConfig {
  readonly channels: number
  /** Samples at 48 kHz that a decoder throws away at the start. */
  readonly preSkip: number
}

/** Reads the payload of a dOps box; throws `media-broken`. */
export function parseOpusConfig(bytes: Uint8Array): OpusConfig {
  const [version, channels, skipHigh, skipLow] = bytes
  if (
    version === undefined ||
    channels === undefined ||
    skipHigh === undefined ||
    skipLow === undefined ||
    bytes.length < 11
  ) {
    throw new NearcastError('media-broken', `dOps has ${bytes.length} bytes, needs 11`)
  }
  if (version !== 0 || channels === 0) {
    throw new NearcastError('media-broken', `dOps has version ${version} and ${channels} channels`)
  }
  return { channels, preSkip: skipHigh * 256 + skipLow }
}

const HEAD_MAGIC = Buffer.from('OpusHead', 'latin1')
const HEAD_LENGTH = 19

/**
 * The dOps payload that says what an identification header says (RFC 7845 §5.1, Opus in ISOBMFF §4.3.2): the same fields
 * in the other byte order. undefined for another packet (the comment header); throws `media-broken`.
 */
export function opusConfigOfHead(head: Uint8Array): Uint8Array | undefined {
  if (Buffer.compare(head.subarray(0, HEAD_MAGIC.length), HEAD_MAGIC) !== 0) return undefined
  if (head.length < HEAD_LENGTH) {
    throw new NearcastError('media-broken', `OpusHead has ${head.length} bytes, needs 19`)
  }
  const from = new DataView(head.buffer, head.byteOffset, head.byteLength)
  const out = new Uint8Array(head.length - HEAD_MAGIC.length)
  const to = new DataView(out.buffer)
  to.setUint8(1, from.getUint8(9))
  to.setUint16(2, from.getUint16(10, true))
  to.setUint32(4, from.getUint32(12, true))
  to.setInt16(8, from.getInt16(16, true))
  out.set(head.subarray(18), 10)
  parseOpusConfig(out)
  return out
}

/** The identification header of a dOps payload. */
export function opusHeadOf(config: Uint8Array): Uint8Array {
  parseOpusConfig(config)
  const from = new DataView(config.buffer, config.byteOffset, config.byteLength)
  const out = new Uint8Array(config.length + HEAD_MAGIC.length)
  const to = new DataView(out.buffer)
  out.set(HEAD_MAGIC)
  to.setUint8(8, 1)
  to.setUint8(9, from.getUint8(1))
  to.setUint16(10, from.getUint16(2), true)
  to.setUint32(12, from.getUint32(4), true)
  to.setInt16(16, from.getInt16(8), true)
  out.set(config.subarray(10), 18)
  return out
}

/** RFC 6716 §3.1: milliseconds of one frame, by the low bits of the configuration. */
const SILK_MS = [10, 20, 40, 60] as const
const HYBRID_MS = [10, 20] as const
const CELT_MS = [2.5, 5, 10, 20] as const
const PACKET_MS_MAX = 120

/** How long a packet plays, in samples at 48 kHz; undefined for what is no packet (RFC 6716 §3.2, §3.4). */
export function opusSamples(packet: Uint8Array): number | undefined {
  const toc = packet[0]
  if (toc === undefined) return undefined
  const configuration = toc >> 3
  const frameMs =
    configuration < 12
      ? SILK_MS[configuration & 3]
      : configuration < 16
        ? HYBRID_MS[configuration & 1]
        : CELT_MS[configuration & 3]
  const code = toc & 3
  const frames = code === 0 ? 1 : code < 3 ? 2 : (packet[1] ?? 0) & 63
  const ms = frames * (frameMs ?? 0)
  return ms > 0 && ms <= PACKET_MS_MAX ? ms * 48 : undefined
}
