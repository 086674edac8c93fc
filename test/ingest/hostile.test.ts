import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeAmf0 } from '../../server/formats/flv/amf0.ts'
import { writeMessage, writeSetChunkSize } from '../../server/rtmp/chunk-writer.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import {
  AUDIO_HEADER,
  eventually,
  KEY,
  picture,
  sendHeaders,
  startTestListener,
} from './start-listener.ts'

let server: Awaited<ReturnType<typeof startTestListener>>
beforeAll(async () => {
  server = await startTestListener()
})
afterAll(() => server.close())

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const COMMAND = 20
const VIDEO = 9
/** Anything that a seed makes up, the same each time. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed
  for (let i = 0; i < length; i += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[i] = state >>> 16
  }
  return bytes
}

type Attack = (client: RtmpClient) => void
const command =
  (bytes: Buffer): Attack =>
  (client) =>
    client.send(COMMAND, bytes)

/** Before the handshake. */
const GREETINGS: readonly (readonly [string, Buffer])[] = [
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['a TLS greeting', hex('16 0301 0200 0100 01fc 0303')],
  ['RTMPE, version 6', Buffer.concat([Buffer.from([6]), Buffer.alloc(1536)])],
  ['noise', noise(20_000, 7)],
]

/** After connect, before publish: each of these ends the connection. */
const BREAKING: readonly (readonly [string, Attack])[] = [
  ['an empty command', (client) => client.raw(hex('03 000000 000000 14 00000000'))],
  [
    'an empty data-sized Set Chunk Size',
    (client) => client.raw(hex('02 000000 000000 01 00000000')),
  ],
  ['a chunk size of 0', (client) => client.raw(hex('02 000000 000004 01 00000000 00000000'))],
  ['an empty Abort', (client) => client.raw(hex('02 000000 000000 02 00000000'))],
  ['AMF of an unknown type', command(hex('42 00'))],
  ['AMF cut short', command(writeAmf0('publish', 1, null, KEY).subarray(0, 25))],
  ['an object that never ends', command(hex('02 0007 636f6e6e656374 00 3ff0000000000000 03 00'))],
  ['AMF nested 12,000 deep', command(Buffer.from('0a00000001'.repeat(12_000), 'hex'))],
  ['an array of 2^32 values', command(hex('02 0004 706c6179 0a ffffffff'))],
  ['a long string of 4 GiB', command(hex('0c ffffffff 61'))],
  [
    'a name of 1 MB',
    (client) => client.send(COMMAND, writeAmf0('play', 1, null, 'x'.repeat(1_000_000))),
  ],
  ['a number as name', command(writeAmf0('publish', 1, null, 42))],
  ['connect a second time', (client) => client.command('connect', 9, { app: 'live' })],
  [
    'a video message of 16 MiB announced',
    (client) => client.raw(hex('06 000000 ffffff 09 01000000')),
  ],
  [
    '100 chunk streams',
    (client) => {
      client.raw(writeSetChunkSize(128))
      for (let id = 0; id < 100; id += 1)
        client.raw(
          Buffer.concat([
            Buffer.from([0, id]),
            hex('000000 000082 09 01000000'),
            Buffer.alloc(128),
          ]),
        )
    },
  ],
  ['a chunk without header', (client) => client.raw(hex('fa aa'))],
  [
    'a message inside another',
    (client) =>
      client.raw(
        Buffer.concat([
          writeSetChunkSize(128),
          hex('06 000000 000100 09 01000000'),
          Buffer.alloc(128),
          hex('06 000000 000100 09 01000000'),
        ]),
      ),
  ],
  [
    'commands without end, no answer read',
    (client) => {
      client.socket.pause()
      const ask = Buffer.concat(
        Array.from({ length: 2000 }, () =>
          writeMessage(COMMAND, 0, 0, writeAmf0('createStream', 2, null)),
        ),
      )
      const push = () => {
        while (!client.socket.destroyed && client.socket.write(ask));
      }
      client.socket.on('drain', push)
      push()
    },
  ],
]

/** After Publish.Start: each of these ends the publisher. */
const BREAKING_PUBLISHERS: readonly (readonly [string, Attack])[] = [
  [
    'an avcC of noise',
    (client) => client.send(VIDEO, Buffer.concat([hex('1700000000'), noise(40, 3)])),
  ],
  ['an audio header cut short', (client) => client.send(8, AUDIO_HEADER.subarray(0, 3))],
  ['an empty video header', (client) => client.send(VIDEO, hex('1700000000'))],
  ['an empty HEVC header', (client) => client.send(VIDEO, hex('90 68766331'))],
  [
    'an AV1 header of noise',
    (client) => client.send(VIDEO, Buffer.concat([hex('9061763031'), noise(40, 4)])),
  ],
  ['an empty Opus header', (client) => client.send(8, hex('90 4f707573'))],
  ['VP8, which nobody takes', (client) => client.send(VIDEO, hex('90 76703038'))],
  ['metadata of noise', (client) => client.send(18, noise(50, 5))],
  ['publish a second time', (client) => client.command('publish', 5, null, KEY, 'live')],
  ['play what it publishes', (client) => client.command('play', 5, null, 'main')],
]

/** What is odd and does no harm: the connection stays. */
const HARMLESS: readonly (readonly [string, Attack])[] = [
  [
    'empty video and audio',
    (client) => {
      client.raw(hex('06 000000 000000 09 01000000'))
      client.raw(hex('06 000000 000000 08 01000000'))
    },
  ],
  ['an unknown command', (client) => client.command('makeCoffee', 3, null)],
  [
    'empty acknowledgements, events and windows',
    (client) => {
      for (const type of ['03', '04', '05', '06'])
        client.raw(hex(`02 000000 000000 ${type} 00000000`))
    },
  ],
  ['messages of unknown types', (client) => client.send(99, noise(100, 1))],
  ['NAL units with lying lengths', (client) => client.send(VIDEO, hex('1701000000 ffffffff 65'))],
  [
    'ManyTracks with sizes that lie',
    (client) => client.send(VIDEO, hex('a611 61766331 07 ffffff 00')),
  ],
  ['extensions without end', (client) => client.send(VIDEO, Buffer.alloc(4096, 0x07))],
  ['track 255', (client) => client.send(VIDEO, hex('9601 61766331 ff 00000a 00000001 65'))],
  [
    'a frame of nearly 16 MiB',
    (client) => client.send(VIDEO, picture(true, 16 * 1024 * 1024 - 64)),
  ],
  [
    'a group of pictures of five minutes',
    (client) => {
      for (let ms = 0; ms < 300_000; ms += 40) client.send(VIDEO, picture(ms === 0, 500), ms)
    },
  ],
  [
    'times that jump',
    (client) => {
      for (const time of [0, 0xffff_ffff, 5, 0x8000_0000]) client.send(VIDEO, picture(true), time)
    },
  ],
]

async function stillServes(): Promise<void> {
  const client = await RtmpClient.publishing(server.port, 'another-key')
  expect(client.statuses()).toEqual(['NetStream.Publish.Start'])
  client.close()
}

const warnings = () =>
  server.lines.filter((line) => line.level === 'warn' || line.level === 'error')

describe('hostile clients', () => {
  test.each(GREETINGS)('%s for a greeting', async (_, bytes) => {
    const client = await RtmpClient.open(server.port)
    client.raw(bytes)
    await client.untilClosed()
    await stillServes()
  })

  test.each(BREAKING)('%s ends its connection, in one line', async (_, attack) => {
    const before = warnings().length
    const client = await RtmpClient.connected(server.port)
    attack(client)
    await client.untilClosed()
    expect(warnings().length - before).toBe(1)
    expect(warnings().at(-1)?.level).toBe('warn')
    await stillServes()
  })

  test.each(BREAKING_PUBLISHERS)('a publisher with %s ends', async (_, attack) => {
    const client = await RtmpClient.publishing(server.port, KEY)
    attack(client)
    await client.untilClosed()
    expect(server.registry.get('main')).toBeUndefined()
    await stillServes()
  })

  test.each(HARMLESS)('%s changes nothing', async (_, attack) => {
    const client = await RtmpClient.publishing(server.port, KEY)
    sendHeaders(client)
    attack(client)
    client.command('createStream', 77, null)
    await client.until(() => client.commands().some((values) => values[1] === 77))
    client.close()
  })

  test('commands before connect end the connection', async () => {
    const client = await RtmpClient.open(server.port)
    client.greet()
    client.command('publish', 1, null, KEY)
    await client.untilClosed()
    expect(server.registry.get('main')).toBeUndefined()
  })

  test('resets at any moment leave nothing behind', async () => {
    for (let i = 0; i < 20; i += 1) {
      const socket = connect(server.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(Buffer.concat([Buffer.from([3]), noise(i * 160, i)]))
      await new Promise((resolve) => socket.once('connect', resolve))
      socket.resetAndDestroy()
    }
    await eventually(() => server.sessions().length === 0)
    await stillServes()
  })

  test('200 connections of noise after the handshake are all closed', async () => {
    for (let round = 0; round < 200; round += 20) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const client = await RtmpClient.open(server.port)
          client.greet()
          client.raw(noise(100_000, round + i + 1))
          // Some noise reads as the start of a long message: that would wait for its deadline.
          client.socket.end()
          await client.untilClosed()
        }),
      )
    }
    expect(server.sessions()).toEqual([])
    await stillServes()
  })
})
