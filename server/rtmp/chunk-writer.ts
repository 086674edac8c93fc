import Rtmp from 'node-media-server/src/protocol/rtmp.js'
import { NearcastError } from '../lib/errors.ts'
import { MESSAGE, USER_EVENT } from './messages.ts'

/** The size node-media-server splits at, whatever it is told: so this is what has to be announced. */
export const OUT_CHUNK_SIZE = 0xffff
const MESSAGE_BYTES_MAX = 0xff_ffff

const CHUNK_STREAM = { control: 2, command: 3, audio: 4, video: 5, data: 6 } as const

/** A whole message in chunks with a full header, so that its bytes can go to many players. */
export function writeMessage(
  type: number,
  streamId: number,
  timestampMs: number,
  payload: Buffer,
): Buffer {
  // node-media-server sizes the buffer of an empty message one byte too short.
  if (payload.length === 0 || payload.length > MESSAGE_BYTES_MAX) {
    throw new NearcastError('internal', `RTMP message of ${payload.length} bytes`)
  }
  return Rtmp.chunksCreate({
    header: {
      fmt: 0,
      cid: chunkStreamOf(type),
      timestamp: timestampMs >>> 0,
      length: payload.length,
      type,
      stream_id: streamId,
    },
    payload,
  })
}

function chunkStreamOf(type: number): number {
  switch (type) {
    case MESSAGE.audio:
      return CHUNK_STREAM.audio
    case MESSAGE.video:
      return CHUNK_STREAM.video
    case MESSAGE.dataAmf0:
      return CHUNK_STREAM.data
    case MESSAGE.commandAmf0:
      return CHUNK_STREAM.command
    default:
      return CHUNK_STREAM.control
  }
}

export function writeSetChunkSize(size: number): Buffer {
  return writeControl(MESSAGE.setChunkSize, size)
}

/** How many bytes came in so far; wraps at 32 bits. */
export function writeAcknowledgement(bytes: number): Buffer {
  return writeControl(MESSAGE.acknowledgement, bytes)
}

export function writeWindowAckSize(bytes: number): Buffer {
  return writeControl(MESSAGE.windowAckSize, bytes)
}

/** With limit type 2, dynamic (RTMP 1.0 §5.4.5). */
export function writeSetPeerBandwidth(bytes: number): Buffer {
  const payload = Buffer.alloc(5)
  payload.writeUInt32BE(bytes)
  payload[4] = 2
  return writeMessage(MESSAGE.setPeerBandwidth, 0, 0, payload)
}

export function writeUserControl(event: keyof typeof USER_EVENT, value: number): Buffer {
  const payload = Buffer.alloc(6)
  payload.writeUInt16BE(USER_EVENT[event])
  payload.writeUInt32BE(value >>> 0, 2)
  return writeMessage(MESSAGE.userControl, 0, 0, payload)
}

function writeControl(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(value >>> 0)
  return writeMessage(type, 0, 0, payload)
}
