import { expect, test } from 'vitest'
import { RefusalLog } from '../../server/ingest/refusal-log.ts'
import { type Log, type LogFields, silentLog } from '../../server/lib/log.ts'
import { FakeClock } from '../support/fake-clock.ts'

function open() {
  const clock = new FakeClock()
  const lines: LogFields[] = []
  const log: Log = { ...silentLog, warn: (_, fields = {}) => void lines.push(fields) }
  const refusals = new RefusalLog(clock, log)
  const pass = async (ms: number) => {
    await clock.advance(ms)
    refusals.sweep()
  }
  return { refusals, lines, pass }
}

test('of one address one line each 10 s, and then how many had none', async () => {
  const { refusals, lines, pass } = open()
  expect(refusals.admits('10.0.0.1')).toBe(true)
  for (let i = 0; i < 500; i += 1) expect(refusals.admits('10.0.0.1')).toBe(false)
  expect(refusals.admits('10.0.0.2')).toBe(true)
  await pass(9999)
  expect(lines).toEqual([])
  await pass(1)
  expect(lines).toEqual([{ address: '10.0.0.1', unwritten: 500 }])
  expect(refusals.admits('10.0.0.1')).toBe(false)
  await pass(9999)
  expect(lines).toHaveLength(1)
  await pass(1)
  expect(lines[1]).toEqual({ address: '10.0.0.1', unwritten: 1 })
})

test('who was quiet for 10 s has its line again', async () => {
  const { refusals, lines, pass } = open()
  refusals.admits('10.0.0.1')
  await pass(10_000)
  expect(lines).toEqual([])
  expect(refusals.admits('10.0.0.1')).toBe(true)
})

test('a flood from everywhere is told as that of the others', async () => {
  const { refusals, lines, pass } = open()
  let admitted = 0
  for (let i = 0; i < 10_000; i += 1) if (refusals.admits(`2001:db8::${i}`)) admitted += 1
  expect(admitted).toBe(65)
  await pass(10_000)
  expect(lines).toEqual([{ address: 'others', unwritten: 10_000 - 65 }])
})
