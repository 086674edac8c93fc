import { connect, type Socket } from 'node:net'
import { type AmfOut, type AmfValue, readAmf0, writeAmf0 } from '../../server/formats/flv/amf0.ts'
import { ChunkReader } from '../../server/rtmp/chunk-reader.ts'
import { writeMessage } from '../../server/rtmp/chunk-writer.ts'
import { MESSAGE, type RtmpMessage } from '../../server/rtmp/messages.ts'

/** An RTMP client that does what a test tells it, right or wrong. */
export class RtmpClient {
  readonly socket: Socket
  readonly messages: RtmpMessage[] = []
  closed = false
  readonly #waiters = new Set<() => void>()
  #greeting = 1 + 2 * 1536
  readonly #chunks = new ChunkReader(
    { mediaBytes: 2 ** 24, commandBytes: 2 ** 24, chunkStreams: 64, partialBytes: 2 ** 26 },
    (message) => this.messages.push(message),
  )

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => {
      const skipped = Math.min(this.#greeting, bytes.length)
      this.#greeting -= skipped
      if (skipped < bytes.length) this.#chunks.push(bytes.subarray(skipped))
      this.#wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  static open(
    port: number,
    options: { readonly host?: string; readonly allowHalfOpen?: boolean } = {},
  ): Promise<RtmpClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', ...options })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new RtmpClient(socket)))
    })
  }

  /** Connected, hands shaken, `connect` answered. */
  static async connected(port: number, app = 'live', host = '127.0.0.1'): Promise<RtmpClient> {
    const client = await RtmpClient.open(port, { host })
    client.greet()
    client.command('connect', 1, { app, flashVer: 'test', tcUrl: `rtmp://127.0.0.1/${app}` })
    await client.until(() => client.has('_result'))
    return client
  }

  static async publishing(port: number, key: string, host?: string): Promise<RtmpClient> {
    const client = await RtmpClient.connected(port, 'live', host)
    client.command('createStream', 2, null)
    client.command('publish', 3, null, key, 'live')
    await client.until(() => client.closed || client.statuses().length > 0)
    return client
  }

  static async playing(port: number, name: string): Promise<RtmpClient> {
    const client = await RtmpClient.connected(port)
    client.command('createStream', 2, null)
    client.command('play', 3, null, name, -2000)
    await client.until(() => client.closed || client.statuses().length > 0)
    return client
  }

  /** C0, C1 and C2 in one go. */
  greet(): void {
    this.socket.write(Buffer.concat([Buffer.from([3]), Buffer.alloc(2 * 1536)]))
  }

  command(name: string, transaction: number, ...values: readonly AmfOut[]): void {
    const payload = writeAmf0(name, transaction, ...values)
    this.send(MESSAGE.commandAmf0, payload)
  }

  /** One message in chunks of 64 KiB, which has to be told first when it is longer than 128 bytes. */
  send(type: number, payload: Buffer, timestamp = 0): void {
    const size = Buffer.alloc(4)
    size.writeUInt32BE(0xffff)
    this.socket.write(
      Buffer.concat([
        writeMessage(MESSAGE.setChunkSize, 0, 0, size),
        writeMessage(type, 1, timestamp, payload),
      ]),
    )
  }

  raw(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  commands(): readonly (readonly AmfValue[])[] {
    return this.messages
      .filter((m) => m.type === MESSAGE.commandAmf0)
      .map((m) => readAmf0(m.payload))
  }

  has(command: string): boolean {
    return this.commands().some(([name]) => name === command)
  }

  /** The codes of all onStatus so far. */
  statuses(): readonly string[] {
    return this.commands()
      .filter(([name]) => name === 'onStatus')
      .map((values) => (values[3] instanceof Map ? String(values[3].get('code')) : ''))
  }

  media(): readonly RtmpMessage[] {
    return this.messages.filter((m) => m.type === MESSAGE.audio || m.type === MESSAGE.video)
  }

  /** Looks again after all that the server sends. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.add(resolve))
  }

  untilClosed(): Promise<void> {
    return this.until(() => this.closed)
  }

  close(): void {
    this.socket.destroy()
  }

  #wake(): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const wake of waiters) wake()
  }
}
