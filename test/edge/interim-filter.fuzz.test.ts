import fc from 'fast-check'
import { expect, it } from 'vitest'
import { InterimFilter } from '../../server/edge/interim-filter.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const HINT = 'HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n'
const PIECES = [
  CONTINUE,
  HINT,
  'HTTP/1.0 102 x\r\n\r\n',
  'HTTP/1.1 101 x\r\n\r\n',
  'HTTP/1.1 10',
  'HTTP/1.2 100 x\r\n\r\n',
  'HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n',
  '\r\n',
]

function filter(chunks: readonly Buffer[]): { readonly text: string; readonly fits: boolean } {
  const filter = new InterimFilter()
  let text = ''
  for (const chunk of chunks) {
    const { bytes, fits } = filter.take(chunk)
    if (!fits) return { text, fits }
    text += bytes.toString('latin1')
  }
  return { text, fits: true }
}

function cut(bytes: Buffer, at: readonly number[]): readonly Buffer[] {
  const ends = [...at.map((one) => one % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}

it('says the same of bytes however they are cut, and takes nothing of what is no 1xx', () => {
  const piece = fc.oneof(fc.constantFrom(...PIECES), fc.string({ unit: 'binary', maxLength: 12 }))
  const sent = fc.array(piece, { maxLength: 8 }).map((some) => Buffer.from(some.join(''), 'latin1'))
  fc.assert(
    fc.property(sent, fc.array(fc.nat(), { maxLength: 8 }), (bytes, at) => {
      const whole = filter([bytes])
      expect(filter(cut(bytes, at))).toEqual(whole)
      const text = bytes.toString('latin1')
      if (!/^H(?:T|$)/.test(text)) expect(whole.text).toBe(text)
      if (!/HTTP\/1\.[01] 1/.test(text)) expect(text.startsWith(whole.text)).toBe(true)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

it('leaves everything behind the first answer alone until the next request', () => {
  const one = new InterimFilter()
  const answer = `${CONTINUE}${HINT}HTTP/1.1 200 OK\r\n\r\n${CONTINUE}`
  const kept = `${HINT}HTTP/1.1 200 OK\r\n\r\n${CONTINUE}`
  expect(one.take(Buffer.from(answer)).bytes.toString()).toBe(kept)
  expect(one.take(Buffer.from(CONTINUE)).bytes.toString()).toBe(CONTINUE)
  one.expect()
  expect(one.take(Buffer.from(CONTINUE)).bytes.toString()).toBe('')
})

it('holds back no more than one head, and gives up what has no end', () => {
  const one = new InterimFilter()
  const endless = Buffer.from(`HTTP/1.1 100 Continue\r\n${'x: y\r\n'.repeat(10_000)}`)
  let held = 0
  for (let at = 0; at < endless.length; at += 1000)
    if (one.take(endless.subarray(at, at + 1000)).bytes.length === 0) held += 1000
  expect(held).toBeLessThanOrEqual(33 * 1024)
  expect(held).toBeGreaterThan(30 * 1024)
})

it('drops a hundred of them before one answer, and no more', () => {
  const one = new InterimFilter()
  expect(one.take(Buffer.from(CONTINUE.repeat(100))).fits).toBe(true)
  expect(one.take(Buffer.from(CONTINUE)).fits).toBe(false)
})
