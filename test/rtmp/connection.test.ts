import { describe, expect, test } from 'vitest'
import { ChunkReader } from '../../server/rtmp/chunk-reader.ts'
import {
  writeMessage,
  writeSetChunkSize,
  writeUserControl,
} from '../../server/rtmp/chunk-writer.ts'
import { RtmpConnection } from '../../server/rtmp/connection.ts'
import { MESSAGE, type RtmpMessage } from '../../server/rtmp/messages.ts'
import { readCommand } from '../../server/rtmp/read-command.ts'
import { type AmfOut, writeAmf0 } from '../../server/formats/flv/amf0.ts'

const GREETING = Buffer.concat([Buffer.from([3]), Buffer.alloc(2 * 1536)])

function open() {
  const received: RtmpMessage[] = []
  const sent: RtmpMessage[] = []
  const limits = { mediaBytes: 1e6, commandBytes: 1e6, chunkStreams: 9, partialBytes: 1e7 }
  const reader = new ChunkReader(limits, (message) => sent.push(message))
  let shaken = false
  const connection = new RtmpConnection({
    write: (bytes) => (shaken ? reader.push(bytes) : undefined),
    onHandshake: () => {
      shaken = true
    },
    onMessage: (message) => received.push(message),
  })
  connection.push(GREETING)
  return { connection, received, sent }
}

describe('connection', () => {
  test('a ping is answered with its time', () => {
    const { connection, sent } = open()
    connection.push(writeUserControl('pingRequest', 77))
    expect(sent.map((m) => [m.type, m.payload.toString('hex')])).toEqual([[4, '00070000004d']])
  })

  test('§5.4.3: what came in is acknowledged', () => {
    const { connection, sent } = open()
    connection.allowMedia()
    connection.push(writeSetChunkSize(0xffff))
    for (let i = 0; i < 25; i += 1) connection.push(writeMessage(9, 1, i, Buffer.alloc(60_000)))
    expect(sent.map((m) => m.type)).toEqual([MESSAGE.acknowledgement])
    expect(sent[0]?.payload.readUInt32BE()).toBeGreaterThan(1_250_000)
  })

  test('before media is allowed, a message of more than 64 KiB is refused', () => {
    const { connection } = open()
    expect(() => connection.push(writeMessage(9, 1, 0, Buffer.alloc(70_000)))).toThrow(
      /^limit-exceeded/,
    )
  })

  test('before media is allowed, unfinished messages hold 256 KiB at most, then 20 MiB', () => {
    // A full header and one chunk of 16 bytes.
    const begin = (id: number) =>
      writeMessage(9, 1, 0, Buffer.alloc(60_000)).fill(id, 0, 1).subarray(0, 28)
    const feed = (connection: RtmpConnection) => {
      connection.push(writeSetChunkSize(16))
      for (let id = 8; id < 14; id += 1) connection.push(begin(id))
    }
    expect(() => feed(open().connection)).toThrow(/^limit-exceeded: unfinished/)
    const publisher = open()
    publisher.connection.allowMedia()
    feed(publisher.connection)
    expect(publisher.received).toEqual([])
  })

  test('empty and short control messages change nothing', () => {
    const { connection, received, sent } = open()
    for (const type of [3, 4, 5, 6]) connection.push(control(type))
    expect(received).toEqual([])
    expect(sent).toEqual([])
  })
})

function control(type: number): Buffer {
  return Buffer.from([2, 0, 0, 0, 0, 0, 0, type, 0, 0, 0, 0])
}

function command(...values: readonly [string, number, ...AmfOut[]]): RtmpMessage {
  return { type: 20, streamId: 1, timestamp: 0, payload: writeAmf0(...values) }
}

describe('commands', () => {
  test('GStreamer’s publish with transaction 0 and a deleteStream with the name are understood', () => {
    expect(readCommand(command('publish', 0, null, 'key', 'live'))).toEqual({
      kind: 'publish',
      transaction: 0,
      streamId: 1,
      name: 'key',
    })
    expect(readCommand(command('deleteStream', 0, null, 'key')).kind).toBe('close-stream')
  })

  test('ffmpeg’s play carries its start', () => {
    expect(readCommand(command('play', 4, null, 'main', -2000))).toMatchObject({
      kind: 'play',
      name: 'main',
      start: -2000,
    })
  })

  test('type 17 carries AMF0 behind a zero', () => {
    const payload = Buffer.concat([Buffer.from([0]), writeAmf0('createStream', 2, null)])
    expect(readCommand({ type: 17, streamId: 0, timestamp: 0, payload }).kind).toBe('create-stream')
  })

  test.each([
    ['no name', Buffer.alloc(0)],
    ['a number as name', writeAmf0(1, 2)],
    ['connect without its object', writeAmf0('connect', 1)],
    ['connect with a number as app', writeAmf0('connect', 1, { app: 5 })],
    ['publish with a number as name', writeAmf0('publish', 1, null, 5)],
  ])('%s is bad-request', (_, payload) => {
    expect(() => readCommand({ type: 20, streamId: 0, timestamp: 0, payload })).toThrow(
      /^bad-request/,
    )
  })

  test('publish without a name has an empty one', () => {
    expect(readCommand(command('publish', 1, null))).toMatchObject({ kind: 'publish', name: '' })
  })

  test('a name of 5,000 characters is limit-exceeded', () => {
    expect(() => readCommand(command('play', 1, null, 'x'.repeat(5000)))).toThrow(/^limit-exceeded/)
  })
})
