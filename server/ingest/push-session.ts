import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import { type AmfValue, readAmf0 } from '../formats/flv/amf0.ts'
import { OUT_CHUNK_SIZE, writeSetChunkSize } from '../rtmp/chunk-writer.ts'
import { RtmpClientConnection } from '../rtmp/client-connection.ts'
import { MESSAGE, type RtmpMessage } from '../rtmp/messages.ts'
import { writeCommand, writeSetDataFrame } from '../rtmp/write-command.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import { livePlaySource } from './play-live.ts'
import { type PlayOutput, STREAM_ID } from './play-source.ts'
import { PlayerQueue } from './player-queue.ts'

/** Where a stream is sent on to. The key is a secret: it is in no log line, no error and no answer. */
export interface PushAddress {
  /** `rtmp://` or `rtmps://`, host, maybe a port, and the application. */
  readonly url: string
  readonly key: string
}

export interface PushHooks {
  onPublishing(): void
  /** Once; `reason` names no secret. `finished`: the stream ended and all of it was sent. */
  onClosed(reason: string, finished: boolean): void
}

const OPEN_MS = 10_000
const CHECK_MS = 1000
/** A target that takes nothing for so long is tried anew. */
const STALLED_MS = 10_000
const QUEUE = { bytes: 16 * 1024 * 1024, mediaMs: 5000 }
const TRANSACTION = { connect: 1, release: 2, fcPublish: 3, createStream: 4, publish: 5 } as const

/** One attempt to send a stream on to one RTMP server: it lasts until the stream ends, the target fails or stalls, or it is closed. */
export class PushSession {
  readonly #stream: LiveStream
  readonly #address: PushAddress
  readonly #hooks: PushHooks
  readonly #socket: Socket
  readonly #connection: RtmpClientConnection
  readonly #queue: PlayerQueue
  readonly #deadline: Disposable
  readonly #checking: Disposable
  #streamId = STREAM_ID
  #reading: Disposable | undefined
  #finished = false
  #closed = false

  constructor(stream: LiveStream, address: PushAddress, clock: Clock, hooks: PushHooks) {
    this.#stream = stream
    this.#address = address
    this.#hooks = hooks
    const { protocol, hostname, port } = new URL(address.url)
    const host = hostname.replace(/^\[(.*)\]$/, '$1')
    this.#socket =
      protocol === 'rtmps:'
        ? connectTls({ host, port: Number(port || 443), servername: host })
        : connect({ host, port: Number(port || 1935) })
    this.#queue = new PlayerQueue(this.#socket, QUEUE, () => clock.monotonic(), {
      onFinished: () => this.#end(),
      onOverflow: () => this.#close('the target does not read'),
    })
    this.#deadline = clock.after(OPEN_MS, () => this.#close('the target did not answer in time'))
    this.#checking = clock.every(CHECK_MS, () => {
      if (this.#queue.stalledMs() >= STALLED_MS) this.#close('the target stopped reading')
    })
    this.#socket.setNoDelay(true)
    this.#socket.on('error', (error) => this.#close(describeError(error)))
    this.#socket.on('close', () => this.#close('the target closed the connection'))
    this.#socket.on('drain', () => this.#queue.pump())
    this.#connection = new RtmpClientConnection(
      {
        write: (bytes) => this.#queue.send(bytes),
        onHandshake: () => this.#connect(),
        onMessage: (message) => this.#onMessage(message),
      },
      randomBytes(1528),
    )
    this.#socket.on('data', (bytes) => this.#onData(bytes))
  }

  get bytesSent(): number {
    return this.#socket.bytesWritten
  }
  get droppedFrames(): number {
    return this.#queue.droppedFrames
  }

  close(): void {
    this.#close('closed here')
  }

  #onData(bytes: Buffer): void {
    if (this.#closed) return
    try {
      this.#connection.push(bytes)
    } catch (error) {
      this.#close(describeError(error))
    }
  }

  #connect(): void {
    const { url } = this.#address
    const app = new URL(url).pathname.replaceAll(/^\/+|\/+$/g, '')
    const about = { app, type: 'nonprivate', flashVer: 'FMLE/3.0 (compatible)', tcUrl: url }
    this.#queue.send(writeSetChunkSize(OUT_CHUNK_SIZE))
    this.#queue.send(writeCommand(0, 'connect', TRANSACTION.connect, about))
  }

  #onMessage({ type, payload }: RtmpMessage): void {
    if (type !== MESSAGE.commandAmf0 || this.#closed) return
    const [name, transaction, , value] = readAmf0(payload)
    if (name === 'onStatus') this.#onStatus(value)
    else if (name === '_result') this.#onResult(transaction, value)
    else if (
      name === '_error' &&
      transaction !== TRANSACTION.release &&
      transaction !== TRANSACTION.fcPublish
    )
      this.#close(`the target refused: ${said(value)}`)
  }

  #onResult(transaction: AmfValue, value: AmfValue): void {
    const { key } = this.#address
    if (transaction === TRANSACTION.connect) {
      this.#queue.send(writeCommand(0, 'releaseStream', TRANSACTION.release, null, key))
      this.#queue.send(writeCommand(0, 'FCPublish', TRANSACTION.fcPublish, null, key))
      this.#queue.send(writeCommand(0, 'createStream', TRANSACTION.createStream, null))
    } else if (transaction === TRANSACTION.createStream) {
      if (typeof value === 'number' && value >= 1 && value < 2 ** 32) this.#streamId = value
      const publish = writeCommand(
        this.#streamId,
        'publish',
        TRANSACTION.publish,
        null,
        key,
        'live',
      )
      this.#queue.send(publish)
    }
  }

  #onStatus(value: AmfValue): void {
    const status = value instanceof Map ? value : new Map<string, AmfValue>()
    if (status.get('code') === 'NetStream.Publish.Start') this.#publish()
    else if (status.get('level') === 'error') this.#close(`the target refused: ${said(value)}`)
  }

  #publish(): void {
    if (this.#reading) return
    this.#deadline[Symbol.dispose]()
    this.#hooks.onPublishing()
    this.#queue.join()
    const reading = livePlaySource(this.#stream, writeSetDataFrame).start(this.#output())
    if (this.#closed) reading[Symbol.dispose]()
    else this.#reading = reading
    this.#queue.joined()
  }

  /** Messages are made once for all, on stream 1; a target that gave another number gets them with that. */
  #output(): PlayOutput {
    const queue = this.#queue
    if (this.#streamId === STREAM_ID) return queue
    const readdressed = (bytes: Buffer) => {
      const copy = Buffer.from(bytes)
      // RTMP 1.0 §5.3.1.2.1: behind one byte of basic header, time, length and type; little endian.
      copy.writeUInt32LE(this.#streamId, 8)
      return copy
    }
    return {
      send: (bytes) => queue.send(readdressed(bytes)),
      sendFrame: (bytes, frame) => queue.sendFrame(readdressed(bytes), frame),
      finish: () => queue.finish(),
    }
  }

  /** The stream has ended and everything was written. */
  #end(): void {
    if (this.#closed) return
    this.#finished = true
    const words = [
      writeCommand(0, 'FCUnpublish', 6, null, this.#address.key),
      writeCommand(0, 'deleteStream', 7, null, this.#streamId),
    ]
    this.#socket.end(Buffer.concat(words))
    this.#leave('the stream ended')
  }

  #close(reason: string): void {
    this.#leave(reason)
    if (!this.#finished) this.#socket.destroy()
  }

  #leave(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#deadline[Symbol.dispose]()
    this.#checking[Symbol.dispose]()
    this.#reading?.[Symbol.dispose]()
    // What a target says may repeat what it was told.
    this.#hooks.onClosed(reason.replaceAll(this.#address.key, '…'), this.#finished)
  }
}

const SAID_CHARS = 200

function said(value: AmfValue): string {
  if (!(value instanceof Map)) return 'without a reason'
  const words = [value.get('code'), value.get('description')].filter(
    (word) => typeof word === 'string' && word !== '',
  )
  return words
    .join(', ')
    .replaceAll(/[\p{Cc}]+/gu, ' ')
    .slice(0, SAID_CHARS)
}
