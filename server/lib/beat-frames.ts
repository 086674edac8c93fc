// A byte stream between two of our processes that may be silent for long: each run of bytes goes behind its length
// (4 bytes, big endian), and a length of 0 is a heartbeat, so that silence means a dead peer.

const HEAD_BYTES = 4

/** The bytes of `chunk` as they go over the wire, without copying them. */
export function writeBeatFrame(chunk: Uint8Array): readonly [head: Uint8Array, chunk: Uint8Array] {
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head.writeUInt32BE(chunk.length)
  return [head, chunk]
}

export const HEARTBEAT: Uint8Array = new Uint8Array(HEAD_BYTES)

/** Takes the lengths and heartbeats out again. Keeps at most three bytes; throws RangeError when the stream ends inside a frame. */
export async function* readBeatFrames(
  wire: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const head = Buffer.alloc(HEAD_BYTES)
  let headFilled = 0
  let left = 0
  for await (const chunk of wire) {
    let at = 0
    while (at < chunk.length) {
      if (left > 0) {
        const taken = Math.min(left, chunk.length - at)
        yield chunk.subarray(at, at + taken)
        at += taken
        left -= taken
        continue
      }
      head[headFilled] = chunk[at] ?? 0
      headFilled += 1
      at += 1
      if (headFilled < HEAD_BYTES) continue
      left = head.readUInt32BE()
      headFilled = 0
    }
  }
  if (left > 0 || headFilled > 0) throw new RangeError('the stream ended inside a frame')
}
