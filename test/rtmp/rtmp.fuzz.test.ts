import fc from 'fast-check'
import { test } from 'vitest'
import { NearcastError } from '../../server/lib/errors.ts'
import { readAmf0, writeAmf0 } from '../../server/formats/flv/amf0.ts'
import { writeMessage } from '../../server/rtmp/chunk-writer.ts'
import { RtmpConnection } from '../../server/rtmp/connection.ts'
import { MESSAGE } from '../../server/rtmp/messages.ts'
import { readCommand } from '../../server/rtmp/read-command.ts'
import { readData } from '../../server/rtmp/read-data.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

function onlyNearcastErrors(read: () => void): void {
  try {
    read()
  } catch (error) {
    if (!(error instanceof NearcastError) || error.code === 'internal') throw error
  }
}

const CONNECT = writeAmf0('connect', 1, { app: 'live', nested: { a: 1, b: 'x' }, flag: true })
const damaged = (good: Buffer) =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
      fc.nat(good.length),
    )
    .map(([changes, length]) => {
      const bytes = Buffer.from(good)
      for (const [at, value] of changes) bytes[at] = value
      return bytes.subarray(0, length)
    })
const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))

test('any bytes are AMF0 or refused with a code', () => {
  fc.assert(
    fc.property(fc.oneof(noise, damaged(CONNECT)), (bytes) =>
      onlyNearcastErrors(() => void readAmf0(bytes)),
    ),
    { numRuns: FUZZ_RUNS },
  )
})

test('any message is a command, metadata, or refused with a code', () => {
  const type = fc.constantFrom(MESSAGE.commandAmf0, MESSAGE.commandAmf3, MESSAGE.dataAmf0)
  fc.assert(
    fc.property(fc.oneof(noise, damaged(CONNECT)), type, (payload, type) => {
      const message = { type, streamId: 0, timestamp: 0, payload }
      onlyNearcastErrors(() => void readCommand(message))
      onlyNearcastErrors(() => void readData(message))
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('any bytes after the handshake are messages or refused with a code, however they are cut', () => {
  const good = Buffer.concat([
    writeMessage(MESSAGE.commandAmf0, 0, 0, CONNECT.subarray(0, 60)),
    writeMessage(MESSAGE.video, 1, 0x0100_0000, Buffer.alloc(100)),
    writeMessage(MESSAGE.setChunkSize, 0, 0, Buffer.from([0, 0, 16, 0])),
  ])
  const stream = fc.oneof(noise, damaged(good))
  fc.assert(
    fc.property(stream, fc.array(fc.nat(300), { maxLength: 5 }), (bytes, cuts) => {
      const connection = new RtmpConnection({
        write: () => {},
        onHandshake: () => {},
        onMessage: () => {},
      })
      connection.push(Buffer.concat([Buffer.from([3]), Buffer.alloc(2 * 1536)]))
      onlyNearcastErrors(() => {
        let from = 0
        for (const cut of cuts.toSorted((a, b) => a - b)) {
          connection.push(bytes.subarray(from, Math.max(cut, from)))
          from = Math.max(cut, from)
        }
        connection.push(bytes.subarray(from))
      })
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('messages of any size and time come back as they were written', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.constantFrom(8, 9),
          fc.integer({ min: 0, max: 2 ** 32 - 1 }),
          fc.integer({ min: 1, max: 140_000 }),
        ),
        { maxLength: 4 },
      ),
      (wanted) => {
        const got: [number, number, number][] = []
        const connection = new RtmpConnection({
          write: () => {},
          onHandshake: () => {},
          onMessage: (m) => void got.push([m.type, m.timestamp, m.payload.length]),
        })
        connection.push(Buffer.concat([Buffer.from([3]), Buffer.alloc(2 * 1536)]))
        connection.allowMedia()
        connection.push(writeMessage(MESSAGE.setChunkSize, 0, 0, Buffer.from([0, 0, 255, 255])))
        for (const [type, time, length] of wanted) {
          connection.push(writeMessage(type, 1, time, Buffer.alloc(length)))
        }
        if (JSON.stringify(got) !== JSON.stringify(wanted)) throw new Error(JSON.stringify(got))
      },
    ),
    { numRuns: Math.min(FUZZ_RUNS, 50) },
  )
})
