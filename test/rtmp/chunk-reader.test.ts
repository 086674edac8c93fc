import { describe, expect, test } from 'vitest'
import { type ChunkLimits, ChunkReader } from '../../server/rtmp/chunk-reader.ts'
import { writeMessage, writeSetChunkSize } from '../../server/rtmp/chunk-writer.ts'
import type { RtmpMessage } from '../../server/rtmp/messages.ts'

const LIMITS: ChunkLimits = {
  mediaBytes: 1_000_000,
  commandBytes: 70_000,
  chunkStreams: 4,
  partialBytes: 200_000,
}

function read(...parts: readonly Buffer[]): readonly RtmpMessage[] {
  const messages: RtmpMessage[] = []
  const reader = new ChunkReader(LIMITS, (message) => messages.push(message))
  for (const part of parts) reader.push(part)
  return messages
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const bytes = (length: number) => Buffer.from(Array.from({ length }, (_, i) => i & 255))
const BIG_CHUNKS = writeSetChunkSize(0xffff)

describe('chunks are put together', () => {
  test.each([1, 127, 128, 65_534, 65_535, 65_536, 131_070, 131_071, 200_000])(
    'a message of %i bytes comes back as it was written',
    (length) => {
      const payload = bytes(length)
      const [message] = read(BIG_CHUNKS, writeMessage(9, 1, 40, payload))
      expect(message).toEqual({ type: 9, streamId: 1, timestamp: 40, payload })
    },
  )

  test('a time past 24 bits comes back, also over several chunks', () => {
    const payload = bytes(140_000)
    const [message] = read(BIG_CHUNKS, writeMessage(9, 1, 0xfedc_ba98, payload))
    expect(message?.timestamp).toBe(0xfedc_ba98)
    expect(message?.payload.equals(payload)).toBe(true)
  })

  test('later chunks without the extended time, as old encoders write them, are read too', () => {
    const payload = Buffer.alloc(200, 7)
    const head = hex('04 ffffff 0000c8 08 01000000 01000000')
    const [message] = read(
      Buffer.concat([head, payload.subarray(0, 128), hex('c4'), payload.subarray(128)]),
    )
    expect(message?.timestamp).toBe(0x0100_0000)
    expect(message?.payload.equals(payload)).toBe(true)
  })

  test('it does not matter where the bytes are cut', () => {
    const all = Buffer.concat([
      writeMessage(8, 1, 0x0100_0000, bytes(100)),
      writeMessage(9, 1, 5, bytes(90)),
    ])
    const single = [...all].map((byte) => Buffer.from([byte]))
    expect(read(...single)).toEqual(read(all))
    expect(read(all)).toHaveLength(2)
  })

  test('formats 1, 2 and 3 take over what they leave out', () => {
    const messages = read(
      hex('04 00000a 000001 08 01000000 aa'), // at 10
      hex('44 000014 000002 09 bbbb'), // 20 later
      hex('84 000005 cccc'), // 5 later
      hex('c4 dddd'), // 5 later again
    )
    expect(
      messages.map((m) => [m.timestamp, m.type, m.streamId, m.payload.toString('hex')]),
    ).toEqual([
      [10, 8, 1, 'aa'],
      [30, 9, 1, 'bbbb'],
      [35, 9, 1, 'cccc'],
      [40, 9, 1, 'dddd'],
    ])
  })

  test('§5.3.1.2.4: after a full header, a chunk without times adds that header’s time', () => {
    const messages = read(hex('04 00000a 000001 08 01000000 aa'), hex('c4 bb'))
    expect(messages.map((m) => m.timestamp)).toEqual([10, 20])
  })

  test('§5.3.1.1: chunk ids of two and three bytes name different chunk streams', () => {
    const half = (id: string, payload: string) =>
      hex(`${id} 000000 000081 08 01000000 ${payload.repeat(128)}`)
    const messages = read(
      half('00 05', 'aa'), // 69
      half('01 05 01', 'bb'), // 325
      hex('c0 05 aa'),
      hex('c1 05 01 bb'),
    )
    expect(messages.map((m) => m.payload[128])).toEqual([0xaa, 0xbb])
  })

  test('messages of several chunk streams may alternate', () => {
    const a = hex(`03 000000 000082 14 00000000 ${'aa'.repeat(128)}`)
    const messages = read(a, hex('04 000000 000001 08 01000000 bb'), hex('c3 aaaa'))
    expect(messages.map((m) => m.payload.length)).toEqual([1, 130])
  })

  test('an empty message is a message', () => {
    expect(read(hex('04 000000 000000 09 01000000'))).toHaveLength(1)
  })

  test('§5.4.2: Abort forgets the half message', () => {
    const messages = read(
      hex(`04 000000 000082 08 01000000 ${'aa'.repeat(128)}`),
      hex('02 000000 000004 02 00000000 00000004'),
      hex('04 000000 000001 08 01000000 bb'),
    )
    expect(messages.map((m) => m.payload.toString('hex'))).toEqual(['bb'])
  })

  test('a payload is never written to again', () => {
    const messages = read(
      hex('04 000000 000001 08 01000000 aa'),
      hex('04 000000 000001 08 01000000 bb'),
    )
    expect(messages.map((m) => m.payload[0])).toEqual([0xaa, 0xbb])
  })
})

describe('what breaks the rules is refused', () => {
  test.each([
    ['a chunk stream that starts without length', hex('84 000000 aa'), /^bad-request: .*format 2/],
    [
      'a chunk size of 0',
      hex('02 000000 000004 01 00000000 00000000'),
      /^bad-request: chunk size 0/,
    ],
    ['a chunk size with the top bit', hex('02 000000 000004 01 00000000 ffffffff'), /^bad-request/],
    ['an empty chunk size', hex('02 000000 000000 01 00000000'), /^bad-request/],
    ['an empty abort', hex('02 000000 000000 02 00000000'), /^bad-request/],
    [
      'a message inside another',
      hex(`04 000000 000082 08 01000000 ${'aa'.repeat(128)} 04 000000 000001 08 01000000`),
      /^bad-request/,
    ],
    ['a long command', hex('03 000000 ffffff 14 00000000'), /^limit-exceeded: .*type 20/],
    ['a long video message', hex('03 000000 ffffff 09 00000000'), /^limit-exceeded: .*type 9/],
    [
      'a fifth chunk stream',
      Buffer.concat([3, 4, 5, 6, 7].map((id) => hex(`0${id} 000000 000001 08 01000000 aa`))),
      /^limit-exceeded: more than 4/,
    ],
  ])('%s', (_, input, error) => {
    expect(() => read(input)).toThrow(error)
  })

  test('unfinished messages together are bounded, and headers alone take little', () => {
    const begin = (id: number) => hex(`0${id} 000000 0f0000 09 01000000`)
    expect(() => read(begin(3), Buffer.alloc(128))).not.toThrow()
    const fed = [3, 4, 5, 6].map((id) => Buffer.concat([begin(id), Buffer.alloc(128)]))
    expect(() => read(...fed)).toThrow(/^limit-exceeded: unfinished/)
  })
})
