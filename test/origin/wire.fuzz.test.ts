import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readChange, readChangesHeader } from '../../server/distribution/read-change.ts'
import { readBeatFrames, writeBeatFrame } from '../../server/lib/beat-frames.ts'
import { collect } from '../../server/lib/bytes.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { readLines } from '../../server/lib/read-lines.ts'
import { parseMatched, parseTarget } from '../../server/origin/read-target.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

async function* pieces(bytes: Uint8Array, sizes: readonly number[]) {
  let at = 0
  for (const size of sizes) {
    yield bytes.subarray(at, at + size)
    at += size
  }
  yield bytes.subarray(at)
}
const sizes = fc.array(fc.nat(9), { maxLength: 20 })

it('gives framed bytes back however the network cuts them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 30 })), sizes, async (chunks, cuts) => {
      const wire = Buffer.concat(chunks.flatMap((chunk) => [...writeBeatFrame(chunk)]))
      const read = await collect(readBeatFrames(pieces(wire, cuts)))
      expect(read.equals(Buffer.concat(chunks))).toBe(true)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

it('reads any bytes as frames: it ends or throws RangeError', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array(), sizes, async (bytes, cuts) => {
      const read = await collect(readBeatFrames(pieces(bytes, cuts))).catch((error: unknown) => {
        expect(error).toBeInstanceOf(RangeError)
        return Buffer.alloc(0)
      })
      expect(read.length).toBeLessThanOrEqual(bytes.length)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

it('gives lines back however the network cuts them, and bounds them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.stringMatching(/^[^\n]{0,20}$/)), sizes, async (lines, cuts) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
      const read: string[] = []
      for await (const line of readLines(pieces(bytes, cuts), 1000)) read.push(line)
      expect(read).toEqual(bytes.toString().split('\n').slice(0, -1))
    }),
    { numRuns: FUZZ_RUNS },
  )
  await expect(readLines(pieces(Buffer.alloc(50), [9, 9]), 20).next()).rejects.toThrow(RangeError)
})

it('reads any value as a change or as none', () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      readChange(value)
      readChangesHeader(value)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

it('reads any address or refuses it with a code', () => {
  const part = fc.constantFrom(
    '/v1',
    '/o',
    '/live',
    '/tail',
    '/changes',
    '?after=',
    '%',
    '%2f',
    ':',
  )
  const url = fc.array(fc.oneof(part, fc.string({ maxLength: 5 }))).map((parts) => parts.join(''))
  fc.assert(
    fc.property(url, (text) => {
      try {
        parseTarget(text)
      } catch (error) {
        expect(error).toBeInstanceOf(NearcastError)
      }
    }),
    { numRuns: FUZZ_RUNS },
  )
})

it('reads any field value as a matched behavior or as none', () => {
  expect(parseMatched('default /a b')).toEqual({ distribution: 'default', path: '/a b' })
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      const matched = parseMatched(text)
      if (matched) expect(`${matched.distribution} ${matched.path}`).toBe(text)
    }),
    { numRuns: FUZZ_RUNS },
  )
})
