/** One RTMP message, put together from its chunks. */
export interface RtmpMessage {
  readonly type: number
  readonly streamId: number
  /** Milliseconds, 32 bits that wrap. */
  readonly timestamp: number
  readonly payload: Buffer
}

/** Message types (RTMP 1.0 §5.4, §6.2, §7.1). */
export const MESSAGE = {
  setChunkSize: 1,
  abort: 2,
  acknowledgement: 3,
  userControl: 4,
  windowAckSize: 5,
  setPeerBandwidth: 6,
  audio: 8,
  video: 9,
  dataAmf3: 15,
  commandAmf3: 17,
  dataAmf0: 18,
  commandAmf0: 20,
} as const

/** User control events (RTMP 1.0 §7.1.7). */
export const USER_EVENT = {
  streamBegin: 0,
  streamEof: 1,
  setBufferLength: 3,
  streamIsRecorded: 4,
  pingRequest: 6,
  pingResponse: 7,
} as const
