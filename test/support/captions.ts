/** A pair of CEA-608 with its parity. */
export function pair(first: number, second: number): readonly [number, number] {
  return [odd(first), odd(second)]
}

function odd(byte: number): number {
  const bits = byte.toString(2).replaceAll('0', '').length
  return bits % 2 === 1 ? byte : byte | 0x80
}

/** One cc_data_pkt: cc_type 0 and 1 are the fields of CEA-608, 3 begins a packet of CEA-708 and 2 goes on with it. */
export type Triplet = readonly [type: 0 | 1 | 2 | 3, first: number, second: number]

/** CEA-708-E §5, §6: a packet of these service blocks, padded to an even length. */
export function servicePacket(
  ...blocks: readonly { readonly service: number; readonly bytes: readonly number[] }[]
): readonly Triplet[] {
  const body = blocks.flatMap(({ service, bytes }) =>
    service < 7
      ? [(service << 5) | bytes.length, ...bytes]
      : [(7 << 5) | bytes.length, service, ...bytes],
  )
  if (body.length % 2 === 0) body.push(0)
  const packet = [(body.length + 1) / 2, ...body]
  return Array.from({ length: packet.length / 2 }, (_, i): Triplet => {
    return [i === 0 ? 3 : 2, packet[2 * i] ?? 0, packet[2 * i + 1] ?? 0]
  })
}

/** ATSC A/53 part 4 §6.2.3: the payload of a user_data_registered_itu_t_t35 with this cc_data. */
export function ccData(...triplets: readonly Triplet[]): Buffer {
  const head = Buffer.from('b500314741393403', 'hex')
  const packets = triplets.flatMap(([type, first, second]) => [0xfc | type, first, second])
  return Buffer.from([...head, 0xc0 | triplets.length, 0xff, ...packets, 0xff])
}

/** A frame with an SEI message of this payload before its picture, lengths of four bytes (H.264 §7.3.2.3, H.265 §7.3.5). */
export function withSei(codec: 'avc' | 'hevc', frame: Uint8Array, payload: Uint8Array): Buffer {
  const header = codec === 'avc' ? [0x06] : [0x4e, 0x01]
  const plain = [4, payload.length, ...payload, 0x80]
  const escaped: number[] = []
  let zeros = 0
  for (const byte of plain) {
    if (zeros >= 2 && byte <= 3) {
      escaped.push(3)
      zeros = 0
    }
    escaped.push(byte)
    zeros = byte === 0 ? zeros + 1 : 0
  }
  const nal = Buffer.from([...header, ...escaped])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(nal.length)
  return Buffer.concat([length, nal, frame])
}
