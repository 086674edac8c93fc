import { ChunkReader } from './chunk-reader.ts'
import { writeUserControl } from './chunk-writer.ts'
import { checkVersion, HANDSHAKE_BYTES } from './handshake.ts'
import { MESSAGE, type RtmpMessage, USER_EVENT } from './messages.ts'

export interface RtmpClientHooks {
  write(bytes: Buffer): void
  /** Hands are shaken: messages may be sent. */
  onHandshake(): void
  /** Commands, and whatever else the server sends. */
  onMessage(message: RtmpMessage): void
}

/** A server that is only published to has little to say. */
const LIMITS = {
  mediaBytes: 64 * 1024,
  commandBytes: 64 * 1024,
  chunkStreams: 64,
  partialBytes: 256 * 1024,
}
const GREETING_BYTES = 1 + 2 * HANDSHAKE_BYTES

/**
 * The client's side of one RTMP connection that publishes, without its socket: handshake (RTMP 1.0 §5.2, simple), chunks, pings.
 * `push` throws `bad-request` or `limit-exceeded` for what is no RTMP; the connection is then of no more use.
 */
export class RtmpClientConnection {
  readonly #hooks: RtmpClientHooks
  readonly #chunks: ChunkReader
  /** What came of S0+S1+S2; undefined once messages flow. */
  #greeting: Buffer | undefined = Buffer.alloc(0)

  /** `noise`: 1528 bytes for C1. */
  constructor(hooks: RtmpClientHooks, noise: Uint8Array) {
    this.#hooks = hooks
    this.#chunks = new ChunkReader(LIMITS, (message) => this.#onMessage(message))
    const greeting = Buffer.alloc(1 + HANDSHAKE_BYTES)
    greeting[0] = 3
    greeting.set(noise.subarray(0, HANDSHAKE_BYTES - 8), 9)
    hooks.write(greeting)
  }

  push(bytes: Buffer): void {
    const rest = this.#greeting === undefined ? bytes : this.#shakeHands(this.#greeting, bytes)
    if (rest.length > 0) this.#chunks.push(rest)
  }

  #shakeHands(known: Buffer, bytes: Buffer): Buffer {
    const greeting = Buffer.concat([known, bytes.subarray(0, GREETING_BYTES - known.length)])
    if (greeting.length > 0) checkVersion(greeting)
    if (greeting.length < GREETING_BYTES) {
      this.#greeting = greeting
      return Buffer.alloc(0)
    }
    this.#greeting = undefined
    // C2 echoes S1.
    this.#hooks.write(greeting.subarray(1, 1 + HANDSHAKE_BYTES))
    this.#hooks.onHandshake()
    return bytes.subarray(GREETING_BYTES - known.length)
  }

  #onMessage(message: RtmpMessage): void {
    const { type, payload } = message
    const ping = type === MESSAGE.userControl && payload.length >= 6
    if (ping && payload.readUInt16BE() === USER_EVENT.pingRequest)
      this.#hooks.write(writeUserControl('pingResponse', payload.readUInt32BE(2)))
    else this.#hooks.onMessage(message)
  }
}
