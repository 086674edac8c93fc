import { ChunkReader, type ChunkLimits } from './chunk-reader.ts'
import { writeAcknowledgement, writeUserControl } from './chunk-writer.ts'
import { answerHandshake, checkVersion, HANDSHAKE_BYTES } from './handshake.ts'
import { MESSAGE, type RtmpMessage, USER_EVENT } from './messages.ts'

export interface RtmpConnectionHooks {
  write(bytes: Buffer): void
  /** C2 has come: messages may follow. */
  onHandshake(): void
  /** Audio, video, data and commands; what belongs to the wire itself is answered here. */
  onMessage(message: RtmpMessage): void
}

/** Publishing needs long messages, nobody else does: what anybody may make this process hold is small. */
const MEDIA_BYTES_MAX = 16 * 1024 * 1024
const MEDIA_PARTIAL_BYTES_MAX = 20 * 1024 * 1024
const COMMAND_BYTES_MAX = 64 * 1024
const COMMAND_PARTIAL_BYTES_MAX = 256 * 1024
const CHUNK_STREAMS_MAX = 64
/** When the peer names no window. */
const ACK_WINDOW = 2_500_000
const ACK_WINDOW_MIN = 64 * 1024

/**
 * The server's side of one RTMP connection, without its socket: handshake, chunks, acknowledgements, pings.
 * `push` throws `bad-request` or `limit-exceeded` for what is no RTMP; the connection is then of no more use.
 */
export class RtmpConnection {
  readonly #hooks: RtmpConnectionHooks
  readonly #limits: ChunkLimits = {
    mediaBytes: COMMAND_BYTES_MAX,
    commandBytes: COMMAND_BYTES_MAX,
    chunkStreams: CHUNK_STREAMS_MAX,
    partialBytes: COMMAND_PARTIAL_BYTES_MAX,
  }
  readonly #chunks: ChunkReader
  /** What came of C0+C1, then of C2; undefined once messages flow. */
  #handshake: { readonly expects: 'greeting' | 'echo'; readonly bytes: Buffer } | undefined = {
    expects: 'greeting',
    bytes: Buffer.alloc(0),
  }
  #received = 0
  #acknowledged = 0
  #ackWindow = ACK_WINDOW

  constructor(hooks: RtmpConnectionHooks) {
    this.#hooks = hooks
    this.#chunks = new ChunkReader(this.#limits, (message) => this.#onMessage(message))
  }

  push(bytes: Buffer): void {
    this.#received += bytes.length
    const rest = this.#handshake === undefined ? bytes : this.#shakeHands(bytes)
    if (rest.length > 0) this.#chunks.push(rest)
    this.#acknowledge()
  }

  /** From now on audio and video messages of up to 16 MiB are taken, before only of up to 64 KiB. */
  allowMedia(): void {
    this.#limits.mediaBytes = MEDIA_BYTES_MAX
    this.#limits.partialBytes = MEDIA_PARTIAL_BYTES_MAX
  }

  /** Takes what belongs to the handshake; returns what follows it. */
  #shakeHands(bytes: Buffer): Buffer {
    let rest = bytes
    while (this.#handshake !== undefined && rest.length > 0) {
      const { expects } = this.#handshake
      const needed =
        (expects === 'greeting' ? 1 : 0) + HANDSHAKE_BYTES - this.#handshake.bytes.length
      const collected = Buffer.concat([this.#handshake.bytes, rest.subarray(0, needed)])
      // With the first byte, so that a web browser or a scanner is gone at once.
      if (expects === 'greeting') checkVersion(collected)
      if (rest.length < needed) {
        this.#handshake = { expects, bytes: collected }
        return Buffer.alloc(0)
      }
      rest = rest.subarray(needed)
      if (expects === 'greeting') {
        this.#hooks.write(answerHandshake(collected))
        this.#handshake = { expects: 'echo', bytes: Buffer.alloc(0) }
      } else {
        // C2 should echo S1; ffmpeg and Flash put a digest there, and nothing hangs on it.
        this.#handshake = undefined
        this.#hooks.onHandshake()
      }
    }
    return rest
  }

  #onMessage(message: RtmpMessage): void {
    const { type, payload } = message
    switch (type) {
      case MESSAGE.windowAckSize:
        if (payload.length >= 4) this.#ackWindow = Math.max(payload.readUInt32BE(), ACK_WINDOW_MIN)
        return
      case MESSAGE.userControl:
        if (payload.length >= 6 && payload.readUInt16BE() === USER_EVENT.pingRequest) {
          this.#hooks.write(writeUserControl('pingResponse', payload.readUInt32BE(2)))
        }
        return
      case MESSAGE.audio:
      case MESSAGE.video:
      case MESSAGE.dataAmf0:
      case MESSAGE.dataAmf3:
      case MESSAGE.commandAmf0:
      case MESSAGE.commandAmf3:
        this.#hooks.onMessage(message)
        return
      default:
      // Acknowledgements, bandwidths, shared objects, aggregates: nothing here depends on them.
    }
  }

  /** RTMP 1.0 §5.4.3; at half the window, because some senders stop at the whole. */
  #acknowledge(): void {
    if (this.#received - this.#acknowledged < this.#ackWindow / 2) return
    this.#acknowledged = this.#received
    this.#hooks.write(writeAcknowledgement(this.#received))
  }
}
