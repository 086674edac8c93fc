import { expect, it } from 'vitest'
import { FailureLog } from '../../server/lib/failure-log.ts'
import { type Log, type LogFields, silentLog } from '../../server/lib/log.ts'
import { FakeClock } from '../support/fake-clock.ts'

function open() {
  const clock = new FakeClock()
  const lines: LogFields[] = []
  const log: Log = { ...silentLog, warn: (_, fields = {}) => void lines.push(fields) }
  return { clock, lines, failures: new FailureLog(clock, log) }
}

it('writes one line of a kind in 10 s, counts the others, and begins anew when it was quiet', async () => {
  const { clock, lines, failures } = open()
  for (const at of [1, 2, 3]) failures.warn('a', 'failed', { at })
  failures.warn('b', 'failed', { at: 4 })
  await clock.advance(10_000)
  expect(lines).toEqual([{ at: 1 }, { at: 4 }, { kind: 'a', unwritten: 2 }])
  failures.warn('a', 'failed', { at: 5 })
  await clock.advance(20_000)
  expect(lines.slice(3)).toEqual([{ kind: 'a', unwritten: 1 }])
  failures.warn('a', 'failed', { at: 6 })
  expect(lines.slice(4)).toEqual([{ at: 6 }])
  await clock.advance(10_000)
  expect(clock.pending).toBe(0)
})

it('takes kinds past 64 as one', async () => {
  const { clock, lines, failures } = open()
  for (let kind = 0; kind < 1000; kind++) failures.warn(`kind ${kind}`, 'failed', { kind })
  expect(lines).toHaveLength(65)
  expect(clock.pending).toBe(65)
  await clock.advance(10_000)
  expect(lines.slice(65)).toEqual([{ kind: 'others', unwritten: 935 }])
})

it('tells how many of a kind got no line, whoever writes the lines', async () => {
  const { clock, failures } = open()
  const told: string[] = []
  const admits = (address: string) =>
    failures.admits(address, (unwritten, of) => told.push(`${of}: ${unwritten}`))
  expect(admits('10.0.0.1')).toBe(true)
  for (let i = 0; i < 500; i++) expect(admits('10.0.0.1')).toBe(false)
  expect(admits('10.0.0.2')).toBe(true)
  await clock.advance(10_000)
  expect(told).toEqual(['10.0.0.1: 500'])
  expect(admits('10.0.0.1')).toBe(false)
  expect(admits('10.0.0.2')).toBe(true)
  await clock.advance(10_000)
  expect(told).toEqual(['10.0.0.1: 500', '10.0.0.1: 1'])
})
