import { describe, expect, test } from 'vitest'
import { PublishGate } from '../../server/ingest/publish-gate.ts'
import { createKeyResolver, type StreamKey } from '../../server/ingest/stream-keys.ts'
import { FakeClock } from '../support/fake-clock.ts'

function gateOf(holder: () => string | undefined) {
  const clock = new FakeClock()
  const gate = new PublishGate({
    resolveKey: createKeyResolver(() => [{ name: 'main', key: 'k' }]),
    publishAuth: 'keys',
    publisherOf: holder,
    clock,
  })
  return { clock, gate }
}
const PATH = ['live', 'k']
const MAIN = { name: 'main', backup: false }

describe('two encoders at two places with one key', () => {
  test('the displaced one stays out while it keeps coming back, and may return after 15 s of quiet', async () => {
    const { clock, gate } = gateOf(() => '10.0.0.2')
    gate.displaced(MAIN, '10.0.0.1')
    for (const pause of [2000, 3000, 4000, 6000, 9000]) {
      await clock.advance(pause)
      expect(gate.admit(PATH, '10.0.0.1').kind).toBe('refused')
    }
    expect(gate.admit(PATH, '10.0.0.3').kind).toBe('admitted')
    await clock.advance(15_000)
    expect(gate.admit(PATH, '10.0.0.1')).toMatchObject({ kind: 'admitted', name: 'main' })
  })

  test('at the same address it may be the same encoder, restarted', () => {
    const { gate } = gateOf(() => '10.0.0.1')
    gate.displaced(MAIN, '10.0.0.1')
    expect(gate.admit(PATH, '10.0.0.1').kind).toBe('admitted')
  })

  test('when the other has gone, the displaced one is let in', () => {
    const { gate } = gateOf(() => undefined)
    gate.displaced(MAIN, '10.0.0.1')
    expect(gate.admit(PATH, '10.0.0.1').kind).toBe('admitted')
  })
})

test('one that stands by is displaced by its like alone', () => {
  const { gate } = gateOf(() => '10.0.0.2')
  gate.displaced({ name: 'main', backup: true }, '10.0.0.1')
  expect(gate.admit(PATH, '10.0.0.1')).toMatchObject({ kind: 'admitted', backup: false })
})

describe('stream keys', () => {
  test('an admitted publisher may publish until its own key is revoked', () => {
    const keys = [
      { name: 'main', key: 'one' },
      { name: 'main', key: 'two' },
    ]
    const gate = new PublishGate({
      resolveKey: createKeyResolver(() => keys),
      publishAuth: 'keys',
      publisherOf: () => undefined,
      clock: new FakeClock(),
    })
    const verdict = gate.admit(['live', 'one'], '10.0.0.1')
    if (verdict.kind !== 'admitted') throw new Error(verdict.description)
    keys.pop()
    expect(verdict.valid()).toBe(true)
    keys.pop()
    expect(verdict.valid()).toBe(false)
  })

  test('keys made and revoked while running count at once', () => {
    const keys: StreamKey[] = [{ name: 'main', key: 'one' }]
    const resolve = createKeyResolver(() => keys)
    expect(resolve('one')).toEqual({ name: 'main', backup: false })
    keys.push({ name: 'main', key: 'two', backup: true })
    expect(resolve('two')).toEqual({ name: 'main', backup: true })
    keys.length = 0
    expect(resolve('one')).toBeUndefined()
    expect(resolve('')).toBeUndefined()
  })
})
