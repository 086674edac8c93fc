import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NearcastError } from '../../server/lib/errors.ts'
import { RtmpClientConnection } from '../../server/rtmp/client-connection.ts'
import { writeCommand } from '../../server/rtmp/write-command.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const GREETING = Buffer.concat([Buffer.from([3]), Buffer.alloc(2 * 1536, 7)])

/** What a client makes of these pieces; the error it says, if one. */
function feed(pieces: readonly Uint8Array[]): {
  readonly error: unknown
  readonly messages: number
} {
  let messages = 0
  try {
    const hooks = { write: () => {}, onHandshake: () => {}, onMessage: () => void messages++ }
    const client = new RtmpClientConnection(hooks, new Uint8Array(1528))
    for (const piece of pieces) client.push(Buffer.from(piece))
  } catch (error) {
    return { error, messages }
  }
  return { error: undefined, messages }
}

test('whatever a server sends is a message or an error with a code', () => {
  const bytes = fc.uint8Array({ maxLength: 4000 })
  fc.assert(
    fc.property(fc.boolean(), fc.array(bytes, { maxLength: 6 }), (greets, pieces) => {
      const { error } = feed(greets ? [GREETING, ...pieces] : pieces)
      if (error !== undefined) expect(error).toBeInstanceOf(NearcastError)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('the bytes of a server are read however they are cut', () => {
  const all = Buffer.concat([GREETING, writeCommand(0, '_result', 1, null, null)])
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: all.length }), { maxLength: 8 }), (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), all.length]
      const pieces = at.slice(1).map((end, i) => all.subarray(at[i], end))
      expect(feed(pieces)).toEqual({ error: undefined, messages: 1 })
    }),
    { numRuns: FUZZ_RUNS },
  )
})
