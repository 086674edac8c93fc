import { createHmac, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { RtmpConnection } from '../../server/rtmp/connection.ts'
import { answerHandshake } from '../../server/rtmp/handshake.ts'

const SIZE = 1536
const FLASH_PLAYER = 'Genuine Adobe Flash Player 001'
const FLASH_SERVER = 'Genuine Adobe Flash Media Server 001'

/** Where a block of 764 bytes that starts at `base` keeps its digest. */
const digestAt = (bytes: Buffer, base: number) =>
  base + 4 + (bytes.subarray(base, base + 4).reduce((sum, byte) => sum + byte, 0) % 728)

function digestOf(bytes: Buffer, at: number, key: string): Buffer {
  const rest = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 32)])
  return createHmac('sha256', key).update(rest).digest()
}

describe('handshake', () => {
  test('a plain greeting is echoed', () => {
    const c1 = Buffer.concat([Buffer.alloc(8), randomBytes(SIZE - 8)])
    const answer = answerHandshake(Buffer.concat([Buffer.from([3]), c1]))
    expect(answer).toHaveLength(1 + 2 * SIZE)
    expect(answer[0]).toBe(3)
    expect(answer.subarray(1 + SIZE).equals(c1)).toBe(true)
  })

  test.each([8, 772])('a digest in the block at %i is answered with one there', (base) => {
    const c1 = Buffer.concat([Buffer.from([0, 0, 0, 0, 9, 0, 124, 2]), randomBytes(SIZE - 8)])
    const at = digestAt(c1, base)
    digestOf(c1, at, FLASH_PLAYER).copy(c1, at)
    const s1 = answerHandshake(Buffer.concat([Buffer.from([3]), c1])).subarray(1, 1 + SIZE)
    const serverAt = digestAt(s1, base)
    expect(s1.subarray(serverAt, serverAt + 32)).toEqual(digestOf(s1, serverAt, FLASH_SERVER))
  })

  test('greetings of several clients do not mix', () => {
    const greet = (fill: number) => Buffer.concat([Buffer.from([3]), Buffer.alloc(SIZE, fill)])
    const hooks = (out: Buffer[]) => ({
      write: (bytes: Buffer) => void out.push(bytes),
      onHandshake: () => {},
      onMessage: () => {},
    })
    const outA: Buffer[] = []
    const outB: Buffer[] = []
    const a = new RtmpConnection(hooks(outA))
    const b = new RtmpConnection(hooks(outB))
    a.push(greet(1).subarray(0, 700))
    b.push(greet(2))
    a.push(greet(1).subarray(700))
    expect(outA[0]?.[3000]).toBe(1)
    expect(outB[0]?.[3000]).toBe(2)
  })

  test('another protocol is refused at its first byte', () => {
    const connection = new RtmpConnection({
      write: () => {},
      onHandshake: () => {},
      onMessage: () => {},
    })
    expect(() => connection.push(Buffer.from('GET / HTTP/1.1\r\n'))).toThrow(
      /^bad-request: RTMP version 71/,
    )
  })
})
