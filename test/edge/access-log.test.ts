import { mkdtempSync } from 'node:fs'
import { readFile, rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatRecord, openAccessLog } from '../../server/edge/access-log.ts'
import type { AccessRecord } from '../../server/edge/access-record.ts'
import { silentLog } from '../../server/lib/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const record: AccessRecord = {
  at: Date.UTC(2026, 10, 22, 23, 59, 58, 700),
  edge: 'perth',
  requestId: 'abc1',
  address: '192.0.2.7',
  method: 'GET',
  host: 'example.com',
  target: '/a b.mp4?x=1',
  status: 206,
  bytes: 10,
  seconds: 0.0123,
  result: 'Hit',
  complete: true,
  referer: '',
  userAgent: 'Mozilla/5.0 (X11)',
  range: 'bytes=5-14',
  protocol: 'HTTP/1.1',
}

test('a request is one line in the form of the standard log', () => {
  expect(formatRecord(record).split('\t').join(' ')).toBe(
    '2026-11-22 23:59:58 perth 10 192.0.2.7 GET example.com /a%20b.mp4 206 - Mozilla/5.0%20(X11) x=1 - Hit abc1 ' +
      'example.com http - 0.012 - - - Hit HTTP/1.1 - - - - Hit - - 5 14\n',
  )
})

test('a connection that was passed on has its bytes both ways', () => {
  const line = formatRecord({ ...record, status: 101, receivedBytes: 7 }).split('\t')
  expect([line[3], line[8], line[17]]).toEqual(['10', '101', '7'])
})

test('nothing a viewer sends makes another line or field', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const line = formatRecord({ ...record, target: text, userAgent: text, host: text })
      expect(line.match(/\n/g)).toHaveLength(1)
      expect(line.split('\t')).toHaveLength(33)
      expect(line).toMatch(/^[ -~\t]*\n$/)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('an answer that differs from the last one of its target in one thing has a line of its own', () => {
  const others: readonly Partial<AccessRecord>[] = [
    { at: record.at + 1000 },
    { edge: 'oslo' },
    { requestId: 'abc2' },
    { address: '192.0.2.8' },
    { method: 'HEAD' },
    { host: 'example.org' },
    { status: 200 },
    { bytes: 11 },
    { receivedBytes: 0 },
    { seconds: 2 },
    { result: 'Miss' },
    { complete: false },
    { referer: 'http://a.test/' },
    { userAgent: 'curl' },
    { range: 'bytes=5-15' },
    { protocol: 'HTTP/1.0' },
  ]
  const line = formatRecord(record)
  for (const other of others) {
    const changed = formatRecord({ ...record, ...other })
    expect(changed, JSON.stringify(other)).not.toBe(line)
    expect(formatRecord({ ...record, ...other })).toBe(changed)
    expect(formatRecord(record)).toBe(line)
  }
})

test('lines are in the file after close, also when it was moved away meanwhile', async () => {
  const clock = new FakeClock()
  const file = join(mkdtempSync(join(tmpdir(), 'nearcast-access-')), 'access.log')
  const first = openAccessLog(file, { clock, log: silentLog })
  first.write(record)
  first.write(record)
  await first.close()
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  expect(lines[0]).toBe('#Version: 1.0')
  expect(lines).toHaveLength(4)
  await rename(file, `${file}.1`)
  const second = openAccessLog(file, { clock, log: silentLog })
  for (let i = 0; i < 5000; i += 1) second.write(record)
  await second.close()
  expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(5002)
})

test('a disk that cannot be written costs lines and says so once', async () => {
  const clock = new FakeClock()
  const said: string[] = []
  const log = { ...silentLog, error: (message: string) => said.push(message) }
  const access = openAccessLog(join(tmpdir(), 'no', 'such', 'folder', 'x'), { clock, log })
  for (let i = 0; i < 3; i += 1) access.write(record)
  await access.close()
  expect(said).toEqual(['the access log cannot be written'])
})
