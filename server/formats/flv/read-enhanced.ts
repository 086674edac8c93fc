/** What one track has in one message of Enhanced RTMP; `data` is a view into the body. */
export interface EnhancedPacket {
  /** VideoPacketType or AudioPacketType, the one inside a multitrack message. */
  readonly packet: number
  /** trackId; 0 without multitrack. */
  readonly index: number
  readonly fourCc: string
  readonly data: Uint8Array
}

export interface EnhancedMessage {
  readonly packets: readonly EnhancedPacket[]
  /** Why what follows the packets could not be read. */
  readonly broken: string | undefined
}

const MOD_EX = 7
const MULTITRACK_TYPE = { oneTrack: 0, manyTracks: 1, manyTracksManyCodecs: 2 } as const
/** Nothing but TimestampOffsetNano is defined; a longer chain is an attack. */
const MOD_EX_MAX = 16
/** trackId is one byte. */
const TRACKS_MAX = 256

/**
 * Goes over ModEx blocks to the packet type, then to FourCC and tracks (Enhanced RTMP v2, ExVideoTagHeader and
 * ExAudioTagHeader). `multitrack` is the packet type that means it; `hasBody` is asked with the type behind ModEx.
 */
export function readEnhanced(
  body: Uint8Array,
  multitrack: number,
  hasBody: (packet: number) => boolean = () => true,
): EnhancedMessage {
  const head = skipModEx(body)
  if (!head) return broken([], 'a message ends in its extensions')
  const { packet, at } = head
  if (!hasBody(packet)) return { packets: [], broken: undefined }
  if (packet === multitrack) return readTracks(body, at, multitrack)
  if (body.length < at + 4) return broken([], 'a message ends in its FourCC')
  const data = body.subarray(at + 4)
  return {
    packets: [{ packet, index: 0, fourCc: fourCcAt(body, at), data }],
    broken: undefined,
  }
}

/** TimestampOffsetNano is gone over like any other: frame times are whole milliseconds here, and it says less than one. */
function skipModEx(body: Uint8Array): { readonly packet: number; readonly at: number } | undefined {
  let packet = (body[0] ?? 0) & 15
  let at = 1
  for (let count = 0; packet === MOD_EX; count += 1) {
    if (count >= MOD_EX_MAX) return undefined
    let size = (body[at] ?? 0) + 1
    at += 1
    if (size === 256) {
      size = (body[at] ?? 0) * 256 + (body[at + 1] ?? 0) + 1
      at += 2
    }
    at += size
    const next = body[at]
    if (next === undefined) return undefined
    packet = next & 15
    at += 1
  }
  return { packet, at }
}

function readTracks(body: Uint8Array, start: number, multitrack: number): EnhancedMessage {
  const head = body[start]
  if (head === undefined) return broken([], 'a multitrack message ends in its head')
  const type = head >> 4
  const packet = head & 15
  if (type > MULTITRACK_TYPE.manyTracksManyCodecs)
    return broken([], `a multitrack message has type ${type}`)
  if (packet === multitrack) return broken([], 'a multitrack message lies in another')
  let at = start + 1
  let fourCc = ''
  if (type !== MULTITRACK_TYPE.manyTracksManyCodecs) {
    if (body.length < at + 4) return broken([], 'a multitrack message ends in its FourCC')
    fourCc = fourCcAt(body, at)
    at += 4
  }
  const packets: EnhancedPacket[] = []
  const perTrack = type === MULTITRACK_TYPE.manyTracksManyCodecs ? 4 : 0
  while (at < body.length && packets.length < TRACKS_MAX) {
    if (body.length < at + perTrack + 1) return broken(packets, 'a track ends in its head')
    if (perTrack > 0) fourCc = fourCcAt(body, at)
    at += perTrack
    const index = body[at] ?? 0
    at += 1
    if (type === MULTITRACK_TYPE.oneTrack) {
      packets.push({ packet, index, fourCc, data: body.subarray(at) })
      break
    }
    if (body.length < at + 3) return broken(packets, 'a track ends in its size')
    const size = ((body[at] ?? 0) << 16) | ((body[at + 1] ?? 0) << 8) | (body[at + 2] ?? 0)
    at += 3
    if (at + size > body.length)
      return broken(packets, `track ${index} claims ${size} bytes of ${body.length - at}`)
    packets.push({ packet, index, fourCc, data: body.subarray(at, at + size) })
    at += size
  }
  return { packets, broken: undefined }
}

/** It goes into messages and logs. */
function fourCcAt(body: Uint8Array, at: number): string {
  const fourCc = String.fromCharCode(...body.subarray(at, at + 4))
  return /^[\x20-\x7e]{4}$/.test(fourCc) ? fourCc : 'an unknown codec'
}

function broken(packets: readonly EnhancedPacket[], why: string): EnhancedMessage {
  return { packets, broken: why }
}
